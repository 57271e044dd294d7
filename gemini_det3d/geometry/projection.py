"""From an augmented point to a pixel of the augmented image, in one matrix.

With ``A`` the point augmentation, ``P`` the calibrated projection and ``I`` the image augmentation,
``pixel ~ I P A^-1 point`` holds for homogeneous coordinates; depth is the third row, which ``I``
leaves alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .boxes import MIN_DEPTH_M


def point_to_pixel_matrix(projection: Tensor, points: Tensor, image: Tensor) -> Tensor:
    """Compose projection and both augmentations.

    Args:
        projection: ``(..., 3, 4)`` or ``(..., 4, 4)``, original point -> original pixel (times
            depth).
        points: ``(4, 4)``, original point -> augmented point.
        image: ``(..., 3, 3)``, original pixel -> augmented pixel.

    Returns:
        ``(..., 3, 4)`` float64, augmented point -> augmented pixel (times depth).

    Raises:
        ValueError: ``points`` cannot be inverted (a scale of zero, a flat rotation).
    """
    # On the host in numpy: a dozen 4 x 4 operations are no work for a device to be waited for.
    move, camera, undo = (
        np.asarray(matrix, dtype=np.float64) for matrix in (image, projection, points)
    )
    determinant = np.linalg.det(undo)
    if not np.isfinite(determinant) or abs(determinant) < 1e-12:
        raise ValueError("the point augmentation cannot be undone: its matrix is singular")
    return torch.from_numpy(move @ camera[..., :3, :] @ np.linalg.inv(undo))


def project(points: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and depths of points.

    Args:
        points: ``(..., N, 3)`` in the frame that ``matrix`` reads.
        matrix: ``(..., 3, 4)`` or ``(..., 4, 4)``, point -> pixel times depth.

    Returns:
        ``(..., N, 2)`` pixels (u right, v down; left and top edge at 0) and ``(..., N)`` depths in
        metres, both float64. Points behind the camera have negative depth and mirrored pixels; a
        depth of exactly zero is divided as ``MIN_DEPTH_M``, so nothing is infinite.
    """
    matrix = matrix.to(device=points.device, dtype=torch.float64)
    camera = points.double() @ matrix[..., :3, :3].mT + matrix[..., None, :3, 3]
    depth = camera[..., 2]
    divisor = torch.where(depth == 0, MIN_DEPTH_M, depth)
    return camera[..., :2] / divisor[..., None], depth


def in_image(pixels: Tensor, height_px: float | Tensor, width_px: float | Tensor) -> Tensor:
    """Which pixels ``(..., 2)`` lie inside an image, lower ends included: ``(...)`` bool."""
    u, v = pixels.unbind(-1)
    return (u >= 0) & (u < width_px) & (v >= 0) & (v < height_px)


def in_view(
    pixels: Tensor, depth: Tensor, height_px: float | Tensor, width_px: float | Tensor
) -> Tensor:
    """Which points the camera really sees: in front of it and inside the image.

    Args:
        pixels: ``(..., 2)``.
        depth: ``(...)`` metres.
        height_px: Image height without padding.
        width_px: Image width without padding.

    Returns:
        ``(...)`` bool.
    """
    return (depth > MIN_DEPTH_M) & in_image(pixels, height_px, width_px)
