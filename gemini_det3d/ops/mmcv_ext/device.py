"""Which form of an op a tensor takes."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from gemini_det3d.ops import _points_torch

_FOUND_OUT: dict[torch.device, bool] = {}
"""On which devices Triton's kernels run."""


def takes_torch(tensor: Tensor) -> bool:
    """Whether torch operations do the work: on a GPU; a CPU runs loops that numba has compiled."""
    return tensor.device.type != "cpu"


def points_on_gpu(device: torch.device) -> ModuleType:
    """The module whose ``farthest_points`` and ``ball_query`` a GPU runs: Triton's, or torch's."""
    # mmcv.ops needs no operator
    from gemini_det3d.fusion.kernels.torch_versions import found_once, has_triton

    if has_triton() and found_once(_FOUND_OUT, device, lambda: _runs_triton(device)):
        from gemini_det3d.ops import _points_triton

        return _points_triton
    return _points_torch


def _runs_triton(device: torch.device) -> bool:
    """Whether its kernels run, by running them; a warning where they do not."""
    from gemini_det3d.fusion.kernels.torch_versions import holds

    def probe() -> None:
        from gemini_det3d.ops import _points_triton

        line = torch.arange(5.0, device=device)[None, :, None].expand(1, 5, 3)
        if _points_triton.farthest_points(line, 3).tolist() != [[0, 4, 2]]:
            raise RuntimeError("wrong values")
        if _points_triton.ball_query(line, line[:, :1], 3.0, 3).tolist() != [[[0, 1, 0]]]:
            raise RuntimeError("wrong values")

    slower = "sampling and ball queries of points are slower"
    return holds(probe, f"Triton does not run on {device}, {slower}")
