"""Where a point falls: projection and back, undoing augmentation, reading maps, filling BEV grids.

Matrices in, tensors out. Knows torch and nothing of OpenMMLab; :mod:`~gemini_det3d.geometry.boxes`
and :mod:`~gemini_det3d.geometry.matrices`, for arrays, need NumPy alone, so torch is loaded with
the names below only.

**Where a pixel is.** Three ways of counting meet here:

- ours: the image's left and top edge are at 0, so column c covers c to c + 1 and its centre is at
  c + 0.5. Resizing is a plain factor, flipping is ``width - u``, and a feature map of any stride
  covers the same range. Every function of this package counts so.
- from centres: the centre of the first column is 0, as OpenCV, KITTI, nuScenes and the synthetic
  camera have it. ``pixel_offset=(0.5, 0.5)`` leads from there to ours.
- from one: the centre of the first column is 1, as SUN RGB-D's Matlab tools have it.
  ``pixel_offset=(-0.5, -0.5)``.

mmdet3d and the released GeminiFusion take the numbers as they are (``pixel_offset=(0, 0)``), which
reads half a pixel beside the truth, on the other side when the image is flipped.

**What is in the image.** One rule (:func:`in_view`): more than ``MIN_DEPTH_M`` before the camera,
and ``0 <= u < width``, ``0 <= v < height``. ``boxes.in_view`` is the same rule for arrays.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .augmentation import image_matrix, points_matrix
    from .bev import BevGrid, cells_in_view
    from .lifting import (
        DepthBins,
        feature_pixels,
        invert_projection,
        lift_pixels,
        measured_depth,
    )
    from .pooling import CellOrder, order_by_cell, pool_to_cells
    from .projection import MIN_DEPTH_M, in_image, in_view, point_to_pixel_matrix, project
    from .sampling import bilinear_corners, sample_maps
    from .sending import send

__all__ = [
    "MIN_DEPTH_M",
    "BevGrid",
    "CellOrder",
    "DepthBins",
    "bilinear_corners",
    "cells_in_view",
    "feature_pixels",
    "image_matrix",
    "in_image",
    "in_view",
    "invert_projection",
    "lift_pixels",
    "measured_depth",
    "order_by_cell",
    "point_to_pixel_matrix",
    "points_matrix",
    "pool_to_cells",
    "project",
    "sample_maps",
    "send",
]

_MODULES = ("augmentation", "bev", "lifting", "pooling", "projection", "sampling", "sending")


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it (PEP 562)."""
    if name in __all__:
        for module in (import_module(f"{__name__}.{module}") for module in _MODULES):
            if name in vars(module):
                globals()[name] = vars(module)[name]
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
