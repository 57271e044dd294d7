"""mmdet3d's ``SparseEncoder`` on any device, for any number of voxels."""

from __future__ import annotations

import torch
from mmdet3d.models.layers.sparse_block import replace_feature
from mmdet3d.models.middle_encoders import SparseEncoder
from mmdet3d.registry import MODELS
from torch import Tensor

from gemini_det3d.models.checkpoints.sparse import accept_either_layout
from gemini_det3d.ops import enable_spconv_on_cpu
from gemini_det3d.ops.mmcv_ext import health
from gemini_det3d.registration import register

SPCONV_REMEDY = "pip install spconv==2.3.8, or spconv-cu126==2.3.8 where a GPU is"


@register(MODELS)
class GeminiSparseEncoder(SparseEncoder):
    """``SparseEncoder`` with the same arguments and parameter names.

    Differs where the original fails: it trains on CPU, it normalises a single voxel, a batch
    without any voxel gives a map of zeros that is still part of the graph, and weights are taken
    in spconv's and in mmcv's layout, whatever the checkpoint states.

    Raises:
        ImportError: Neither spconv nor a compiled mmcv is here, so no sparse convolution at all.
    """

    def __init__(
        self,
        in_channels: int,
        sparse_shape: list[int],
        norm_cfg: dict | None = None,
        order: tuple[str, ...] = ("conv", "norm", "act"),
        **kwargs,
    ) -> None:
        if not enable_spconv_on_cpu() and health.check().ops != "compiled":
            raise ImportError(f"{type(self).__name__} needs sparse convolution: {SPCONV_REMEDY}")
        norm_cfg = norm_cfg or dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.01)
        super().__init__(in_channels, sparse_shape, order=tuple(order), norm_cfg=norm_cfg, **kwargs)
        accept_either_layout(self)

    def forward(
        self, voxel_features: Tensor, coors: Tensor, batch_size: int
    ) -> Tensor | tuple[Tensor, list]:
        """Sparse voxels to a dense bird's-eye-view map.

        Args:
            voxel_features: ``(M, C)``; computed in the dtype of the weights, under autocast too.
            coors: ``(M, 4)`` as ``(batch, z, y, x)``.
            batch_size: Number of frames, including those without a voxel.

        Returns:
            ``(B, C', H, W)`` in the dtype of the weights; with ``return_middle_feats`` also the
            list of the sparse tensors of all stages, which without any voxel hold one of zeros.
        """
        # spconv's kernels take one dtype for features and weights, so autocast ends here.
        with torch.autocast(voxel_features.device.type, enabled=False):
            voxel_features = voxel_features.to(next(self.parameters()).dtype)
            if voxel_features.shape[0]:
                return super().forward(voxel_features, coors, int(batch_size))
            voxel = voxel_features.new_zeros(1, self.in_channels) + 0 * voxel_features.sum()
            found = super().forward(voxel, coors.new_zeros(1, 4), int(batch_size))
        if not self.return_middle_feats:
            return 0 * found
        return 0 * found[0], [replace_feature(stage, 0 * stage.features) for stage in found[1]]
