"""mmdet3d's metadata as matrices, read once, with nothing guessed.

mmdet3d's own ``PointFusion`` falls back to scale 1, crop 0, no flip and no augmentation when an
entry is missing, so a pipeline whose ``meta_keys`` forget one misaligns every point in silence.
Here a missing entry is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gemini_det3d.geometry import image_matrix, in_image, point_to_pixel_matrix, points_matrix, send
from gemini_det3d.geometry.matrices import as_4x4

PROJECTION_KEY = {"LIDAR": "lidar2img", "DEPTH": "depth2img", "CAMERA": "cam2img"}
# Projections whose points are measured from the camera, so that 3 x 3 says it all.
_FROM_THE_CAMERA = ("depth2img", "cam2img")
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
        image: ``(3, 3)`` float64, original pixel -> augmented pixel, where a rotation or an
            enlarged canvas can leave parts of the augmented image empty; None: it is full.
        original_size: ``(height, width)`` of the original image, given with ``image``.
    """

    matrix: Tensor
    size: tuple[int, int]
    padded_size: tuple[int, int]
    image: Tensor | None = None
    original_size: tuple[int, int] | None = None

    def shows(self, pixels: Tensor) -> Tensor:
        """Which pixels ``(..., 2)`` of the augmented image show anything: ``(...)`` bool."""
        shown = in_image(pixels, *self.size)
        if self.image is None or self.original_size is None:
            return shown
        undo = send(np.linalg.inv(self.image.numpy()), pixels.device, pixels.dtype)
        return shown & in_image(pixels @ undo[:2, :2].T + undo[:2, 2], *self.original_size)


def image_geometry(
    meta: Mapping[str, Any],
    coord_type: str = "LIDAR",
    defaults: Mapping[str, Any] | None = None,
    pixel_offset: tuple[float, float] = (0.0, 0.0),
) -> ImageGeometry:
    """Read one sample's metadata.

    Args:
        meta: ``metainfo`` of a data sample as ``Pack3DDetInputs`` writes it.
        coord_type: Frame of the points: 'LIDAR', 'DEPTH' or 'CAMERA'.
        defaults: Values for entries that the pipeline is known not to write, e.g.
            ``dict(flip=False)`` for one without ``RandomFlip3D``. Used only where absent.
        pixel_offset: Added to the pixels that the calibration gives, before the image was
            augmented: what leads from its way of counting to left and top edge at 0 (see
            :mod:`gemini_det3d.geometry`).

    Raises:
        KeyError: An entry that the geometry needs is missing; the message names it and the sample.
        ValueError: An entry cannot be right: a projection that is not one finite 4 x 4 or 3 x 4
            matrix (3 x 3 where points are in the camera's place, as SUN RGB-D's), an image whose
            size does not follow from resize (and crop).
    """
    entries = _Entries({**(defaults or {}), **meta}, meta)
    size = tuple(int(v) for v in entries["img_shape"][:2])
    padded = entries.first("batch_input_shape", "input_shape")
    points = _points_matrix(entries, coord_type)
    image = image_matrix(
        [float(s) for s in entries["scale_factor"][:2]],
        _crop_offset(entries, size),
        bool(entries["flip"]),
        size[1],
        height_px=size[0],
        flip_direction=entries.get("flip_direction") or "horizontal",
    )
    projection = _projection(entries, PROJECTION_KEY[coord_type])
    matrix = point_to_pixel_matrix(projection, points, image @ _shift(pixel_offset))
    return ImageGeometry(matrix, size, tuple(int(v) for v in padded[:2]))


