"""Overlap of rotated rectangles as torch operations on whole sets of pairs, for CUDA tensors.

Pull every point of b's outline to the nearest point of rectangle a: what the pulled outline winds
around is exactly the intersection, and pieces pulled onto a's sides go there and back along one
line, so they add nothing. In a's frame, centred, pulling is clamping; a clamped edge is a
polyline that bends only where it crosses the four lines of a's sides, and the shoelace formula
over the bends gives the area. Parallel, touching and identical sides need no case of their own.

A rectangle is x, y, length, width, yaw (radians, from +x towards +y); float64 throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gemini_det3d.geometry import send

# About 2 kB of scratch a pair.
_PAIRS_AT_ONCE = 2**16
# Fewer are all reckoned, near or not: the device is not asked which are.
_PAIRS_WITHOUT_ASKING = 2**15


def overlap_areas(rectangles_a: Tensor, rectangles_b: Tensor, aligned: bool = False) -> Tensor:
    """Shared areas of all pairs, or of row i with row i.

    Args:
        rectangles_a: ``(N, 5)``.
        rectangles_b: ``(M, 5)``; ``(N, 5)`` where ``aligned``.
        aligned: Compare row i with row i only.

    Returns:
        ``(N, M)`` or ``(N,)`` float64; 0 for a rectangle without area or with a NaN.
    """
    a, b = rectangles_a.double(), rectangles_b.double()
    first, second = (a, b) if aligned else (a[:, None], b[None])
    reach = _reach(first) + _reach(second)
    near = (second[..., :2] - first[..., :2]).square().sum(-1) < reach.square()
    if near.numel() <= _PAIRS_WITHOUT_ASKING:
        pairs = (each.expand(*near.shape, 5).reshape(-1, 5) for each in (first, second))
        return torch.where(near, _pair_areas(*pairs).view_as(near), 0.0)
    where = near.nonzero(as_tuple=True)
    areas = a.new_zeros(near.shape)
    pairs = a[where[0]].split(_PAIRS_AT_ONCE), b[where[-1]].split(_PAIRS_AT_ONCE)
    areas[where] = torch.cat([_pair_areas(*chunk) for chunk in zip(*pairs)])
    return areas


def _reach(rectangles: Tensor) -> Tensor:
    """Radius of the circumcircle; NaN, which is near nothing, where there is no area."""
    sizes = rectangles[..., 2:4]
    usable = (sizes > 0).all(-1) & rectangles.isfinite().all(-1)
    return torch.where(usable, 0.5 * sizes.norm(dim=-1), torch.nan)


def _pair_areas(a: Tensor, b: Tensor) -> Tensor:
    """``(P, 5)`` and ``(P, 5)`` rectangles with an area -> ``(P,)``."""
    half = 0.5 * a[:, None, 2:4]
    starts = _corners_seen_from(a, b)
    ends = starts.roll(-1, dims=1)
    sides = torch.stack([-half, half], dim=-1)
    crossings = (sides - starts[..., None]) / (ends - starts)[..., None]
    inner = crossings.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1).flatten(2).sort(dim=-1).values
    bends = torch.nn.functional.pad(inner, (1, 0))
    bends = torch.nn.functional.pad(bends, (0, 1), value=1.0)[..., None]  # (P, 4 edges, 6, 1)
    outline = torch.lerp(starts[:, :, None], ends[:, :, None], bends)
    x, y = outline.clamp(-half[:, None], half[:, None]).unbind(-1)
    twice = (x[..., :-1] * y[..., 1:] - x[..., 1:] * y[..., :-1]).sum((1, 2))
    smaller = torch.minimum(a[:, 2] * a[:, 3], b[:, 2] * b[:, 3])
    return torch.minimum((0.5 * twice).clamp(min=0), smaller)


def _corners_seen_from(a: Tensor, b: Tensor) -> Tensor:
    """Corners of b, counter-clockwise, in the frame of a: ``(P, 4, 2)``."""
    offset = _turned(b[:, None, :2] - a[:, None, :2], -a[:, 4])
    signs = send([[1.0, 1], [-1, 1], [-1, -1], [1, -1]], b.device, b.dtype)
    return offset + _turned(0.5 * b[:, None, 2:4] * signs, b[:, 4] - a[:, 4])


def _turned(vectors: Tensor, yaw: Tensor) -> Tensor:
    """``(P, K, 2)`` vectors turned by ``(P,)`` radians."""
    cos, sin = yaw.cos()[:, None], yaw.sin()[:, None]
    x, y = vectors.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
