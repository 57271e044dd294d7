"""GeminiFusion among any number of streams: a token chooses between itself and all its partners.

Stream i has one key and value of its own, as released, and one for each other stream j:

    K = [x_i + k_noise_i, x_i * phi_ij, ...]     V = [x_i + v_noise_i, x_j, ...]
    y_i = x_i + MHA_i(query x_i, K, V),          phi_ij = softmax_C(MLP([x_i ; x_j]))

with projections and noise of each stream and one discriminator for all pairs. The softmax runs over
the own key and the M - 1 partners; one that is not there is masked out. With M = 2 that is the
released operator, parameter by parameter. Multiply-adds a token: M (3 M + 2) C^2, so 16, 33 and 56
C^2 for two, three and four streams: the discriminator's first layer is applied to streams, not to
pairs.

Shape shorthand: M streams, N tokens, C channels, h heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import (
    broadcast_valid,
    check_heads,
    check_integer,
    check_many,
    check_streams,
    hide,
    keep_own,
)
from .dtypes import computing_dtype
from .functional import FusionParameters, query_bias, value_bias
from .start import check_start, draw, noise_std_of

__all__ = ["GeminiWaysFusion", "ways_fusion"]


class GeminiWaysFusion(nn.Module):
    """M aligned streams read each other token by token; see the module.

    Args:
        dim: Channels C of all streams.
        num_streams: M, 2 or more.
        num_heads: Heads per stream; must divide `dim`.
        linear_init: As of `GeminiFusion`.
        noise_std: As of `GeminiFusion`.
        init: As of `GeminiFusion`.

    Raises:
        ValueError: A value above is out of its range; the message names the key.
    """

    def __init__(
        self,
        dim: int,
        num_streams: int = 2,
        num_heads: int = 8,
        linear_init: str = "trunc_normal",
        noise_std: float | None = None,
        init: str = "released",
    ) -> None:
        super().__init__()
        check_start("GeminiWaysFusion", linear_init, noise_std, init)
        self.dim = check_integer(dim, 1, "dim", "GeminiWaysFusion")
        self.num_streams = check_integer(num_streams, 2, "num_streams", "GeminiWaysFusion")
        self.num_heads = check_heads(dim, num_heads, "GeminiWaysFusion")
        self.noise_std = noise_std_of(init, noise_std)
        self.linear_init, self.init = linear_init, init
        square, row = (self.num_streams, dim, dim), (self.num_streams, dim)
        shapes: dict[str, tuple[int, ...]] = dict(
            query_weight=square, key_weight=square, value_weight=square,
            in_bias=(self.num_streams, 3 * dim), out_weight=square, out_bias=row,
            relation_in_weight=(dim, 2 * dim), relation_in_bias=(dim,),
            relation_out_weight=(dim, dim), relation_out_bias=(dim,),
            key_noise=row, value_noise=row,
        )  # fmt: skip
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as `init` says."""
        draw(self.fusion_parameters(), self.linear_init, self.noise_std, self.init)

    def no_weight_decay(self) -> set[str]:
        """Names of the biases, as of `GeminiFusion`."""
        return {name for name, _ in self.named_parameters() if name.endswith("_bias")}

    def fusion_parameters(self) -> FusionParameters:
        """The parameters, M in place of two in their first axis."""
        return FusionParameters(*(getattr(self, name) for name in FusionParameters._fields))

    def forward(
        self, streams: Sequence[Tensor], exists: Sequence[Tensor | None] | None = None
    ) -> list[Tensor]:
        """Let the streams read each other.

        Args:
            streams: M times (..., C).
            exists: For each stream bool, broadcastable to (...), whether its token is real; None:
                all are. One that is not is read by none, NaN included, and keeps its own value
                bit by bit, as one does whose partners are all not real.

        Returns:
            The M fused streams, in the widest dtype of all.

        Raises:
            TypeError: A stream or a mask is no tensor; the message names it.
            ValueError: Not M streams or masks, or they do not fit each other; or streams are wider
                than the parameters, float64 under autocast included.
        """
        check_many("GeminiWaysFusion", streams)
        if exists is not None:
            check_many("GeminiWaysFusion", exists, "exists", with_none=True)
        for given in (streams, streams if exists is None else exists):
            if len(given) != self.num_streams:
                raise ValueError(
                    f"GeminiWaysFusion: num_streams={self.num_streams}, got {len(given)}"
                )
        for stream in streams:
            check_streams(streams[0], stream, self.dim, "GeminiWaysFusion")
        masks = None
        if exists is not None and any(mask is not None for mask in exists):
            leading = streams[0].shape[:-1]
            one = torch.ones((), dtype=torch.bool, device=streams[0].device)
            masks = [broadcast_valid(one if m is None else m, leading) for m in exists]
        dtype = reduce(torch.promote_types, (stream.dtype for stream in streams))
        wide = computing_dtype(self, streams[0].to(dtype))
        given = [stream.to(wide) for stream in streams]
        fused = ways_fusion(given, self.fusion_parameters(), self.num_heads, masks)
        return [stream.to(dtype) for stream in fused]

    def extra_repr(self) -> str:
        """Show what the printed model should tell."""
        return (
            f"dim={self.dim}, num_streams={self.num_streams}, num_heads={self.num_heads}, "
            f"init={self.init!r}"
        )


