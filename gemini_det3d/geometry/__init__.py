"""Where a point falls: projection, undoing augmentation, reading maps at points.

Matrices in, tensors out. Knows torch and nothing of OpenMMLab.
"""

from .augmentation import image_matrix, points_matrix
from .projection import in_view, point_to_pixel_matrix, project
from .sampling import sample_maps

__all__ = [
    "image_matrix",
    "in_view",
    "point_to_pixel_matrix",
    "points_matrix",
    "project",
    "sample_maps",
]
