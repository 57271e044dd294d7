"""Farthest points and ball queries as one Triton kernel each: for CUDA tensors.

As torch operations (:mod:`gemini_det3d.ops._points_torch`) a sample is a dozen launches, and a
ball query sorts whole rows of distances. Distances are rounded at every step as there (no product
is fused with a sum), so the choices are the same. Importing this module needs Triton.

Shapes: B frames, N points, M centres, K members.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gemini_det3d.fusion.kernels.triton_parts import device_of
from gemini_det3d.ops._points_torch import squared_radii

# Points that a program looks at together: four a thread, so that their loads overlap.
_FARTHEST_BLOCK, _FARTHEST_WARPS = 4096, 32
_BALL_BLOCK, _BALL_WARPS = 256, 2


def farthest_points(points: Tensor, num: int) -> Tensor:
    """As :func:`gemini_det3d.ops._points_torch.farthest_points`: one program a frame."""
    batch, count = points.shape[:2]
    nearest = points.new_full((batch, count), torch.inf, dtype=torch.float32)
    chosen = torch.empty(batch, num, dtype=torch.int32, device=points.device)
    with device_of(points):
        _farthest[(batch,)](
            _columns(points), nearest, chosen, count, num, _FARTHEST_BLOCK,
            num_warps=_FARTHEST_WARPS, enable_fp_fusion=False,
        )  # fmt: skip
    return chosen


def ball_query(
    points: Tensor, centers: Tensor, radius: float, num: int, min_radius: float = 0.0
) -> Tensor:
    """As :func:`gemini_det3d.ops.points.ball_query`: one program a centre."""
    batch, count = points.shape[:2]
    found = torch.empty(*centers.shape[:2], num, dtype=torch.int32, device=points.device)
    if found.numel():
        with device_of(points):
            _balls[(batch * centers.shape[1],)](
                _columns(points), centers.float().contiguous(), found, count, centers.shape[1],
                *squared_radii(min_radius, radius), num, triton.next_power_of_2(num), _BALL_BLOCK,
                num_warps=_BALL_WARPS, enable_fp_fusion=False,
            )  # fmt: skip
    return found


def _columns(points: Tensor) -> Tensor:
    """``(B, N, 3)`` -> ``(B, 3, N)``, so that neighbours in memory are read together."""
    return points.float().transpose(1, 2).contiguous()


@triton.jit(do_not_specialize=["num_points", "num"])
def _farthest(points, nearest, chosen, num_points, num, BLOCK: tl.constexpr):
    """Greedy sampling of one frame; ties go to the lowest index."""
    frame = tl.program_id(0).to(tl.int64)
    points += frame * 3 * num_points
    nearest += frame * num_points
    chosen += frame * num
    lane = tl.arange(0, BLOCK)
    last = tl.full((), 0, tl.int32)
    for sample in range(num):
        tl.store(chosen + sample, last)
        x = tl.load(points + last)
        y = tl.load(points + num_points + last)
        z = tl.load(points + 2 * num_points + last)
        best = tl.full((BLOCK,), -1.0, tl.float32)
        where = tl.zeros((BLOCK,), tl.int32)
        for start in range(0, num_points, BLOCK):
            row = start + lane
            exists = row < num_points
            dx = tl.load(points + row, mask=exists, other=0.0) - x
            dy = tl.load(points + num_points + row, mask=exists, other=0.0) - y
            dz = tl.load(points + 2 * num_points + row, mask=exists, other=0.0) - z
            known = tl.load(nearest + row, mask=exists, other=0.0)
            known = tl.minimum(known, dx * dx + dy * dy + dz * dz)
            tl.store(nearest + row, known, mask=exists)
            is_farther = exists & (known > best)
            best = tl.where(is_farther, known, best)
            where = tl.where(is_farther, row, where)
        # of each lane the first, of all lanes the lowest that is as far
        last = tl.min(tl.where(best == tl.max(best, 0), where, num_points), 0)
        tl.debug_barrier()  # distances are read by the threads that may not have written them


@triton.jit(do_not_specialize=["num_points", "num_centers"])
def _balls(
    points, centers, found, num_points, num_centers, low, high,
    NUM: tl.constexpr, PLACES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The first members of one ball; `low` and `high` are squared radii."""
    center = tl.program_id(0).to(tl.int64)
    points += center // num_centers * 3 * num_points
    found += center * NUM
    x = tl.load(centers + 3 * center)
    y = tl.load(centers + 3 * center + 1)
    z = tl.load(centers + 3 * center + 2)
    lane = tl.arange(0, BLOCK)
    count = tl.full((), 0, tl.int32)
    first = tl.full((), 0, tl.int32)
    start = tl.full((), 0, tl.int32)
    while (start < num_points) & (count < NUM):
        row = start + lane
        exists = row < num_points
        dx = x - tl.load(points + row, mask=exists, other=0.0)
        dy = y - tl.load(points + num_points + row, mask=exists, other=0.0)
        dz = z - tl.load(points + 2 * num_points + row, mask=exists, other=0.0)
        squared = dx * dx + dy * dy + dz * dz
        is_inside = exists & ((squared == 0.0) | ((squared >= low) & (squared < high)))
        place = count + tl.cumsum(is_inside.to(tl.int32), 0) - 1
        tl.store(found + place, row, mask=is_inside & (place < NUM))
        lowest = tl.min(tl.where(is_inside, row, num_points), 0)
        first = tl.where((count == 0) & (lowest < num_points), lowest, first)
        count += tl.sum(is_inside.to(tl.int32), 0)
        start += BLOCK
    place = tl.arange(0, PLACES)
    is_free = (place >= count) & (place < NUM)
    tl.store(found + place, first + tl.zeros((PLACES,), tl.int32), mask=is_free)
