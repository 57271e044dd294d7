"""Multi-scale deformable attention (Zhu et al., ICLR 2021) and PAConv's score assembly.

The attention is mmcv's own form in torch, which mmcv uses where there is no accelerator.

Shapes: B batches, N points, M matrices of the weight bank, K neighbours, O channels out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gemini_det3d.ops.mmcv_ext.gradients import pulled_back


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted samples of the levels' maps, as mmcv's ``multi_scale_deformable_attn_pytorch``."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch as attend

    return attend(value, value_spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Its gradients, written into the three ``grad_`` tensors."""

    def attend(v: Tensor, where: Tensor, weights: Tensor) -> Tensor:
        levels = (value_spatial_shapes, value_level_start_index)
        return ms_deform_attn_forward(v, *levels, where, weights, im2col_step)

    inputs = (value, sampling_locations, attention_weights)
    grads = pulled_back(attend, inputs, grad_output)
    for out, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads):
        out.copy_(grad)


def assign_score_withk_forward(
    points: Tensor, centers: Tensor, scores: Tensor, knn_idx: Tensor, output: Tensor, **sizes: Any
) -> None:
    """Assemble each neighbour's kernel from the weight bank by its scores (Xu et al., CVPR 2021).

    Args:
        points: ``(B, N0, M, O)`` features times each matrix of the bank.
        centers: ``(B, N0, M, O)``, likewise, taken away at the first neighbour.
        scores: ``(B, N1, K, M)``.
        knn_idx: ``(B, N1, K)`` int64; one outside [0, N0) adds nothing.
        output: ``(B, O, N1, K)``, written.
        **sizes: ``B``, ``N0``, ``N1``, ``M``, ``K``, ``O``, ``aggregate``; not needed.
    """
    output.copy_(_assembled(points, centers, scores, knn_idx))


def assign_score_withk_backward(
    grad_out: Tensor,
    points: Tensor,
    centers: Tensor,
    scores: Tensor,
    knn_idx: Tensor,
    grad_points: Tensor,
    grad_centers: Tensor,
    grad_scores: Tensor,
    **sizes: Any,
) -> None:
    """Its gradients, written into the three ``grad_`` tensors."""
    inputs = (points, centers, scores)
    grads = pulled_back(lambda p, c, s: _assembled(p, c, s, knn_idx), inputs, grad_out)
    for out, grad in zip((grad_points, grad_centers, grad_scores), grads):
        out.copy_(grad)


def _assembled(points: Tensor, centers: Tensor, scores: Tensor, index: Tensor) -> Tensor:
    exists = (index >= 0) & (index < points.shape[1])
    rows = torch.where(exists, index, 0)
    frame = torch.arange(len(points), device=points.device)[:, None, None]
    spread = points[frame, rows] - centers[frame, rows[..., :1]]
    return torch.einsum("bnkmo,bnkm->bonk", spread, scores * exists[..., None])