def view_geometries(
    meta: Mapping[str, Any],
    num_views: int,
    coord_type: str = "LIDAR",
    defaults: Mapping[str, Any] | None = None,
    pixel_offset: tuple[float, float] = (0.0, 0.0),
) -> list[ImageGeometry]:
    """Where augmented points fall in each of one sample's images.

    With ``img_aug_matrix`` (one per view, 3 x 3 on ``[u, v, 1]`` or 4 x 4 with the shift in the
    last column, as BEVFusion writes it) that is the image augmentation; the projection is
    ``lidar2img`` of each view, or ``cam2img @ lidar2cam``. BEVFusion's transform leaves
    ``img_shape`` as the files have it, so images are at most as large as what the maps cover.
    Where cameras differ in size, ``ori_shapes`` has one for each view. A single view without
    ``img_aug_matrix`` is read as by :func:`image_geometry`.

    Args:
        meta: ``metainfo`` of a data sample.
        num_views: Images of the sample.
        coord_type: As in :func:`image_geometry`.
        defaults: As in :func:`image_geometry`.
        pixel_offset: As in :func:`image_geometry`, of every view.

    Raises:
        KeyError: A needed entry is missing; the message names it and the sample.
        ValueError: An entry cannot be right, or is for another number of views.
    """
    entries = _Entries({**(defaults or {}), **meta}, meta)
    if num_views == 1 and entries.get("img_aug_matrix") is None:
        return [image_geometry(meta, coord_type, defaults, pixel_offset)]
    padded = tuple(int(v) for v in entries.first("batch_input_shape", "input_shape")[:2])
    height, width = (min(int(v), limit) for v, limit in zip(entries["img_shape"], padded))
    shapes = entries.get("ori_shapes") or [entries["ori_shape"]] * num_views
    originals = [(int(shape[0]), int(shape[1])) for shape in shapes]
    points = _points_matrix(entries, coord_type)
    images = _image_matrices(entries, num_views)
    moved = torch.from_numpy(images @ _shift(pixel_offset).numpy())
    projections = torch.from_numpy(_projections(entries, num_views, coord_type))
    matrices = point_to_pixel_matrix(projections, points, moved)
    return [
        ImageGeometry(matrix, (height, width), padded, image, original)
        for matrix, image, original in zip(matrices, torch.from_numpy(images), originals)
    ]


def sample_name(meta: Mapping[str, Any]) -> Any:
    """What a sample is called in a message: its first file, or its number."""
    return meta.get("img_path") or meta.get("lidar_path") or meta.get("sample_idx", "?")


def _shift(offset: tuple[float, float]) -> Tensor:
    return image_matrix((1.0, 1.0), (-offset[0], -offset[1]))


_REMEDY = (
    "Pack3DDetInputs, or state its value in meta_defaults of the fusion neck, or of the model "
    "where that is a GeminiBEVDetector"
)
_FLOW = "transformation_3d_flow"
_ARGUMENT = {"R": "rotation", "S": "scale", "T": "translation"}


