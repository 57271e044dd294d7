"""Batch normalisation that survives a batch of zero or one rows.

A LiDAR frame can leave one voxel, or none. ``torch.nn.BatchNorm1d`` refuses to train on fewer than
two rows; with fewer there are no statistics, so the running ones are used and left as they are.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor, nn

from gemini_det3d.registration import register


@register(ROOT_MODELS)
class SmallBatchNorm1d(nn.BatchNorm1d):
    """``BatchNorm1d`` (same parameters, same names) on ``(N, C)`` for any N.

    Registered in the root registry because that is where mmcv's ``build_norm_layer`` looks:
    ``norm_cfg=dict(type='SmallBatchNorm1d', eps=1e-3, momentum=0.01)``.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """``(N, C)`` -> ``(N, C)``."""
        if input.shape[0] >= 2 or not self.training:
            return super().forward(input)
        # Copies: a later forward moves the statistics in place, maybe before the backward of this
        # one, which would read them anew, and PyTorch does not notice.
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        return F.batch_norm(input, mean, variance, self.weight, self.bias, False, 0.0, self.eps)
