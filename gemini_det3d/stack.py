"""Half-installed stacks: faults that no package's metadata forbids, in one line with the fix.

mmcv's faults are in :mod:`gemini_det3d.ops.mmcv_ext.health`.
"""

from __future__ import annotations

import re
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from gemini_det3d.formats.errors import first_line

CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"
# Releases that mmdet3d 1.4 and this package call: from, and the first one that is too new.
HOSTS = {
    "mmengine": ("0.10.7", (0, 10), (1, 0)),
    "mmdet": ("3.3.0", (3, 2), (3, 4)),
    "mmdet3d": ("1.4.0", (1, 4), (2, 0)),
}
# Names of modules that are not those of their distributions.
_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
# Modules whose absence `gemini-det3d doctor` explains.
_LOOKED_AT = (*HOSTS, "cv2", "mmcv", "numba", "numpy", "torch")


class StackError(ImportError):
    """Packages do not fit together; one line says which, and what mends it."""


def stack_fault(error: BaseException | None) -> str | None:
    """One line of the fault that `gemini-det3d doctor` would find; None for other errors.

    Args:
        error: What was raised; what that came from counts, too.
    """
    while error is not None:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if isinstance(error, StackError) or (missing or "").split(".")[0] in _LOOKED_AT:
            return " ".join(str(error).split())
        error = error.__cause__ or error.__context__
    return None


def distribution_of(module: str | None) -> str:
    """What pip calls the distribution of a module."""
    top = (module or "").split(".")[0]
    return _DISTRIBUTIONS.get(top, top)


def numpy_problem() -> str | None:
    """Why tensors and arrays do not reach each other, or None when they do."""
    try:
        import numpy
    except ImportError:
        return "numpy is not installed: pip install numpy"
    import torch

    try:
        torch.from_numpy(numpy.zeros(1)).numpy()
    except RuntimeError as error:
        return (
            f"torch {torch.__version__} does not see numpy {numpy.__version__} "
            f"({first_line(error)}): pip install 'numpy<2' (torch before 2.3 knows numpy 1 only)"
        )
    return None


def numba_problem() -> str | None:
    """Why numba does not load; it refuses releases of numpy that are newer than itself."""
    try:
        import_module("numba")
    except ModuleNotFoundError as error:
        return f"{first_line(error)}: pip install {distribution_of(error.name)}"
    except Exception as error:  # noqa: BLE001 (what it is built on may raise anything)
        found = f"numba {_version('numba')} with numpy {_version('numpy')}"
        return f"{found} does not load ({first_line(error)}): pip install --upgrade numba"
    return None


def opencv_problem() -> str | None:
    """Why OpenCV does not load, or is half there; its four distributions share one folder."""
    numpy = _version("numpy") or "1"
    release = "'opencv-python-headless<4.12'" if numpy < "2" else "opencv-python-headless"
    remedy = (
        "pip uninstall -y opencv-python opencv-contrib-python opencv-python-headless "
        f"opencv-contrib-python-headless && pip install {release}"
    )
    try:
        opencv = import_module("cv2")
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            return f"OpenCV is not installed: pip install {release}"
        return f"OpenCV does not load ({first_line(error)}): {remedy}"
    except Exception as error:  # noqa: BLE001 (libGL is missing, or numpy is another)
        return f"OpenCV does not load ({first_line(error)}): {remedy}"
    if not hasattr(opencv, "imread"):
        return f"OpenCV is there by half, one of its distributions was removed: {remedy}"
    return None


def setuptools_problem() -> str | None:
    """Whether mmengine misses pkg_resources, which setuptools had until 81."""
    if find_spec("pkg_resources") is not None:
        return None
    found = f"setuptools {_version('setuptools')} has" if _version("setuptools") else "there is"
    return f"{found} no pkg_resources, which mmengine imports: pip install 'setuptools<81'"


def hosts_problem() -> str | None:
    """The first of mmengine, mmdet and mmdet3d that is missing, of another time or there twice."""
    for name, (tested, oldest, refused) in HOSTS.items():
        installed, spec = _version(name), find_spec(name)
        if spec is None or spec.origin is None:
            return f"{name} is not installed: pip install {name}=={tested}"
        found = _version_of_files(Path(spec.origin).parent) or installed
        if installed and found != installed:
            return (
                f"two copies of {name}: Python imports {found} from {Path(spec.origin).parent}, "
                f"pip knows {installed}: pip uninstall -y {name} && pip install {name}=={tested} "
                "(and take that folder from PYTHONPATH, or work elsewhere)"
            )
        if found and not oldest <= _numbers(found) < refused:
            low, high = (".".join(map(str, bound)) for bound in (oldest, refused))
            needed = f"{name} from {low} to before {high} is needed"
            return f"{needed}, not {found}: pip install {name}=={tested}"
    return None


def torchvision_problem() -> str | None:
    """Why torchvision, where it is installed, does not load; mmcv and mmengine import it then."""
    version = _version("torchvision")
    if version is None:
        return None
    try:
        import_module("torchvision")
    except Exception as error:  # noqa: BLE001 (another build's operators raise anything)
        import torch

        is_cpu = torch.version.cuda is None and torch.version.hip is None
        remedy = "pip uninstall -y torchvision" + (
            f" (PyPI's is for CUDA; for this torch: pip install torchvision {CPU_INDEX})"
            if is_cpu
            else " && pip install torchvision (only the FID of translation needs it)"
        )
        return f"torchvision {version} is not for torch {torch.__version__} " \
               f"({first_line(error)}): {remedy}"  # fmt: skip
    return None


def loading_problem() -> str | None:
    """Why mmdet3d does not load though all else is well: built for another numpy, say."""
    try:
        import_module("mmdet3d.registry")
        import_module("mmdet3d.apis")
    except Exception as error:  # noqa: BLE001 (whatever it is built on may raise anything)
        if isinstance(error, ModuleNotFoundError):
            package = distribution_of(error.name)
            return f"mmdet3d does not load: {first_line(error)}: pip install {package}"
        package = _where_it_was_raised(error) or "mmdet3d"
        remedy = f"pip install --force-reinstall --no-deps {package}"
        return f"mmdet3d does not load ({package}: {first_line(error)}): {remedy}"
    return None


# In this order: what a later one needs is found wanting by an earlier one.
PROBLEMS = {
    "torch and numpy": numpy_problem,
    "numba": numba_problem,
    "OpenCV": opencv_problem,
    "setuptools": setuptools_problem,
    "mmengine, mmdet, mmdet3d": hosts_problem,
    "torchvision": torchvision_problem,
}


def require() -> None:
    """Raise StackError with the one line where the packages do not fit together."""
    for problem_of in PROBLEMS.values():
        problem = problem_of()
        if problem:
            raise StackError(problem)


def require_loading() -> None:
    """Raise StackError with one line where mmdet3d itself does not load; slow, after the rest."""
    problem = loading_problem()
    if problem:
        raise StackError(problem)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _version_of_files(folder: Path) -> str | None:
    """What a package of OpenMMLab says of itself, without importing it."""
    try:
        text = (folder / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"""^__version__ = ['"](.+)['"]""", text, re.MULTILINE)
    return found[1] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _where_it_was_raised(error: Exception) -> str | None:
    """Installed package whose file an exception comes from."""
    package, trace = None, error.__traceback__
    while trace is not None:
        parts = Path(trace.tb_frame.f_code.co_filename).parts
        if "site-packages" in parts:
            package = Path(parts[parts.index("site-packages") + 1]).stem
        trace = trace.tb_next
    return package