def ways_fusion(
    streams: Sequence[Tensor],
    parameters: FusionParameters,
    num_heads: int,
    exists: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """The operator of `GeminiWaysFusion` as a function.

    Args:
        streams: M times (..., C).
        parameters: Complete, with M in place of two.
        num_heads: h, a divisor of C.
        exists: M times bool (...); None: all are real.

    Returns:
        M times (..., C).

    Raises:
        TypeError: A stream or a mask is no tensor; the message names it.
        ValueError: Not as many masks as streams.
    """
    check_many("ways_fusion", streams)
    if exists is not None:
        check_many("ways_fusion", exists, "exists")
        if len(exists) != len(streams):
            raise ValueError(
                f"ways_fusion: exists has {len(exists)} masks for {len(streams)} streams"
            )
    p, number = parameters, len(streams)
    seen = list(streams) if exists is None else [hide(x, e) for x, e in zip(streams, exists)]
    near, far = p.relation_in_weight.chunk(2, dim=1)
    of_own = [F.linear(x, near, p.relation_in_bias) for x in seen]
    of_other = [F.linear(x, far) for x in seen]
    fused = []
    for i in range(number):
        partners = [j for j in range(number) if j != i]
        scores = [_score(of_own[i] + of_other[j], p) for j in partners]
        there = None if exists is None else torch.stack([exists[j] for j in partners])
        weights = _weights(seen[i], torch.stack(scores), p, i, num_heads, there)
        read = _read([seen[i], *(seen[j] for j in partners)], weights, p, i)
        new = streams[i] + F.linear(read, p.out_weight[i], p.out_bias[i])
        valid = None if exists is None or there is None else exists[i] & there.any(dim=0)
        fused.append(keep_own(valid, new, streams[i]))
    return fused


def _score(hidden: Tensor, p: FusionParameters) -> Tensor:
    logits = F.linear(F.gelu(hidden), p.relation_out_weight, p.relation_out_bias)
    return logits.softmax(dim=-1)


def _weights(
    own: Tensor, scores: Tensor, p: FusionParameters, i: int, num_heads: int, there: Tensor | None
) -> Tensor:
    """Weights (M, ..., h) of own and partners, from scores (M - 1, ..., C) and masks of partners.

    Logits are taken relative to the own one, which leaves the softmax as it is and saves a product.
    """
    heads = (num_heads, own.shape[-1] // num_heads)
    query = F.linear(own, p.query_weight[i], query_bias(p)[i]).unflatten(-1, heads)
    difference = own * scores - own - p.key_noise[i]
    key = F.linear(difference, p.key_weight[i]).unflatten(-1, heads)
    if query.dtype in (torch.float16, torch.bfloat16):  # their products may leave half's range
        query, key = query.float(), key.float()
    logits = (query * key).sum(-1) * heads[1] ** -0.5
    if there is not None:
        logits = logits.masked_fill(~there[..., None], float("-inf"))
    return F.pad(logits, [0, 0] * (logits.dim() - 1) + [1, 0]).softmax(dim=0).to(own.dtype)


def _read(tokens: Sequence[Tensor], weights: Tensor, p: FusionParameters, i: int) -> Tensor:
    """What the attention reads (..., C), of the own token first and the partners behind it."""
    noisy = [tokens[0] + p.value_noise[i], *tokens[1:]]
    values = F.linear(torch.stack(noisy), p.value_weight[i], value_bias(p)[i])
    heads = values.unflatten(-1, (weights.shape[-1], -1))
    return (weights[..., None] * heads).sum(dim=0).flatten(-2)
