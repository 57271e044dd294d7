"""Where a point falls: projection and back, undoing augmentation, reading maps, filling BEV grids.

Matrices in, tensors out. Knows torch and nothing of OpenMMLab.
"""

from .augmentation import image_matrix, points_matrix
from .bev import BevGrid, cells_in_view
from .lifting import DepthBins, feature_pixels, lift_pixels, measured_depth
from .pooling import pool_to_cells
from .projection import in_view, point_to_pixel_matrix, project
from .sampling import sample_maps

__all__ = [
    "BevGrid",
    "DepthBins",
    "cells_in_view",
    "feature_pixels",
    "image_matrix",
    "in_view",
    "lift_pixels",
    "measured_depth",
    "point_to_pixel_matrix",
    "points_matrix",
    "pool_to_cells",
    "project",
    "sample_maps",
]
