"""PointNet++ (Qi et al., NeurIPS 2017) as mmdet3d builds it, on any device."""

from __future__ import annotations

from typing import Any

from mmdet3d.models.backbones import PointNet2SASSG
from mmdet3d.registry import MODELS
from torch import nn

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
