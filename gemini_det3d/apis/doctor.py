"""What works on this machine, found out by running it, and how to mend what does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from gemini_det3d import stack
from gemini_det3d.apis import doctor_checks as checks
from gemini_det3d.apis.doctor_speed import speed_lines
from gemini_det3d.formats.errors import first_line

VERSIONS = {  # tested together; see tools/constraints.txt and docs/guide/install.md
    "torch": "2.13.0",
    "numpy": "1.26.4",
    "mmengine": "0.10.7",
    "mmdet": "3.3.0",
    "mmdet3d": "1.4.0",
    "numba": None,
}
SPCONV = "2.3.8"
# Builds of spconv for CUDA that exist, by the oldest CUDA they are for. None is newer than 12.6;
# that one also works with drivers and builds of torch for CUDA 13.
SPCONV_CUDA = (((12, 6), "cu126"), ((12, 4), "cu124"), ((12, 1), "cu121"), ((11, 8), "cu118"))
AT_START = (
    "import sys; print(any(getattr(f, 'answers_for', '') == 'mmcv._ext' for f in sys.meta_path))"
)


@dataclass(frozen=True)
class Row:
    """One line of the report; ``ok`` None means that it does not apply here."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


def diagnose() -> Iterator[Row]:
    """Yield a row per package and per capability; never raises."""
    for package in VERSIONS:
        yield _version_row(package)
    yield from _mmcv_rows()
    yield _spconv_row()
    yield from _problem_rows()
    for name, check, fix in CHECKS:
        yield _check_row(name, check, fix)
    yield from _device_rows()
    yield from _speed_rows()


def _version_row(package: str) -> Row:
    tested = VERSIONS[package]
    found = _installed(package)
    if found is None:
        return Row(package, False, "not installed", f"pip install {package}{_pin(tested)}")
    same = tested is None or _numbers(found) == _numbers(tested)
    return Row(package, True, found if same else f"{found} (tested with {tested})")


def _mmcv_rows() -> Iterator[Row]:
    """Which mmcv, who provides its ops, and whether that holds for every Python that starts."""
    try:
        from gemini_det3d.ops.mmcv_ext import health

        mmcv = health.check()
    except Exception as error:  # noqa: BLE001 (the report must go on, whatever is broken)
        yield Row("mmcv", False, _one_line(error))
        return
    installed = ", ".join(f"{name} {version}" for name, version in mmcv.installed.items())
    if mmcv.problem:
        yield Row("mmcv", False, *_what_and_fix(mmcv.problem))
        return
    if mmcv.ops == "compiled":
        yield Row("mmcv", True, f"{installed}, with its compiled module")
        return
    yield Row("mmcv", True, f"{installed}; its ops come from gemini_det3d, nothing is compiled")
    if _finder_at_start():
        yield Row("mmcv's ops in every process", True, "the finder is there when Python starts")
    else:
        yield Row(
            "mmcv's ops in every process",
            False,
            "found here, but not by mmdet3d's own tools: the package's .pth file is missing",
            "pip install --force-reinstall --no-deps gemini_det3d (a checkout: pip install -e .)",
        )


def _finder_at_start() -> bool:
    command = [sys.executable, "-c", AT_START]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "True"


def _spconv_row() -> Row:
    build = spconv_build()
    if build is None:
        detail = "not installed; detectors that voxelise need it, the rest works without"
        return Row("spconv", False, detail, spconv_remedy())
    name, version = build
    note = "" if version == SPCONV else f" (tested with {SPCONV})"
    return Row("spconv", True, f"{name} {version}{note}")


def spconv_build() -> tuple[str, str] | None:
    """Name and version of the installed build (spconv, spconv-cu126, ...), or None."""
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name == "spconv" or name.startswith("spconv-cu"):
            return name, distribution.version
    return None


def spconv_remedy() -> str:
    """The command that installs the build for this torch."""
    cuda = _torch_cuda()
    build = next((f"-{name}" for oldest, name in SPCONV_CUDA if cuda >= oldest), "")
    return f"pip install spconv{build}=={SPCONV}"


