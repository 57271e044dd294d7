"""From pixels to points: the inverse of projection, with a distribution over depth.

A pixel says nothing of its depth, so it is lifted to several points along its ray, one per depth
bin, each with the bin's probability (Philion & Fidler, ECCV 2020). LiDAR points that fall into
the pixel measure its depth.

Shapes: D depth bins, h x w cells of a feature map that covers a padded image of H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .projection import in_view, project


@dataclass(frozen=True)
class DepthBins:
    """Depths ``near_m`` to ``far_m`` in equal bins of ``step_m``; the far end is outside.

    Raises:
        ValueError: The bins do not lie in front of the camera, or do not fill the range.
    """

    near_m: float
    far_m: float
    step_m: float

    def __post_init__(self) -> None:
        """Refuse bins that cannot be."""
        if not 0 <= self.near_m < self.far_m or self.step_m <= 0:
            raise ValueError(
                f"depth_m must be (near, far, step) with 0 <= near < far and step > 0, got "
                f"({self.near_m}, {self.far_m}, {self.step_m})"
            )
        count = (self.far_m - self.near_m) / self.step_m
        if abs(count - round(count)) > 1e-3:
            raise ValueError(
                f"depth_m: {self.near_m} to {self.far_m} m is {count:.3f} bins of {self.step_m} "
                "m; it must be a whole number"
            )

    def __len__(self) -> int:
        """Number of bins D."""
        return round((self.far_m - self.near_m) / self.step_m)

    def centres(self, device: torch.device | None = None) -> Tensor:
        """``(D,)`` metres, float64."""
        steps = torch.arange(len(self), dtype=torch.float64, device=device)
        return self.near_m + (steps + 0.5) * self.step_m

    def bin_of(self, depth: Tensor) -> Tensor:
        """Bin of each depth, int64; -1 outside the range and for NaN."""
        position = (depth - self.near_m) / self.step_m
        inside = (position >= 0) & (position < len(self))
        return torch.where(inside, torch.where(inside, position, 0).floor().long(), -1)


def feature_pixels(
    feature_size: tuple[int, int],
    padded_size: tuple[int, int],
    device: torch.device | None = None,
) -> Tensor:
    """Where the centres of a feature map's cells lie in the padded image.

    Args:
        feature_size: ``(h, w)``.
        padded_size: ``(H, W)`` pixels that the map covers.
        device: Of the result.

    Returns:
        ``(h, w, 2)`` pixels (u, v), float64.
    """
    (h, w), (height, width) = feature_size, padded_size
    u = (torch.arange(w, dtype=torch.float64, device=device) + 0.5) * (width / w)
    v = (torch.arange(h, dtype=torch.float64, device=device) + 0.5) * (height / h)
    return torch.stack([u.expand(h, w), v[:, None].expand(h, w)], dim=-1)


def invert_projection(matrix: Tensor) -> Tensor:
    """The inverse of the left part of projections, on the host: ``(..., 3, 4)`` -> ``(..., 3, 3)``.

    Raises:
        ValueError: A projection cannot be inverted.
    """
    left = np.asarray(matrix, dtype=np.float64)[..., :3]
    determinant = np.linalg.det(left)
    if not np.isfinite(determinant).all() or (determinant == 0).any():
        raise ValueError("the projection cannot be inverted: its matrix is singular")
    return torch.from_numpy(np.linalg.inv(left))


def lift_pixels(
    pixels: Tensor, depths: Tensor, matrix: Tensor, inverse: Tensor | None = None
) -> Tensor:
    """The points that project to the pixels at the depths: the inverse of ``project``.

    Args:
        pixels: ``(..., 2)`` pixels of the augmented image.
        depths: ``(D,)`` metres along the camera's axis.
        matrix: ``(3, 4)`` or of N views ``(N, 3, 4)``, augmented point -> augmented pixel (times
            depth).
        inverse: What :func:`invert_projection` says of ``matrix``; None: it is asked.

    Returns:
        ``(D, ..., 3)`` or ``(N, D, ..., 3)`` augmented points, float64.

    Raises:
        ValueError: The projection cannot be inverted.
    """
    inverse = invert_projection(matrix.cpu()) if inverse is None else inverse
    matrix, inverse = (m.to(pixels.device, torch.float64) for m in (matrix, inverse))
    pixels, depths = pixels.double(), depths.to(pixels.device, torch.float64)
    rays = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1).reshape(-1, 3)
    # each coordinate lies together: (3, N, P) and (3, N, 1)
    directions = (inverse @ rays.mT).movedim(-2, 0)
    centre = -(inverse @ matrix[..., :3, 3:]).movedim(-2, 0)
    lifted = torch.addcmul(centre[..., None], depths[:, None], directions.unsqueeze(-2))
    return lifted.reshape(*lifted.shape[:-1], *pixels.shape[:-1]).movedim(0, -1)


def measured_depth(
    points: Tensor,
    matrix: Tensor,
    size: tuple[int | Tensor, int | Tensor],
    padded_size: tuple[int, int],
    feature_size: tuple[int, int],
    bins: DepthBins,
) -> Tensor:
    """What LiDAR points say of each feature cell's depth.

    Args:
        points: ``(N, 3 or more)`` augmented points.
        matrix: ``(3, 4)`` or of V views ``(V, 3, 4)``, augmented point -> augmented pixel (times
            depth).
        size: ``(height, width)`` of the image without padding; of V views ``(V, 1)`` each.
        padded_size: ``(H, W)`` pixels that the feature map covers.
        feature_size: ``(h, w)``.
        bins: Depth bins.

    Returns:
        ``(D, h, w)`` or ``(V, D, h, w)`` float32: share of the cell's points in each bin; all zeros
        where there is no point.
    """
    (h, w), (height, width) = feature_size, padded_size
    pixels, depth = project(points[:, :3], matrix)
    depth_bin = bins.bin_of(depth)
    kept = in_view(pixels, depth, *size) & (depth_bin >= 0)
    column = (pixels[..., 0] * (w / width)).long().clamp(max=w - 1)
    row = (pixels[..., 1] * (h / height)).long().clamp(max=h - 1)
    num_places = len(bins) * h * w
    place = ((depth_bin * h + row) * w + column).masked_fill(~kept, num_places)
    count = torch.zeros(*place.shape[:-1], num_places + 1, device=points.device)
    count = count.scatter_add(-1, place, torch.ones_like(place, dtype=count.dtype))
    count = count[..., :-1].unflatten(-1, (len(bins), h, w))
    return count / count.sum(dim=-3, keepdim=True).clamp(min=1)
