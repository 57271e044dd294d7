"""Targets and suppression of a vote head for all frames and boxes at once.

What they are is VoteNet's (Qi et al., ICCV 2019) as mmdet3d's ``VoteHead`` makes them; there box by
box and pick by pick, with the host waiting for the device at each.

Shapes: B frames, N points, G boxes of the frame that has most, P proposals, S votes a point.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet3d.structures import BaseInstance3DBoxes
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gemini_det3d.ops.mmcv_ext.suppression import kept_of

# Boxes around a point that get a vote of their own; the last of more takes the last place.
_MOST_BOXES = 3


def padded(
    boxes: Sequence[BaseInstance3DBoxes], labels: Sequence[Tensor], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes of frames side by side; a frame without any gets one without size, of label 0.

    Returns:
        ``(B, G, 7)`` x, y, z of the bottom centre, sizes, yaw; ``(B, G)`` labels; ``(B, G)`` int64,
        1 for boxes that are real; ``(B, G)`` bool, those and the ones of empty frames.
    """
    flat = [each.tensor[:, :7].to(device, non_blocking=True) for each in boxes]
    counts = [len(each) for each in flat]
    flat = [each if len(each) else each.new_zeros(1, 7) for each in flat]
    names = [
        each.to(device, non_blocking=True) if len(each) else each.new_zeros(1, device=device)
        for each in labels
    ]
    real = [each.new_full((len(each),), int(count > 0)) for each, count in zip(names, counts)]
    there = [torch.ones_like(each, dtype=torch.bool) for each in names]
    return tuple(pad_sequence(each, batch_first=True) for each in (flat, names, real, there))


def vote_targets(points: Tensor, centres: Tensor, inside: Tensor, per_seed: int) -> Tensor:
    """Ways from each point to the centres of the boxes that hold it.

    The first box fills all places; the second takes the second one, the last of more the third.

    Args:
        points: ``(B, N, 3)``.
        centres: ``(B, G, 3)``.
        inside: ``(B, N, G)`` bool.
        per_seed: S.

    Returns:
        ``(B, N, 3 S)``, zeros where no box holds the point.
    """
    number = torch.arange(inside.shape[-1], device=inside.device)
    rank = (inside.cumsum(-1) - 1).clamp(max=_MOST_BOXES - 1)
    first = None
    ways = []
    for place in range(per_seed):
        box = torch.where(inside & (rank == place), number, -1).amax(-1)  # (B, N)
        first = box if first is None else first
        box = torch.where(box < 0, first, box)
        centre = centres.gather(1, box.clamp(min=0)[..., None].expand(-1, -1, 3))
        ways.append(torch.where(box[..., None] < 0, 0, centre - points))
    return torch.cat(ways, dim=-1)


def nearest_box(points: Tensor, centres: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance ``(B, P)`` of points ``(B, P, 3)`` to the nearest centre, and whose it is.

    Args:
        points: ``(B, P, 3)``.
        centres: ``(B, G, 3)``.
        there: ``(B, G)`` bool, the centres that count.
    """
    squared = (points[:, :, None] - centres[:, None]).square().sum(-1)
    return tuple(squared.masked_fill(~there[:, None], torch.inf).min(-1))


def extents(boxes: Tensor) -> Tensor:
    """Upright boxes around turned ones: ``(..., 7)``, z of the middle -> ``(..., 6)`` corners."""
    cos, sin = boxes[..., 6:7].cos().abs(), boxes[..., 6:7].sin().abs()
    x, y, z = boxes[..., 3:6].split(1, dim=-1)
    half = 0.5 * torch.cat([cos * x + sin * y, sin * x + cos * y, z], dim=-1)
    return torch.cat([boxes[..., :3] - half, boxes[..., :3] + half], dim=-1)


def kept_boxes(
    ends: Tensor, scores: Tensor, classes: Tensor, candidates: Tensor, threshold: float
) -> Tensor:
    """Greedy suppression of upright boxes, each within its class.

    Args:
        ends: ``(P, 6)`` low and high corners.
        scores: ``(P,)``.
        classes: ``(P,)``.
        candidates: ``(P,)`` bool; the others neither stay nor suppress.
        threshold: A box that overlaps a better kept one of its class by more is dropped.

    Returns:
        ``(P,)`` bool.
    """
    order = scores.argsort().flip(0)  # of equals the last one first, as the original has it
    ends, classes, candidates = ends[order], classes[order], candidates[order]
    low = torch.maximum(ends[:, None, :3], ends[None, :, :3])
    high = torch.minimum(ends[:, None, 3:], ends[None, :, 3:])
    shared = (high - low).clamp(min=0).prod(-1)
    volume = (ends[:, 3:] - ends[:, :3]).prod(-1)
    iou = shared / (volume[:, None] + volume - shared)
    suppresses = ~(iou * (classes[:, None] == classes) <= threshold)  # NaN, of no volume, does
    kept = kept_of(suppresses & candidates[:, None] & candidates) & candidates
    return torch.empty_like(kept).scatter(0, order, kept)
