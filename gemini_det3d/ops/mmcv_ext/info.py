"""What mmcv reports of its build: ours has none."""

from __future__ import annotations


def get_compiler_version() -> str:
    """Shown in the log of a run."""
    return "none (gemini_det3d.ops.mmcv_ext)"


def get_compiling_cuda_version() -> str:
    """Shown in the log of a run."""
    return "none (gemini_det3d.ops.mmcv_ext)"
