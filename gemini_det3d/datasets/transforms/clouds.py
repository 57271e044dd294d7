"""Steps of a KITTI training pipeline that do the same as mmdet3d's with fewer passes.

Under ``_scope_="gemini_det3d"`` they carry mmdet3d's names, and draw the same numbers in the same
order. Coordinates agree with mmdet3d's to the rounding of float32, everything else exactly. Where
in a pipeline an array's memory is shared is unchanged: points are written to in place, as there.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmdet3d.datasets.transforms import (
    GlobalRotScaleTrans,
    Pack3DDetInputs,
    PointShuffle,
    PointsRangeFilter,
)
from mmdet3d.structures.points import BasePoints

from gemini_det3d.registration import register
from gemini_det3d.registry import TRANSFORMS

__all__ = [
    "QuickGlobalRotScaleTrans",
    "QuickPack3DDetInputs",
    "QuickPointShuffle",
    "QuickPointsRangeFilter",
]

_MASKS = ("pts_instance_mask", "pts_semantic_mask")


@register(TRANSFORMS, "GlobalRotScaleTrans")
class QuickGlobalRotScaleTrans(GlobalRotScaleTrans):
    """mmdet3d's, with one product for the points in place of a turn, a scaling and a shift."""

    def transform(self, input_dict: dict) -> dict:
        """Turn, scale and shift ``points`` and ``gt_bboxes_3d``; notes what was drawn.

        mmdet3d's own steps are run on the boxes and on no points at all, then the points follow.
        """
        points = input_dict["points"]
        input_dict["points"] = points[:0]
        results = super().transform(input_dict)
        scale = results["pcd_scale_factor"]
        places = points.tensor.numpy()[:, :3]
        # numpy's product of so narrow matrices takes a tenth of torch's time
        turned = places @ (results["pcd_rotation"] * scale).numpy()
        np.add(turned, np.float32(results["pcd_trans"]), out=places)
        if self.shift_height:
            points.tensor[:, points.attribute_dims["height"]] *= scale
        results["points"] = points
        return results


@register(TRANSFORMS, "PointsRangeFilter")
class QuickPointsRangeFilter(PointsRangeFilter):
    """mmdet3d's, column by column and gathering whole rows."""

    def transform(self, input_dict: dict) -> dict:
        """Keep the ``points``, and their masks, strictly within the range."""
        points = input_dict["points"]
        inside = np.ones(len(points), bool)
        for axis, column in enumerate(np.ascontiguousarray(points.tensor.numpy()[:, :3].T)):
            inside &= column > self.pcd_range[axis]
            inside &= column < self.pcd_range[3 + axis]
        kept = np.flatnonzero(inside)
        input_dict["points"] = _rows(points, torch.from_numpy(kept))
        for key in _MASKS:
            if input_dict.get(key) is not None:
                input_dict[key] = input_dict[key][kept]
        return input_dict


@register(TRANSFORMS, "PointShuffle")
class QuickPointShuffle(PointShuffle):
    """mmdet3d's, gathering whole rows."""

    def transform(self, input_dict: dict) -> dict:
        """Shuffle the ``points``, and their masks."""
        points = input_dict["points"]
        order = torch.randperm(len(points))
        input_dict["points"] = _rows(points, order)
        for key in _MASKS:
            if input_dict.get(key) is not None:
                input_dict[key] = input_dict[key][order.numpy()]
        return input_dict


@register(TRANSFORMS, "Pack3DDetInputs")
class QuickPack3DDetInputs(Pack3DDetInputs):
    """mmdet3d's, with the image's channels split by OpenCV."""

    def pack_single_results(self, results: dict) -> dict:
        """Pack one sample; an ``img`` (H, W, 3) of bytes becomes (3, H, W)."""
        image = results.get("img")
        is_plain = isinstance(image, np.ndarray) and image.ndim == 3 and image.dtype == np.uint8
        if not is_plain:
            return super().pack_single_results(results)
        planes = torch.from_numpy(_planes(image))
        packed = super().pack_single_results({k: v for k, v in results.items() if k != "img"})
        if "img" in self.keys:
            packed["inputs"]["img"] = planes
        return packed


def _planes(image: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C, H, W), contiguous; a mirrored view is mirrored back first."""
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    if image.strides[1] < 0 and image[:, ::-1].flags.c_contiguous:
        image = cv2.flip(image[:, ::-1], 1).reshape(image.shape)
    cv2.split(np.ascontiguousarray(image), list(planes))
    return planes


def _rows(points: BasePoints, rows: torch.Tensor) -> BasePoints:
    kept = points.tensor.index_select(0, rows)
    return type(points)(kept, points_dim=points.points_dim, attribute_dims=points.attribute_dims)
