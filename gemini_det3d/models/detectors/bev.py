"""A detector that fuses camera and LiDAR as two maps seen from above, of mmdet3d's parts.

Image backbone and neck, lifted to a map; voxels or pillars, encoded to a map; one fusion neck;
then mmdet3d's 2D backbone, neck and head. The layout is BEVFusion's (Liu et al., ICRA 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmdet3d.models.detectors import MVXTwoStageDetector
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.geometry import send
from gemini_det3d.models.auxiliary import WithAuxiliaryLosses
from gemini_det3d.models.layers import keep_in_graph
from gemini_det3d.models.metas import view_geometries
from gemini_det3d.models.sensor_metas import sensor_mask
from gemini_det3d.registration import register

_IMAGE_PARTS = ("img_backbone", "img_neck")
_LIDAR_PARTS = ("pts_voxel_encoder", "pts_middle_encoder", "pts_stem")


@register(MODELS)
class GeminiBEVDetector(WithAuxiliaryLosses, MVXTwoStageDetector):
    """Two maps, one fusion, one head; with one of the sensors left out, a detector of the other.

    Missing sensors (``sensor_mask``, see :func:`gemini_det3d.models.sensor_metas.sensor_mask`) are
    not computed at all: their data are not read, nor seen by any batch normalisation, and the
    fusion neck takes only what exists. Without a camera in the model there is nothing else to go
    by: a missing LiDAR is an empty cloud then, which passes all parts.

    Args:
        view_transform: Config of the lift from image features to the camera's map; None: LiDAR
            only.
        pts_voxel_encoder: Config of the voxel encoder, of dynamic or hard voxels as the data
            preprocessor makes them; None: camera only.
        pts_middle_encoder: Config of the encoder from voxels to the LiDAR's map.
        pts_stem: Config of a 2D backbone of one stage on the LiDAR's map before the fusion, or
            None.
        pts_fusion_layer: Config of the neck that fuses the maps, camera first; a
            ``MapFusionNeck``. Needed with both sensors, meaningless with one.
        meta_defaults: Values for metadata entries that the pipeline is known not to write.
        pixel_offset: Added to the pixels that the calibration gives: (0.5, 0.5) where it counts
            from the centres of pixels, as KITTI and nuScenes do; see
            :mod:`gemini_det3d.geometry`.
        **kwargs: The other arguments of ``MVXTwoStageDetector``: ``img_backbone``, ``img_neck``,
            ``pts_backbone``, ``pts_neck``, ``pts_bbox_head``, ``train_cfg``, ``test_cfg``,
            ``data_preprocessor``, ``init_cfg``.

    Raises:
        ValueError: Parts that do not make a detector; the message names them.
    """

    def __init__(
        self,
        view_transform: dict | None = None,
        pts_voxel_encoder: dict | None = None,
        pts_middle_encoder: dict | None = None,
        pts_stem: dict | None = None,
        pts_fusion_layer: dict | None = None,
        meta_defaults: Mapping[str, Any] | None = None,
        pixel_offset: tuple[float, float] = (0.0, 0.0),
        **kwargs: Any,
    ) -> None:
        given = (view_transform, pts_voxel_encoder, pts_fusion_layer)
        _check_parts(*(part is not None for part in given), kwargs)
        if (pts_voxel_encoder is None) != (pts_middle_encoder is None):
            raise ValueError("pts_voxel_encoder and pts_middle_encoder need each other")
        super().__init__(
            pts_voxel_encoder=pts_voxel_encoder,
            pts_middle_encoder=pts_middle_encoder,
            pts_fusion_layer=pts_fusion_layer,
            **kwargs,
        )
        if view_transform is not None:
            self.view_transform = MODELS.build(view_transform)
        if pts_stem is not None:
            self.pts_stem = MODELS.build(pts_stem)
        self.with_camera = view_transform is not None
        self.with_lidar = pts_voxel_encoder is not None
        self.meta_defaults = dict(meta_defaults or {})
        self.pixel_offset = (float(pixel_offset[0]), float(pixel_offset[1]))

    def extract_feat(
        self, batch_inputs_dict: dict, batch_input_metas: list[dict]
    ) -> tuple[None, Sequence[Tensor]]:
        """Features of a batch of B frames for the box head.

        Args:
            batch_inputs_dict: ``points``: B tensors; ``voxels``: as voxelised; ``imgs``:
                ``(B, 3, H, W)`` or ``(B, V, 3, H, W)``, or absent.
            batch_input_metas: Metadata of the frames.

        Returns:
            None, for there is no head on the image, and the feature maps for the box head.
        """
        images = batch_inputs_dict.get("imgs") if self.with_camera else None
        if images is not None and images.dim() == 4:
            images = images[:, None]
        has_lidar = sensor_mask(batch_input_metas, "lidar")[:, 0]
        maps, exists = [], []
        if self.with_camera:
            points = batch_inputs_dict.get("points") or [None] * len(batch_input_metas)
            points = [p if has else None for p, has in zip(points, has_lidar.tolist())]
            camera, seen = self.camera_map(images, points, batch_input_metas)
            maps.append(camera)
            exists.append(seen)
        if self.with_lidar:
            maps.append(self.lidar_map(batch_inputs_dict["voxels"], has_lidar))
            exists.append(torch.from_numpy(has_lidar))
        fused = self.pts_fusion_layer(maps, exists) if len(maps) == 2 else maps[0]
        features = self.pts_backbone(fused)
        return None, self.pts_neck(features) if self.with_pts_neck else features

    def camera_map(
        self,
        images: Tensor | None,
        points: Sequence[Tensor | None],
        metas: Sequence[Mapping[str, Any]],
    ) -> tuple[Tensor, Tensor]:
        """The camera's map, of the cameras that exist.

        Args:
            images: ``(B, V, 3, H, W)``, or None without a camera.
            points: Of each frame, None without LiDAR.
            metas: Metadata of the B frames.

        Returns:
            ``(B, C, h, w)`` map, and ``(B, h, w)`` bool, the cells that a camera sees.
        """
        has_camera = None if images is None else sensor_mask(metas, "camera", images.shape[1])
        if has_camera is None or not has_camera.any():
            nothing = next(self.view_transform.parameters()).new_zeros(0)
            bev, seen = self.view_transform(nothing, [], [], points)
            return bev + keep_in_graph(*self._parts(_IMAGE_PARTS)), seen
        # The preprocessor writes batch_input_shape; input_shape serves those who call without it.
        size = tuple(images.shape[-2:])
        geometries, sample_of = [], []
        for sample, (meta, has) in enumerate(zip(metas, has_camera.tolist())):
            if any(has):
                views = view_geometries(
                    {"input_shape": size, **meta},
                    len(has),
                    defaults=self.meta_defaults,
                    pixel_offset=self.pixel_offset,
                )
                geometries += [view for view, exists in zip(views, has) if exists]
                sample_of += [sample] * sum(has)
        features = self.img_backbone(_existing(images, has_camera))
        if self.with_img_neck:
            features = self.img_neck(features)
        level = features[self.view_transform.feature_level]
        return self.view_transform(level, geometries, sample_of, points)

    def lidar_map(self, voxels: Mapping[str, Tensor], has_lidar: np.ndarray) -> Tensor:
        """The LiDAR's map ``(B, C, h, w)``.

        Zeros for frames without one; in a detector of LiDAR alone what ``pts_middle_encoder`` and
        ``pts_stem`` make of an empty cloud.

        Args:
            voxels: ``voxels`` and ``coors``, and of hard voxels ``num_points``.
            has_lidar: ``(B,)`` bool.
        """
        if not self.with_camera:  # nothing else to go by: no LiDAR is an empty cloud
            return self._encoded(_of_frames(voxels, has_lidar, False), len(has_lidar))
        if not has_lidar.any():
            shape = (self.pts_fusion_layer.in_channels[1], *self.view_transform.grid.shape)
            zeros = voxels["voxels"].new_zeros(len(has_lidar), *shape)
            return zeros + keep_in_graph(*self._parts(_LIDAR_PARTS))
        present = self._encoded(_of_frames(voxels, has_lidar, True), int(has_lidar.sum()))
        if has_lidar.all():
            return present
        rows = send(np.flatnonzero(has_lidar), present.device)
        return present.new_zeros(len(has_lidar), *present.shape[1:]).index_copy(0, rows, present)

    def _encoded(self, voxels: Mapping[str, Tensor], batch_size: int) -> Tensor:
        if "num_points" in voxels:
            coors = voxels["coors"]
            encoded = self.pts_voxel_encoder(voxels["voxels"], voxels["num_points"], coors)
        else:
            encoded, coors = self.pts_voxel_encoder(voxels["voxels"], voxels["coors"])
        bev = self.pts_middle_encoder(encoded, coors, batch_size)
        return self.pts_stem(bev)[-1] if hasattr(self, "pts_stem") else bev

    def _parts(self, names: Sequence[str]) -> list[nn.Module]:
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def _forward(
        self, batch_inputs_dict: dict, batch_data_samples: Sequence[Any], **kwargs
    ) -> tuple:
        """What the head says before boxes are decoded (``mode='tensor'``)."""
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.pts_bbox_head(self.extract_feat(batch_inputs_dict, metas)[1])


def _existing(images: Tensor, has_camera: np.ndarray) -> Tensor:
    """``(B, V, 3, H, W)`` -> the N images that are real, ``(N, 3, H, W)``."""
    images = images.flatten(0, 1)
    if has_camera.all():
        return images
    return images[send(np.flatnonzero(has_camera), images.device)]


def _of_frames(
    voxels: Mapping[str, Tensor], has_lidar: np.ndarray, is_renumbered: bool
) -> Mapping[str, Tensor]:
    """The voxels of frames with a LiDAR, numbered as before or one after the other."""
    if has_lidar.all():
        return voxels
    frame = voxels["coors"][:, 0].long()
    chosen = send(has_lidar, frame.device)
    kept = chosen[frame]
    voxels = {name: value[kept] for name, value in voxels.items() if len(value) == len(kept)}
    if is_renumbered:
        number = (chosen.cumsum(0) - 1)[frame[kept]].to(voxels["coors"].dtype)
        voxels["coors"] = torch.cat([number[:, None], voxels["coors"][:, 1:]], dim=1)
    return voxels


def _check_parts(
    has_camera: bool, has_lidar: bool, has_fusion: bool, parts: Mapping[str, Any]
) -> None:
    """Say which part is missing or stands for nothing."""
    if not (has_camera or has_lidar):
        raise ValueError("a detector needs view_transform, pts_voxel_encoder, or both")
    if has_fusion != (has_camera and has_lidar):
        raise ValueError(
            "pts_fusion_layer fuses two maps: it needs view_transform and pts_voxel_encoder, and "
            "they need it"
        )
    if has_camera != bool(parts.get("img_backbone")):
        raise ValueError("view_transform and img_backbone need each other")
    if not parts.get("pts_backbone") or not parts.get("pts_bbox_head"):
        raise ValueError("a detector needs pts_backbone and pts_bbox_head")
