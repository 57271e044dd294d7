"""MVX-Net (Sindagi et al., ICRA 2019) as mmdet3d builds it, for batches as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet3d.models.detectors import DynamicMVXFasterRCNN
from mmdet3d.registry import MODELS
from torch import Tensor

from gemini_det3d.models.auxiliary import WithAuxiliaryLosses
from gemini_det3d.models.layers import keep_in_graph
from gemini_det3d.registration import register


@register(MODELS)
class GeminiMVXNet(WithAuxiliaryLosses, DynamicMVXFasterRCNN):
    """``DynamicMVXFasterRCNN`` with the same arguments and parameter names.

    The losses of the fusion operators inside are part of its losses.

    The original takes the number of frames from the last point's batch index, so an empty last
    frame shortens the batch and an empty batch is an IndexError. Here it is the number of frames.
    """

    def extract_pts_feat(
        self,
        voxel_dict: dict[str, Tensor],
        points: list[Tensor] | None = None,
        img_feats: Sequence[Tensor] | None = None,
        batch_input_metas: list[dict] | None = None,
    ) -> Sequence[Tensor] | None:
        """Bird's-eye-view features of a batch of frames.

        Args:
            voxel_dict: ``voxels`` ``(N, C)`` points of all frames, ``coors`` ``(N, 4)``.
            points: One ``(N_b, C)`` tensor per frame.
            img_feats: Pyramid of ``(B, C, h, w)`` maps, or None without a camera.
            batch_input_metas: Metadata of each frame.
        """
        if not self.with_pts_bbox:
            return None
        voxels, coors = self.pts_voxel_encoder(
            voxel_dict["voxels"], voxel_dict["coors"], points, img_feats, batch_input_metas
        )
        if img_feats is None and self.with_img_backbone:
            voxels = voxels + keep_in_graph(self.img_backbone, getattr(self, "img_neck", None))
        features = self.pts_middle_encoder(voxels, coors, len(points))
        features = self.pts_backbone(features)
        return self.pts_neck(features) if self.with_pts_neck else features

    def _forward(
        self, batch_inputs_dict: dict, batch_data_samples: Sequence[Any], **kwargs: Any
    ) -> tuple:
        """What the head says before boxes are decoded (``mode='tensor'``, which the host lacks)."""
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.pts_bbox_head(self.extract_feat(batch_inputs_dict, metas)[1])
