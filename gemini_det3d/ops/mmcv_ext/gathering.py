"""Reading features at indices and sending gradients back; torch indexing on any device.

Results are written into the tensors that mmcv has made. Shapes: B frames, C channels, N points,
M centres, K members; mmcv also hands over `sizes` (b, c, n, ...), which the tensors tell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gemini_det3d.ops.points import gather_points, group_points, three_interpolate


def gather_points_forward(
    points_tensor: Tensor, idx_tensor: Tensor, out_tensor: Tensor, **sizes: int
) -> None:
    """``(B, C, N)`` at ``(B, M)`` into ``(B, C, M)``."""
    out_tensor.copy_(gather_points(points_tensor, idx_tensor))


def gather_points_backward(
    grad_out_tensor: Tensor, idx_tensor: Tensor, grad_points_tensor: Tensor, **sizes: int
) -> None:
    """``(B, C, M)`` added at ``(B, M)`` to ``(B, C, N)``, in the dtype of the latter."""
    where = idx_tensor.long()[:, None].expand_as(grad_out_tensor)
    grad_points_tensor.scatter_add_(2, where, grad_out_tensor.to(grad_points_tensor.dtype))


def group_points_forward(
    points_tensor: Tensor, idx_tensor: Tensor, out_tensor: Tensor, **sizes: int
) -> None:
    """``(B, C, N)`` at ``(B, M, K)`` into ``(B, C, M, K)``."""
    out_tensor.copy_(group_points(points_tensor, idx_tensor))


def group_points_backward(
    grad_out_tensor: Tensor, idx_tensor: Tensor, grad_points_tensor: Tensor, **sizes: int
) -> None:
    """``(B, C, M, K)`` added at ``(B, M, K)`` to ``(B, C, N)``."""
    flat = (grad_out_tensor.flatten(2), idx_tensor.flatten(1))
    gather_points_backward(*flat, grad_points_tensor)


def stack_group_points_forward(
    features_tensor: Tensor,
    features_batch_cnt_tensor: Tensor,
    idx_tensor: Tensor,
    idx_batch_cnt_tensor: Tensor,
    out_tensor: Tensor,
    **sizes: int,
) -> None:
    """``(N1 + N2 + ..., C)`` at ``(M1 + M2 + ..., K)`` into ``(M1 + M2 + ..., C, K)``.

    Indices count within a frame; one past all features of its frames reads 0.
    """
    rows, exists = _rows(idx_tensor, idx_batch_cnt_tensor, features_batch_cnt_tensor)
    read = torch.where(exists[..., None], features_tensor[rows], 0)
    out_tensor.copy_(read.transpose(1, 2))


def stack_group_points_backward(
    grad_out_tensor: Tensor,
    idx_tensor: Tensor,
    idx_batch_cnt_tensor: Tensor,
    features_batch_cnt_tensor: Tensor,
    grad_features_tensor: Tensor,
    **sizes: int,
) -> None:
    """``(M1 + M2 + ..., C, K)`` added at ``(M1 + M2 + ..., K)`` to ``(N1 + N2 + ..., C)``."""
    rows, exists = _rows(idx_tensor, idx_batch_cnt_tensor, features_batch_cnt_tensor)
    grad = torch.where(exists[..., None], grad_out_tensor.transpose(1, 2), 0)
    grad_features_tensor.index_add_(0, rows.flatten(), grad.flatten(0, 1))


def three_interpolate_forward(
    points_tensor: Tensor,
    idx_tensor: Tensor,
    weight_tensor: Tensor,
    out_tensor: Tensor,
    **sizes: int,
) -> None:
    """``(B, C, M)`` at ``(B, N, 3)`` weighted by ``(B, N, 3)`` into ``(B, C, N)``."""
    out_tensor.copy_(three_interpolate(points_tensor, idx_tensor, weight_tensor))


def three_interpolate_backward(
    grad_out_tensor: Tensor,
    idx_tensor: Tensor,
    weight_tensor: Tensor,
    grad_points_tensor: Tensor,
    **sizes: int,
) -> None:
    """``(B, C, N)`` added by weight at ``(B, N, 3)`` to ``(B, C, M)``."""
    grad = grad_out_tensor[..., None] * weight_tensor[:, None]
    group_points_backward(grad, idx_tensor, grad_points_tensor)


def _rows(index: Tensor, index_counts: Tensor, feature_counts: Tensor) -> tuple[Tensor, Tensor]:
    """Indices within frames -> rows of all frames, and whether there is such a row."""
    starts = feature_counts.long().cumsum(0) - feature_counts
    start = starts.repeat_interleave(index_counts.long(), output_size=len(index))[:, None]
    rows = index.long() + start
    exists = (rows >= 0) & (rows < feature_counts.sum())
    return torch.where(exists, rows, 0), exists
