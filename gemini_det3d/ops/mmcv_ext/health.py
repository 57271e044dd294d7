"""Which mmcv is here, and whether its ops can work: facts for a report, one line for a fault."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from importlib import metadata

from gemini_det3d import mmcv_finder
from gemini_det3d.formats.errors import first_line
from gemini_det3d.stack import StackError, distribution_of

# All of these put their files into the one folder mmcv/.
DISTRIBUTIONS = ("mmcv", "mmcv-lite", "mmcv-full")
# mmdet3d 1.4 accepts these and refuses mmcv 2.2 and later.
OLDEST, REFUSED = (2, 0), (2, 2)
REMEDY = (
    "pip uninstall -y mmcv mmcv-full mmcv-lite && pip install mmcv-lite==2.1.0 (nothing to compile)"
)


@dataclass(frozen=True)
class MmcvHealth:
    """What was found.

    Attributes:
        installed: Version of each installed distribution that provides mmcv.
        ops: Who provides ``mmcv._ext``: 'compiled', 'gemini_det3d', or None when nobody can.
        problem: What is wrong and how to mend it, in one line; None when nothing is.
    """

    installed: dict[str, str]
    ops: str | None
    problem: str | None


def check() -> MmcvHealth:
    """Look at mmcv by its installed distributions and by loading its ops; never raises."""
    mmcv_finder.install()
    installed = _installed()
    problem = problem_of(installed)
    if problem:
        return MmcvHealth(installed, None, problem)
    try:
        importlib.import_module("mmcv")
    except Exception as error:  # noqa: BLE001 (whatever mmcv needs may raise anything)
        return MmcvHealth(installed, None, f"mmcv does not load: {_reason(error)}")
    try:
        ext = importlib.import_module(mmcv_finder.ANSWERS_FOR)
    except Exception as error:  # noqa: BLE001 (a broken build may raise anything)
        return MmcvHealth(installed, None, _ops_problem(error))
    return MmcvHealth(installed, "gemini_det3d" if is_ours(ext) else "compiled", None)


def require() -> None:
    """Raise StackError with the one line where mmcv's ops cannot work."""
    problem = check().problem
    if problem:
        raise StackError(problem)


def problem_of(installed: dict[str, str]) -> str | None:
    """What is wrong with a set of installed distributions, in one line.

    Args:
        installed: Version of each distribution that is there.
    """
    found = " and ".join(f"{name} {version}" for name, version in installed.items())
    if not installed:
        return "mmcv is not installed: pip install mmcv-lite==2.1.0 (nothing to compile)"
    if len(installed) > 1:
        return f"{found} share one folder and break each other: {REMEDY}"
    version = _numbers(next(iter(installed.values())))
    if not OLDEST <= version < REFUSED:
        return f"mmdet3d needs mmcv from 2.0 to 2.1, not {found}: {REMEDY}"
    return None


def is_ours(ext: object) -> bool:
    """Whether a loaded ``mmcv._ext`` is this package's."""
    return str(getattr(ext, "__file__", "")).endswith("_ext.py")


def _installed() -> dict[str, str]:
    """Installed distributions; an mmcv that no package manager knows goes by its own version."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not found and importlib.util.find_spec("mmcv"):
        try:
            found["mmcv"] = importlib.import_module("mmcv").__version__
        except Exception:  # noqa: BLE001 (its folder may be all that is left of it)
            return {}
    return found


def _ops_problem(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"mmcv's ops do not load ({_reason(error)}): {REMEDY}"
    return f"mmcv's compiled module is for another torch ({_reason(error)}): {REMEDY}"


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and "mmcv" not in error.name:
        return f"{error}: pip install {distribution_of(error.name)}"
    return first_line(error)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
