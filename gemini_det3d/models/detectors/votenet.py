"""VoteNet (Qi et al., ICCV 2019) whose seeds read the image before they vote.

ImVoteNet (Qi et al., CVPR 2020) needs a trained 2D detector and its boxes at the seeds; here the
feature map of an image backbone is read where each seed falls, and a fusion operator lets the two
streams exchange what they know.

Shapes: B frames, S seeds, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet3d.models.detectors import VoteNet
from mmdet3d.registry import MODELS
from torch import Tensor

from gemini_det3d.models.auxiliary import WithAuxiliaryLosses
from gemini_det3d.models.layers import keep_in_graph
from gemini_det3d.models.metas import sample_name
from gemini_det3d.models.sensor_metas import sensor_mask
from gemini_det3d.registration import register

_METAS = "img_metas"


@register(MODELS)
class GeminiVoteNet(WithAuxiliaryLosses, VoteNet):
    """``VoteNet`` with an optional image branch; without one it is ``VoteNet``.

    The losses of the fusion operators inside are part of its losses. A frame whose ``sensor_mask``
    takes its ``lidar``, that is, its points, has no detection, and cannot be trained on.

    Args:
        img_backbone: Config of the image backbone, e.g. mmdet's ResNet; None: points only.
        img_neck: Config of the image neck, e.g. mmdet's FPN.
        fusion_layer: Config of the layer that fuses at the seeds, a ``PointFusionNeck`` with
            ``coord_type='DEPTH'``. Its ``out_channels`` are the vote module's ``in_channels``.
        **kwargs: The arguments of ``VoteNet``.

    Attributes:
        needs_points: Training may not take the points of a frame, nor change their number.

    Raises:
        ValueError: An image branch without fusion or the reverse, or channels that do not fit.
    """

    needs_points = True

    def __init__(
        self,
        img_backbone: dict | None = None,
        img_neck: dict | None = None,
        fusion_layer: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if (img_backbone is None) != (fusion_layer is None):
            raise ValueError("img_backbone and fusion_layer need each other: give both or neither")
        super().__init__(**kwargs)
        self.img_backbone = MODELS.build(img_backbone) if img_backbone else None
        self.img_neck = MODELS.build(img_neck) if img_neck else None
        self.fusion_layer = MODELS.build(fusion_layer) if fusion_layer else None
        if self.fusion_layer is not None:
            self._check_fusion(fusion_layer)

    def extract_feat(self, batch_inputs_dict: dict[str, Any]) -> dict[str, Any]:
        """Features of the points, with the image's at the seeds if there is an image branch.

        Args:
            batch_inputs_dict: ``points``, B tensors ``(N, 3 or more)``; ``imgs`` ``(B, 3, H, W)``
                or absent; ``img_metas``, metadata of the B frames.

        Returns:
            What the point backbone returns, and ``seed_points``, ``seed_features`` ``(B, C, S)``
            and ``seed_indices`` for the head.
        """
        features = super().extract_feat(batch_inputs_dict)
        if self.fusion_layer is None:
            return features
        seeds, seed_features, indices = self.bbox_head._extract_input(features)
        tokens = seed_features.transpose(1, 2).flatten(0, 1)  # (B, C, S) -> (B S, C)
        images = self.extract_img_feat(batch_inputs_dict.get("imgs"))
        fused = self.fusion_layer(images, list(seeds), tokens, batch_inputs_dict[_METAS])
        if images is None:
            fused = fused + keep_in_graph(self.img_backbone, self.img_neck)
        fused = fused.unflatten(0, seeds.shape[:2]).transpose(1, 2)
        return dict(
            features,
            seed_points=seeds,
            seed_features=fused.contiguous(),
            seed_indices=indices,
        )

    def extract_img_feat(self, imgs: Tensor | None) -> Sequence[Tensor] | None:
        """Pyramid of ``(B, C, h, w)`` maps; None without images."""
        if imgs is None:
            return None
        maps = self.img_backbone(imgs)
        return self.img_neck(maps) if self.img_neck is not None else maps

    def loss(self, batch_inputs_dict: dict, batch_data_samples: Sequence, **kwargs: Any) -> dict:
        """Losses by name; see ``VoteNet``.

        Raises:
            ValueError: ``sensor_mask`` takes the points of a frame.
        """
        inputs = _with_metas(batch_inputs_dict, batch_data_samples)
        _check_points(inputs[_METAS])
        return super().loss(inputs, batch_data_samples, **kwargs)

    def predict(self, batch_inputs_dict: dict, batch_data_samples: Sequence, **kwargs: Any) -> list:
        """Data samples with detections; see ``VoteNet``."""
        inputs = _with_metas(batch_inputs_dict, batch_data_samples)
        results = super().predict(inputs, batch_data_samples, **kwargs)
        for result, has_points in zip(results, sensor_mask(inputs[_METAS], "lidar")[:, 0]):
            if not has_points:
                result.pred_instances_3d = result.pred_instances_3d[:0]
        return results

    def aug_test(self, aug_inputs_list: list, aug_data_samples: list, **kwargs: Any) -> list:
        """Detections merged over augmented views; see ``VoteNet``."""
        inputs = [_with_metas(*view) for view in zip(aug_inputs_list, aug_data_samples)]
        for view in inputs:
            _check_points(view[_METAS])
        return super().aug_test(inputs, aug_data_samples, **kwargs)

    def _forward(self, batch_inputs_dict: dict, data_samples: Sequence = (), **kwargs: Any) -> dict:
        """What the head predicts, undecoded."""
        inputs = _with_metas(batch_inputs_dict, data_samples or ())
        return self.bbox_head(self.extract_feat(inputs))

    def _check_fusion(self, config: dict) -> None:
        wanted = self.bbox_head.vote_module.in_channels
        out_channels = getattr(self.fusion_layer, "out_channels", wanted)
        if out_channels != wanted:
            raise ValueError(
                f"fusion_layer.out_channels is {out_channels}, but "
                f"bbox_head.vote_module_cfg.in_channels is {wanted}"
            )
        if config.get("coord_type", "LIDAR") != "DEPTH":
            raise ValueError(
                "fusion_layer.coord_type must be 'DEPTH', the frame of indoor points, got "
                f"{config.get('coord_type', 'LIDAR')!r}"
            )


def _check_points(metas: Sequence[Mapping[str, Any]]) -> None:
    for meta, has_points in zip(metas, sensor_mask(metas, "lidar")[:, 0]):
        if not has_points:
            raise ValueError(
                f"GeminiVoteNet votes from points: sensor_mask of sample {sample_name(meta)} "
                "takes its lidar, so there is nothing to learn from"
            )


def _with_metas(inputs: dict, samples: Sequence) -> dict:
    return {**inputs, _METAS: [sample.metainfo for sample in samples]}
