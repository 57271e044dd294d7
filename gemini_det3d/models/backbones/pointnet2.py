"""PointNet++ (Qi et al., NeurIPS 2017) as mmdet3d builds it, on any device."""

from __future__ import annotations

from typing import Any

import torch
from mmdet3d.models.backbones import PointNet2SASSG
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.models.layers import GeminiPointFPModule
from gemini_det3d.registration import register

_SA_CFG = dict(type="GeminiPointSAModule", pool_mod="max", use_xyz=True, normalize_xyz=True)


@register(MODELS)
class GeminiPointNet2SASSG(PointNet2SASSG):
    """``PointNet2SASSG`` with the same arguments and parameter names, on CPU and CUDA.

    Args:
        sa_cfg: As in ``PointNet2SASSG``; its ``type`` is ``GeminiPointSAModule`` by default, and
            must be a kind that runs where the model shall run.
        **kwargs: The other arguments of ``PointNet2SASSG``.
    """

    def __init__(self, sa_cfg: dict | None = None, **kwargs: Any) -> None:
        super().__init__(sa_cfg={**_SA_CFG, **(sa_cfg or {})}, **kwargs)
        self.FP_modules = nn.ModuleList(map(GeminiPointFPModule.taking_over, self.FP_modules))

    def forward(self, points: Tensor) -> dict[str, list[Tensor]]:
        """Encode ``(B, N, 3 or more)`` points; see ``PointNet2SASSG``.

        The original sends the numbers of all points to the device as a list of Python's.
        """
        xyz, features = self._split_point_feats(points)
        number = torch.arange(xyz.shape[1], device=xyz.device).expand(xyz.shape[:2])
        down = [(xyz, features, number)]
        for module in self.SA_modules:
            xyz, features, chosen = module(*down[-1][:2])
            down.append((xyz, features, down[-1][2].gather(1, chosen.long())))
        up = [down[-1]]
        for module, (xyz, skipped, number) in zip(self.FP_modules, down[-2::-1]):
            up.append((xyz, module(xyz, up[-1][0], skipped, up[-1][1]), number))
        found = {}
        for way, levels in (("fp", up), ("sa", down)):
            for name, column in zip(("xyz", "features", "indices"), zip(*levels)):
                found[f"{way}_{name}"] = list(column)
        return found
