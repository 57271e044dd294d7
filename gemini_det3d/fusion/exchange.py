"""Rivals that exchange: whole tokens (TokenFusion) or whole channels (CEN).

Both learn by a sparsity loss what may be given up, and put the other stream in its place. The
losses of the latest training forward are in `auxiliary_losses`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import FusionOperator, hide, is_in_backward, keep_own

__all__ = ["ChannelExchangeFusion", "TokenExchangeFusion"]


class _ExchangeFusion(FusionOperator):
    """Below a threshold something is exchanged; a sparsity loss says how much may be."""

    def __init__(
        self, dim: int, num_heads: int, threshold: float, loss_weight: float, least_dim: int
    ) -> None:
        super().__init__(dim, num_heads)
        name = type(self).__name__
        if dim < least_dim:
            raise ValueError(f"{name}: dim must be {least_dim} or more, got {dim}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"{name}: threshold must be between 0 and 1, got {threshold!r}")
        if not loss_weight >= 0:
            raise ValueError(f"{name}: loss_weight must be 0 or more, got {loss_weight!r}")
        self.threshold, self.loss_weight = threshold, loss_weight


class TokenExchangeFusion(_ExchangeFusion):
    """A token whose score is low takes the weighted twin's place, as in TokenFusion.

    With s_m the score of a token in stream m (Wang et al., CVPR 2022, section 3.2)

        e_m = x_m * s_m,    y_m[n] = e_m[n] if s_m[n] >= threshold else e_other[n]

    both ways at once. Paper and code predict the score from the input of the transformer block;
    here it is predicted from the tokens that are fused. The threshold follows experiments and
    code (section 3.2 of the paper says 0.01).

    Args:
        dim: Channels C of both streams, at least 4.
        num_heads: Without meaning here.
        threshold: Score below which a token is exchanged.
        loss_weight: Of the L1 loss on the scores, summed over tokens; the released default.

    Raises:
        ValueError: A value above is out of its range; the message names the key.
    """

    def __init__(
        self, dim: int, num_heads: int = 8, threshold: float = 0.02, loss_weight: float = 1e-4
    ) -> None:
        super().__init__(dim, num_heads, threshold, loss_weight, least_dim=4)
        self.score: Any = nn.ModuleList(_score_predictor(dim) for _ in range(2))

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weigh and exchange tokens of checked streams; see `FusionOperator.forward`."""
        streams = hide(first, valid), hide(second, valid)
        seen = [_as_taken(score[0], stream) for score, stream in zip(self.score, streams)]
        scores = [self.score[i](seen[i]).softmax(dim=-1)[..., :1] for i in (0, 1)]
        weighted = [stream * score for stream, score in zip(streams, scores)]
        fused_first, fused_second = (
            torch.where(scores[i] < self.threshold, weighted[1 - i], weighted[i]) for i in (0, 1)
        )
        if self.training:
            total = hide(scores[0], valid).sum() + hide(scores[1], valid).sum()
            self.keep_losses({"loss_token_scores": self.loss_weight * total})
        return keep_own(valid, fused_first, first), keep_own(valid, fused_second, second)


class ChannelExchangeFusion(_ExchangeFusion):
    """A channel whose normalisation scale is low takes the other stream's place, as in CEN.

    With BN_m the batch normalisation of stream m and gamma its scales (Wang et al., NeurIPS 2020,
    section 3.3)

        y_m,c = BN_m(x_m)_c if |gamma_m,c| >= threshold else BN_other(x_other)_c

    The L1 loss presses the scales of the first half of the channels of the first stream and of
    the second half of the second, so that no channel is given up on both sides. Statistics are
    taken over valid tokens; fewer than two are normalised by the running ones.

    Args:
        dim: Channels C of both streams, at least 2.
        num_heads: Without meaning here.
        threshold: Scale below which a channel is exchanged; 0.02 as in CEN's segmentation.
        loss_weight: Of the L1 loss on the scales; 2e-4 as in CEN's segmentation.

    Raises:
        ValueError: A value above is out of its range; the message names the key.
    """

    def __init__(
        self, dim: int, num_heads: int = 8, threshold: float = 0.02, loss_weight: float = 2e-4
    ) -> None:
        super().__init__(dim, num_heads, threshold, loss_weight, least_dim=2)
        self.norm: Any = nn.ModuleList(nn.BatchNorm1d(dim) for _ in range(2))

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Normalise and exchange channels of checked streams; see `FusionOperator.forward`."""
        streams = first, second
        rows = -1 if first.numel() else 0
        chosen = [s.reshape(rows, self.dim) if valid is None else s[valid] for s in streams]
        pairs = zip(self.norm, chosen)
        normed = [_normalise(norm, _as_taken(norm, tokens)) for norm, tokens in pairs]
        if self.training:
            self.keep_losses({"loss_channel_scales": self.loss_weight * self._sparsity()})
        fused = []
        for i in (0, 1):
            is_low = self.norm[i].weight.abs() < self.threshold
            mixed = torch.where(is_low, normed[1 - i], normed[i])
            if valid is None:
                fused.append(mixed.view(first.shape))
            else:
                mixed = mixed.to(streams[i].dtype)
                fused.append(streams[i].masked_scatter(valid[..., None], mixed))
        return fused[0], fused[1]

    def _sparsity(self) -> Tensor:
        half = self.dim // 2
        return self.norm[0].weight[:half].abs().sum() + self.norm[1].weight[half:].abs().sum()


def _score_predictor(dim: int) -> nn.Sequential:
    """Two logits per token: to keep, and to give up."""
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, dim),
        nn.GELU(),
        nn.Linear(dim, dim // 2),
        nn.GELU(),
        nn.Linear(dim // 2, dim // 4),
        nn.GELU(),
        nn.Linear(dim // 4, 2),
    )


def _as_taken(norm: Any, tokens: Tensor) -> Tensor:
    """Tokens (..., C) for a normalisation: no wider than its parameters, also under autocast."""
    kind = norm.weight.dtype
    is_taken = torch.promote_types(tokens.dtype, kind) == kind
    return tokens if is_taken else tokens.to(kind)


def _normalise(norm: nn.BatchNorm1d, tokens: Tensor) -> Tensor:
    """Batch normalisation of (N, C); too few tokens for statistics use the running ones."""
    is_lonely = norm.training and len(tokens) < 2
    # A forward that a checkpoint repeats would move the running statistics a second time.
    if not is_lonely and not (norm.training and is_in_backward()):
        return norm(tokens)
    assert norm.running_mean is not None and norm.running_var is not None
    # Copies, since the next forward moves them in place, maybe before the backward of this one.
    statistics = norm.running_mean.clone(), norm.running_var.clone()
    affine = norm.weight, norm.bias
    return F.batch_norm(tokens, *statistics, *affine, training=not is_lonely, eps=norm.eps)
