"""Full cross-attention between the two token sets: the costly rival of GeminiFusion.

Shape shorthand: B token sets, N tokens of a set, C channels, h heads, d = C / h.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .base import FusionOperator, check_heads, hide, keep_own

__all__ = ["CrossAttentionFusion"]


class CrossAttentionFusion(FusionOperator):
    """Every token of a stream reads all tokens of the other: y_i = x_i + MHA_i(x_i, x_j, x_j).

    Unlike the other operators this one mixes tokens: in a tensor (B, ..., C) the axes between the
    first and the last make up one token set, in a tensor (N, C) all tokens do. Time grows with
    N^2. Tokens that are not valid are read by none and read none.

    Args:
        dim: Channels C of both streams.
        num_heads: Heads per direction; must divide `dim`.

    Raises:
        ValueError: `dim` is no positive integer or `num_heads` does not divide it.
    """

    mixes_tokens = True

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__(dim)
        self.num_heads = check_heads(dim, num_heads, type(self).__name__)
        self.query = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))
        self.key_value = nn.ModuleList(nn.Linear(dim, 2 * dim) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend both ways between checked streams; see `FusionOperator.forward`."""
        sets = tuple(_token_sets(stream) for stream in (first, second))
        if valid is None:
            fused = self._both_ways(sets, None)
        else:
            fused = self._among_valid(sets, valid.reshape(sets[0].shape[:2]))
        fused_first, fused_second = (tokens.view(first.shape) for tokens in fused)
        return fused_first, fused_second

    def _among_valid(self, sets: tuple[Tensor, ...], valid: Tensor) -> tuple[Tensor, ...]:
        """Fuse the valid tokens (B, N) of sets (B, N, C); the others are taken out before.

        With a share p of valid tokens the attention costs p^2 of that among all.
        """
        counts = valid.sum(dim=1).tolist()
        longest = max(counts, default=0)
        order = valid.byte().argsort(dim=1, descending=True, stable=True)[:, : max(longest, 1)]
        where = order[..., None].expand(*order.shape, self.dim)
        kept = valid.gather(1, order)
        packed = tuple(hide(tokens.gather(1, where), kept) for tokens in sets)
        is_full = longest > 0 and min(counts) == longest
        fused = self._both_ways(packed, None if is_full else _key_mask(kept))
        return tuple(
            keep_own(valid, own.scatter(1, where, new), own) for own, new in zip(sets, fused)
        )

    def _both_ways(self, sets: tuple[Tensor, ...], mask: Tensor | None) -> tuple[Tensor, ...]:
        """Both directions between sets (B, N, C) under the mask of the keys."""
        return tuple(self._one_way(sets[i], sets[1 - i], mask, i) for i in (0, 1))

    def _one_way(self, own: Tensor, other: Tensor, mask: Tensor | None, i: int) -> Tensor:
        """Direction `i`: (B, N, C) reads (B, N, C); the mask (B, 1, 1, N) hides keys."""
        key, value = self.key_value[i](other).chunk(2, dim=-1)
        heads = (
            t.unflatten(-1, (self.num_heads, self.dim // self.num_heads)).transpose(1, 2)
            for t in (self.query[i](own), key, value)
        )
        query, key, value = heads
        if own.numel():
            read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            read = query + key + value  # nothing, but every parameter stays in the graph
        return own + self.out[i](read.transpose(1, 2).flatten(-2))


def _token_sets(stream: Tensor) -> Tensor:
    """(B, N, C): the first of three or more axes tells the sets apart."""
    batch = stream.shape[0] if stream.dim() > 2 else 1
    tokens = stream.shape[:-1].numel() // max(batch, 1)  # -1 is ambiguous for nothing
    return stream.reshape(batch, tokens, stream.shape[-1])


def _key_mask(valid: Tensor) -> Tensor:
    """Keys that may be read, (B, 1, 1, N) of bool, of a mask (B, N).

    A set without any valid token reads the zeros that hide it: a softmax over nothing is NaN and
    would reach the gradients.
    """
    return (valid | ~valid.any(-1, keepdim=True))[:, None, None]
