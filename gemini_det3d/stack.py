"""Half-installed stacks: faults that no package's metadata forbids, in one line with the fix."""

from __future__ import annotations

from importlib import import_module, metadata

from gemini_det3d.formats.errors import first_line

CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"


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


def torchvision_problem() -> str | None:
    """Why torchvision, where it is installed, does not load; mmcv and mmengine import it then."""
    try:
        version = metadata.version("torchvision")
    except metadata.PackageNotFoundError:
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


def require() -> None:
    """Raise ImportError with the one line where the packages do not fit together."""
    for problem_of in (numpy_problem, torchvision_problem):
        problem = problem_of()
        if problem:
            raise ImportError(problem)