class _Entries:
    """A look-up whose failure tells the user what to do."""

    def __init__(self, values: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.values = values
        self.sample = sample_name(meta)

    def __getitem__(self, key: str) -> Any:
        if self.values.get(key) is None:
            raise KeyError(
                f"metadata of sample {self.sample} has no '{key}': add it to meta_keys of {_REMEDY}"
            )
        return self.values[key]

    def first(self, *keys: str) -> Any:
        for key in keys:
            if self.values.get(key) is not None:
                return self.values[key]
        return self[keys[0]]

    def get(self, key: str) -> Any:
        return self.values.get(key)


def _points_matrix(entries: _Entries, coord_type: str) -> Tensor:
    """Of mmdet3d's record, or of BEVFusion's, whose flips stand in ``lidar_aug_matrix`` alone."""
    whole = entries.get("lidar_aug_matrix")
    flow = entries[_FLOW] if whole is None else entries.get(_FLOW) or ()
    values = {_ARGUMENT[s]: entries[STEP_KEY[s]] for s in flow if s in STEP_KEY}
    steps = points_matrix(flow, **values, coord_type=coord_type)
    if whole is None:
        return steps
    matrix = torch.from_numpy(_on_host(whole))
    told, found = (each[:3, :3].abs() for each in (steps, matrix))  # whatever is flipped
    if {"HF", "VF"} & set(flow) or not torch.allclose(told, found, rtol=0, atol=1e-3):
        raise ValueError(
            f"metadata of sample {entries.sample} tell of two augmentations of the points: "
            f"'lidar_aug_matrix' does not hold what '{_FLOW}' {list(flow)} names; take the steps "
            "of BEVFusion or those of mmdet3d, not some of each"
        )
    return matrix


def _projections(entries: _Entries, num_views: int, coord_type: str) -> np.ndarray:
    """One projection per view, ``(V, 3, 4)``: stated, or camera matrix times pose."""
    key = PROJECTION_KEY[coord_type]
    if entries.get(key) is None and coord_type == "LIDAR":
        cameras, poses = (_matrices(entries, k, num_views) for k in ("cam2img", "lidar2cam"))
        return (as_4x4(cameras) @ as_4x4(poses))[:, :3]
    return _matrices(entries, key, num_views)[:, :3]


def _image_matrices(entries: _Entries, num_views: int) -> np.ndarray:
    """``(V, 3, 3)``."""
    matrices = _matrices(entries, "img_aug_matrix", num_views)
    if matrices.shape[-1] == 3:
        return matrices
    images = np.tile(np.eye(3), (num_views, 1, 1))
    images[:, :2, :2], images[:, :2, 2] = matrices[:, :2, :2], matrices[:, :2, 3]
    return images


def _matrices(entries: _Entries, key: str, num_views: int) -> np.ndarray:
    matrices = _on_host(entries[key])
    matrices = matrices[None] if matrices.ndim == 2 and num_views == 1 else matrices
    rows, columns = matrices.shape[-2:] if matrices.ndim == 3 else (0, 0)
    if len(matrices) != num_views or rows not in (3, 4) or columns not in (3, 4):
        raise ValueError(
            f"'{key}' of sample {entries.sample} must be {num_views} matrices of 3 or 4 rows and "
            f"columns, got shape {matrices.shape}"
        )
    if not np.isfinite(matrices).all():
        raise ValueError(f"'{key}' of sample {entries.sample} holds values that are not finite")
    return matrices


def _projection(entries: _Entries, key: str) -> Tensor:
    matrix = _on_host(entries[key])
    if key in _FROM_THE_CAMERA and matrix.shape == (3, 3):
        matrix = np.pad(matrix, ((0, 0), (0, 1)))
    if matrix.ndim != 2 or matrix.shape[0] not in (3, 4) or matrix.shape[1] != 4:
        raise ValueError(
            f"'{key}' of sample {entries.sample} must be one 3 x 4 or 4 x 4 matrix, "
            f"got shape {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"'{key}' of sample {entries.sample} holds values that are not finite")
    return torch.from_numpy(matrix)


def _on_host(matrix: Any) -> np.ndarray:
    if isinstance(matrix, Tensor) and matrix.device.type != "cpu":
        matrix = matrix.cpu()
    return np.array(matrix, dtype=np.float64)


def _crop_offset(entries: _Entries, size: tuple[int, int]) -> tuple[float, float]:
    """The recorded crop; without a record, proof that there was none."""
    offset = entries.get("img_crop_offset")
    if offset is not None:
        return float(offset[0]), float(offset[1])
    original = entries.get("ori_shape")
    if original is None:
        raise KeyError(
            f"metadata of sample {entries.sample} has neither 'img_crop_offset' nor 'ori_shape', "
            f"so nothing tells whether the image was cropped: add one to meta_keys of {_REMEDY}"
        )
    scale = entries["scale_factor"]
    expected = (original[0] * scale[1], original[1] * scale[0])
    if max(abs(expected[0] - size[0]), abs(expected[1] - size[1])) > ROUNDING_PX:
        raise ValueError(
            f"metadata of sample {entries.sample} has no 'img_crop_offset', yet the image is "
            f"{size[0]} x {size[1]} where resizing alone gives "
            f"{expected[0]:.1f} x {expected[1]:.1f}: add img_crop_offset to meta_keys"
        )
    return 0.0, 0.0
