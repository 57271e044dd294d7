"""What :mod:`gemini_det3d.ops._points_numba` does, as torch operations: for CUDA tensors.

Nothing is asked of the device before the answer is there. Distance matrices are taken in pieces.

Shapes: B frames, N points, M centres, K members, T boxes. Distances are squared and rounded at
every step as in the loops, so ties fall alike: to the lowest index.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

# Elements of a distance matrix held at once: a few hundred MB with what goes along.
_ELEMENTS_AT_ONCE = 2**24


def farthest_points(points: Tensor, num: int) -> Tensor:
    """Greedy farthest points of ``(B, N, 3)``, starting with point 0: ``(B, num)`` int32."""
    nearest = points.new_full(points.shape[:2], torch.inf)
    return _greedy(nearest, num, lambda last: _squared(points, _pick(points, last)).squeeze(1))


def farthest_by_distance(distances: Tensor, num: int) -> Tensor:
    """The same from given ``(B, N, N)`` distances: ``(B, num)`` int32."""
    nearest = distances.new_full(distances.shape[:2], torch.inf)
    return _greedy(nearest, num, lambda last: _pick(distances, last).squeeze(1))


def ball_query(
    points: Tensor, centers: Tensor, radius: float, num: int, min_radius: float = 0.0
) -> Tensor:
    """The first members of each ball, as in :func:`gemini_det3d.ops.points.ball_query`."""
    low, high = squared_radii(min_radius, radius)

    def members(part: Tensor) -> Tensor:
        squared = _squared(points, part)
        inside = (squared == 0) | ((squared >= low) & (squared < high))
        index, count = first_true(inside, num)
        places = torch.arange(num, device=points.device)
        return torch.where(places < count[..., None], index, index[..., :1])

    return _in_pieces(members, centers, points.shape[:2]).int()


def squared_radii(min_radius: float, radius: float) -> tuple[float, float]:
    """Squares as float32 rounds them, as numbers that no device is asked for."""
    low, high = np.float32(min_radius), np.float32(radius)
    return float(low * low), float(high * high)


def nearest(targets: Tensor, sources: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k sources nearest to each target, near to far, the lower index first.

    Args:
        targets: ``(B, N, 3)``.
        sources: ``(B, M, 3)``.
        k: How many; where there are fewer, the rest is infinitely far and has index 0.

    Returns:
        ``(B, N, k)`` squared distances, ``(B, N, k)`` int32.
    """
    names = torch.arange(sources.shape[1], device=sources.device)

    def keys(part: Tensor) -> Tensor:
        # A float that is not negative sorts as its bits do; below them the index breaks ties.
        key = (_squared(sources, part).view(torch.int32).long() << 32) | names
        return key.topk(min(k, key.shape[-1]), largest=False, sorted=True).values

    found = _in_pieces(keys, targets.float(), sources.shape[:2])
    squared = (found >> 32).int().view(torch.float32)
    absent = (0, k - found.shape[-1])
    pad = torch.nn.functional.pad
    return pad(squared, absent, value=torch.inf), pad((found & 0xFFFFFFFF).int(), absent)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which ``(..., N, 3)`` points lie in which ``(..., T, 7)`` boxes: ``(..., N, T)`` bool.

    As in :func:`gemini_det3d.ops.points.points_in_boxes`; float64.
    """
    x, y, z = local_coordinates(points, boxes).unbind(-1)
    half_x, half_y, height = boxes[..., None, :, 3:6].double().unbind(-1)
    half_x, half_y, half_z = 0.5 * half_x, 0.5 * half_y, 0.5 * height
    return ((z - half_z).abs() <= half_z) & (x.abs() < half_x) & (y.abs() < half_y)


def local_coordinates(points: Tensor, boxes: Tensor) -> Tensor:
    """Points seen from bottom centres of boxes, along their sides: ``(..., N, T, 3)`` float64."""
    around = boxes[..., None, :, :].double()
    offset = points[..., :, None, :3].double() - around[..., :3]
    cos, sin = around[..., 6].cos(), around[..., 6].sin()
    x, y, z = offset.unbind(-1)
    return torch.stack([cos * x + sin * y, cos * y - sin * x, z], dim=-1)


def first_true(mask: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Where the first ``num`` True of each row are.

    Args:
        mask: ``(..., N)``.
        num: How many at most.

    Returns:
        ``(..., num)`` int64, rising, 0 where a row has fewer; ``(...)`` how many, at most ``num``.
    """
    size = mask.shape[-1]
    index = torch.where(mask, torch.arange(size, device=mask.device), size)
    index = index.topk(min(num, size), dim=-1, largest=False, sorted=True).values
    index = torch.nn.functional.pad(index, (0, num - index.shape[-1]), value=size)
    found = index < size
    return torch.where(found, index, 0), found.sum(-1)


def _greedy(nearest: Tensor, num: int, distances_to: Callable[[Tensor], Tensor]) -> Tensor:
    """Take what is farthest from all taken, again and again: ``(B, num)`` int32."""
    last = nearest.new_zeros(len(nearest), dtype=torch.long)
    chosen = [last]
    for _ in range(num - 1):
        nearest = torch.minimum(nearest, distances_to(last))
        last = nearest.argmax(dim=1)  # the first of equals
        chosen.append(last)
    return torch.stack(chosen, dim=1).int()


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    """Row ``index[b]`` of frame b: ``(B, N, C)`` -> ``(B, 1, C)``, without asking the device."""
    return rows.gather(1, index[:, None, None].expand(-1, 1, rows.shape[2]))


def _squared(points: Tensor, centers: Tensor) -> Tensor:
    """``(B, N, 3)`` and ``(B, M, 3)`` -> ``(B, M, N)`` squared distances, float32."""
    dx, dy, dz = (centers.float()[:, :, None] - points.float()[:, None]).unbind(-1)
    return dx * dx + dy * dy + dz * dz


def _in_pieces(form: Callable[[Tensor], Tensor], centers: Tensor, points: torch.Size) -> Tensor:
    """Apply a form to some of the ``(B, M, 3)`` centres at a time."""
    step = max(1, _ELEMENTS_AT_ONCE // max(1, points[0] * points[1]))
    return torch.cat([form(part) for part in centers.split(step, dim=1)], dim=1)