def _torch_cuda() -> tuple[int, ...]:
    """CUDA of the build of torch, where a device is there, too; (0,) otherwise."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return (0,)
    return _numbers(torch.version.cuda or "0")


def _problem_rows() -> Iterator[Row]:
    for name, problem_of in stack.PROBLEMS.items():
        try:
            problem = problem_of()
        except Exception as error:  # noqa: BLE001
            yield Row(name, False, _one_line(error))
            continue
        if problem:
            yield Row(name, False, *_what_and_fix(problem))


def _check_row(name: str, check: Callable[[], str], fix: str) -> Row:
    try:
        return Row(name, True, check())
    except ImportError as error:  # ours name the fix themselves
        what, own_fix = _what_and_fix(str(error).partition("\n")[0])
        return Row(name, False, what, own_fix or fix)
    except Exception as error:  # noqa: BLE001
        return Row(name, False, _one_line(error), fix)


CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("mmcv ops on CPU", checks.mmcv_ops, "pip install --upgrade numba"),
    ("fusion operator on CPU", checks.operator, "pip install --force-reinstall torch"),
    ("plug-in in the registry", checks.plugin, "pip install mmengine==0.10.7 mmdet3d==1.4.0"),
    ("checkpoints", checks.checkpoints, 'pip install --force-reinstall torch'),
    ("dynamic scatter on CPU", checks.scatter, "pip install --upgrade numba"),
    ("KITTI evaluation on CPU", checks.kitti_evaluation, "pip install --upgrade numba"),
    ("tools and configs", checks.tools,
     "pip install --force-reinstall --no-deps mmdet3d==1.4.0"),
)  # fmt: skip


def _device_rows() -> Iterator[Row]:
    """Sparse convolution where spconv has kernels, and everything again on CUDA."""
    torch = sys.modules.get("torch")
    with_cuda = torch is not None and torch.cuda.is_available()
    yield from _sparse_on_cpu(with_cuda)
    if torch is None or not with_cuda:
        yield Row("CUDA", None, "no CUDA device; everything runs on CPU")
        return
    for name, check, fix in _cuda_checks():
        row = _check_row(name, check, fix)
        if row.ok is False and name == "Triton":  # `auto` takes another form then
            row = Row(name, None, f"{row.detail}; the operator takes another form, slower")
        yield row
        if not row.ok and not checks.cuda_answers():  # whatever is asked next fails
            yield Row("the rest on CUDA", None, f"not tried: the GPU answers no more after: {name}")
            return


def _cuda_checks() -> list[tuple[str, Callable[[], str], str]]:
    """Names, checks and fixes; what failed one may spoil those after it."""
    ops = "pip uninstall -y mmcv mmcv-full mmcv-lite && pip install mmcv-lite==2.1.0"
    found: list[tuple[str, Callable[[], str], str]] = [
        (
            "CUDA",
            checks.cuda,
            "see that nvidia-smi lists the GPU and no other program fills it",
        ),
        ("fusion operator on CUDA", lambda: checks.operator("cuda"), "reinstall torch"),
        ("Triton", checks.triton, ""),
        ("mmcv ops on CUDA", lambda: checks.mmcv_ops("cuda"), ops),
        ("dynamic scatter on CUDA", lambda: checks.scatter("cuda"), ops),
    ]
    build = spconv_build()
    if build is not None:
        found.append(("sparse convolution on CUDA", lambda: checks.sparse_convolution("cuda"),
                      f"pip uninstall -y {build[0]} && {spconv_remedy()}"))  # fmt: skip
    return found


def _sparse_on_cpu(with_cuda: bool) -> Iterator[Row]:
    build = spconv_build()
    name = "sparse convolution on CPU"
    if build is None:
        return
    if build[0] == "spconv":
        fix = f"pip install --force-reinstall --no-deps spconv=={SPCONV}"
        yield _check_row(name, checks.sparse_convolution, fix)
    elif with_cuda:
        yield Row(name, None, f"{build[0]} has no kernels for CPU and needs none here")
    else:
        yield Row(name, False, f"{build[0]} has kernels for CUDA only, and no CUDA device is here",
                  f"pip uninstall -y {build[0]} && pip install spconv=={SPCONV}")  # fmt: skip


def _speed_rows() -> Iterator[Row]:
    """What is timed; slow is no failure."""
    torch = sys.modules.get("torch")
    try:
        with_gpu = torch is not None and torch.cuda.is_available() and checks.cuda_answers()
        lines = speed_lines(with_gpu)
    except Exception as error:  # noqa: BLE001
        lines = {"speed of this machine": _one_line(error)}
    for name, line in lines.items():
        yield Row(name, None, line)


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _what_and_fix(problem: str) -> tuple[str, str]:
    """A line about a fault, before and from its command on."""
    what, command, rest = problem.partition(": pip ")
    return what, f"pip {rest}" if command else ""


def _pin(version: str | None) -> str:
    return f"=={version}" if version else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(p) for p in version.split("+")[0].split(".") if p.isdigit())


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
