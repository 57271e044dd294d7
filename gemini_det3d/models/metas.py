"""mmdet3d's metadata as matrices, read once, with nothing guessed.

mmdet3d's own ``PointFusion`` falls back to scale 1, crop 0, no flip and no augmentation when an
entry is missing, so a pipeline whose ``meta_keys`` forget one misaligns every point in silence.
Here a missing entry is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gemini_det3d.geometry import image_matrix, point_to_pixel_matrix, points_matrix

PROJECTION_KEY = {"LIDAR": "lidar2img", "DEPTH": "depth2img", "CAMERA": "cam2img"}
# Entry of the metadata that holds the value of each recorded augmentation step.
STEP_KEY = {"R": "pcd_rotation", "S": "pcd_scale_factor", "T": "pcd_trans"}
# Resizing rounds the image to whole pixels, so sizes may differ from ori_shape * scale by one.
ROUNDING_PX = 1.0


@dataclass(frozen=True)
class ImageGeometry:
    """Where augmented points fall in the augmented image of one sample.

    Attributes:
        matrix: ``(3, 4)`` float64, augmented point -> pixel of the augmented image (times depth).
        size: ``(height, width)`` of the augmented image without padding.
        padded_size: ``(height, width)`` that the feature maps cover.
    """

    matrix: Tensor
    size: tuple[int, int]
    padded_size: tuple[int, int]


def image_geometry(
    meta: Mapping[str, Any], coord_type: str = "LIDAR", defaults: Mapping[str, Any] | None = None
) -> ImageGeometry:
    """Read one sample's metadata.

    Args:
        meta: ``metainfo`` of a data sample as ``Pack3DDetInputs`` writes it.
        coord_type: Frame of the points: 'LIDAR', 'DEPTH' or 'CAMERA'.
        defaults: Values for entries that the pipeline is known not to write, e.g.
            ``dict(flip=False)`` for one without ``RandomFlip3D``. Used only where absent.

    Raises:
        KeyError: An entry that the geometry needs is missing; the message names it and the sample.
        ValueError: An entry cannot be right: a projection that is not one finite 4 x 4 or 3 x 4
            matrix, an image whose size does not follow from resize (and crop).
    """
    entries = _Entries({**(defaults or {}), **meta}, meta)
    size = tuple(int(v) for v in entries["img_shape"][:2])
    padded = entries.first("batch_input_shape", "input_shape")
    flow = entries["transformation_3d_flow"]
    points = points_matrix(
        flow,
        **{_ARGUMENT[s]: entries[STEP_KEY[s]] for s in flow if s in STEP_KEY},
        coord_type=coord_type,
    )
    image = image_matrix(
        [float(s) for s in entries["scale_factor"][:2]],
        _crop_offset(entries, size),
        bool(entries["flip"]),
        size[1],
    )
    projection = _projection(entries, PROJECTION_KEY[coord_type])
    matrix = point_to_pixel_matrix(projection, points, image)
    return ImageGeometry(matrix, size, tuple(int(v) for v in padded[:2]))


def sensor_masks(metas: Sequence[Mapping[str, Any]], num_cameras: int = 1) -> tuple[Tensor, Tensor]:
    """Which sensors each sample really has.

    The entry is ``sensor_mask = dict(camera=[bool per camera], lidar=bool)``, written by
    ``ModalityDropout`` and ``SensorSwitch`` and packed by ``PackSensorInputs``. Without it, and
    for a part of it that is absent, every sensor is there.

    Args:
        metas: Metadata of the B samples.
        num_cameras: Cameras of each sample.

    Returns:
        ``(B, num_cameras)`` and ``(B,)`` bool, on the CPU: the cameras, and the LiDAR.

    Raises:
        ValueError: An entry names another number of cameras; the message names the sample.
    """
    cameras = []
    for meta in metas:
        camera = (meta.get("sensor_mask") or {}).get("camera", [True] * num_cameras)
        if len(camera) != num_cameras:
            raise ValueError(
                f"sensor_mask of sample {_Entries({}, meta).sample} is for {len(camera)} cameras, "
                f"the model reads {num_cameras}"
            )
        cameras.append([bool(exists) for exists in camera])
    shape = (len(cameras), num_cameras)
    return torch.tensor(cameras, dtype=torch.bool).view(shape), lidar_mask(metas)


def lidar_mask(metas: Sequence[Mapping[str, Any]]) -> Tensor:
    """The second half of :func:`sensor_masks`, ``(B,)``, for any number of cameras."""
    lidars = [bool((meta.get("sensor_mask") or {}).get("lidar", True)) for meta in metas]
    return torch.tensor(lidars, dtype=torch.bool)


_ARGUMENT = {"R": "rotation", "S": "scale", "T": "translation"}


class _Entries:
    """A look-up whose failure tells the user what to do."""

    def __init__(self, values: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.values = values
        self.sample = meta.get("img_path") or meta.get("lidar_path") or meta.get("sample_idx", "?")

    def __getitem__(self, key: str) -> Any:
        if self.values.get(key) is None:
            raise KeyError(
                f"metadata of sample {self.sample} has no '{key}': add it to meta_keys of "
                f"Pack3DDetInputs, or state its value in meta_defaults of the fusion neck"
            )
        return self.values[key]

    def first(self, *keys: str) -> Any:
        for key in keys:
            if self.values.get(key) is not None:
                return self.values[key]
        return self[keys[0]]

    def get(self, key: str) -> Any:
        return self.values.get(key)


def _projection(entries: _Entries, key: str) -> Tensor:
    matrix = torch.as_tensor(entries[key], dtype=torch.float64).cpu()
    if matrix.ndim != 2 or matrix.shape[0] not in (3, 4) or matrix.shape[1] != 4:
        raise ValueError(
            f"'{key}' of sample {entries.sample} must be one 3 x 4 or 4 x 4 matrix, "
            f"got shape {tuple(matrix.shape)}"
        )
    if not torch.isfinite(matrix).all():
        raise ValueError(f"'{key}' of sample {entries.sample} holds values that are not finite")
    return matrix


def _crop_offset(entries: _Entries, size: tuple[int, int]) -> tuple[float, float]:
    """The recorded crop; without a record, proof that there was none."""
    offset = entries.get("img_crop_offset")
    if offset is not None:
        return float(offset[0]), float(offset[1])
    original = entries.get("ori_shape")
    if original is None:
        return 0.0, 0.0
    scale = entries["scale_factor"]
    expected = (original[0] * scale[1], original[1] * scale[0])
    if max(abs(expected[0] - size[0]), abs(expected[1] - size[1])) > ROUNDING_PX:
        raise ValueError(
            f"metadata of sample {entries.sample} has no 'img_crop_offset', yet the image is "
            f"{size[0]} x {size[1]} where resizing alone gives "
            f"{expected[0]:.1f} x {expected[1]:.1f}: add img_crop_offset to meta_keys"
        )
    return 0.0, 0.0
