"""Which form of an op a tensor takes."""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor

from gemini_det3d.ops import _points_torch


def takes_torch(tensor: Tensor) -> bool:
    """Whether torch operations do the work: on a GPU; a CPU runs loops that numba has compiled."""
    return tensor.device.type != "cpu"


def points_on_gpu(device: torch.device) -> ModuleType:
    """The module whose ``farthest_points`` and ``ball_query`` a GPU runs: Triton's, or torch's."""
    from gemini_det3d.fusion.kernels.torch_versions import has_triton  # mmcv.ops needs no operator

    if not has_triton():
        return _points_torch
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        from gemini_det3d.ops import _points_triton

        return _points_triton  # nothing may be tried now; what is captured has run before
    return _tried(device)


@functools.cache
def _tried(device: torch.device) -> ModuleType:
    """Triton's kernels where they run, found out once; one warning where they do not."""
    from gemini_det3d.fusion.kernels.torch_versions import holds

    def probe() -> None:
        from gemini_det3d.ops import _points_triton

        line = torch.arange(5.0, device=device)[None, :, None].expand(1, 5, 3)
        if _points_triton.farthest_points(line, 3).tolist() != [[0, 4, 2]]:
            raise RuntimeError("wrong values")
        if _points_triton.ball_query(line, line[:, :1], 3.0, 3).tolist() != [[[0, 1, 0]]]:
            raise RuntimeError("wrong values")

    slower = "sampling and ball queries of points are slower"
    if not holds(probe, f"Triton does not run on {device}, {slower}"):
        return _points_torch
    from gemini_det3d.ops import _points_triton

    return _points_triton
