"""A partner that is looked for: the twin of a token where the calibration is a little off.

The released operator pairs a token with what lies at the same place in the other modality. Here the
partner is a soft choice among the places around it, w in number, the centre c first among them:

    q = x W_q,  k_j = y_j W_k                        rank r, much smaller than C
    p = softmax_j (q . k_j / sqrt(r) + b_j)          b: a bias for each place of the window
    partner = y_c + a (sum_j p_j y_j - y_c)

The operator then runs on the token and this partner. a starts at zero, where the partner is what
lies at the same place, bit by bit. A token costs w (r + C) multiply-adds more, and 2 C r for q and
k, beside the operator's 16 C^2.

Shape shorthand: `...` any leading axes, C channels, w places.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import check_many, check_tensors

__all__ = ["WindowedTwin", "choose_partner", "windows"]

_CENTRE_START = 2.0
"""Bias of the centre at the start: it weighs seven times as much as any place around it."""


def choose_partner(
    query: Tensor,
    keys: Sequence[Tensor],
    places: Sequence[Tensor],
    bias: Tensor,
    exists: Sequence[Tensor | None],
) -> Tensor:
    """The mean of what lies in the window, weighted by how well it fits.

    Args:
        query: (..., r).
        keys: w times (..., r), the centre's in the middle.
        places: w times (..., C).
        bias: (w,).
        exists: w times bool (...), or None where all are real. The centre is always read.

    Returns:
        (..., C), in the dtype of the places; the weights are worked out in float32 or float64.
    """
    check_tensors("choose_partner", query=query, bias=bias)
    check_many("choose_partner", places)
    kind = torch.float64 if query.dtype == torch.float64 else torch.float32
    scale = query.shape[-1] ** -0.5
    logits = torch.stack(
        [(query.to(kind) * key.to(kind)).sum(-1) * scale + b for key, b in zip(keys, bias.to(kind))]
    )
    centre = len(places) // 2
    for j, there in enumerate(exists):
        if there is not None and j != centre:
            logits[j] = logits[j].masked_fill(~there, float("-inf"))
    weights = logits.softmax(dim=0).to(places[0].dtype)
    return sum(weight[..., None] * place for weight, place in zip(weights, places))


def windows(cells: Tensor, size: int, fill: float | bool = 0) -> list[Tensor]:
    """What lies around each cell of a map, row by row, as views.

    Args:
        cells: (B, H, W, ...).
        size: Of the window, odd.
        fill: Of places outside the map.

    Returns:
        size^2 times (B, H, W, ...).
    """
    check_tensors("windows", cells=cells)
    reach, (height, width) = size // 2, cells.shape[1:3]
    beside = [0, 0] * (cells.dim() - 3) + [reach, reach, reach, reach]
    wide = F.pad(cells, beside, value=fill)
    return [
        wide[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]


class WindowedTwin(nn.Module):
    """Looks in a map around each cell for the partner of a token.

    Args:
        dim: C, of both maps.
        size: Of the window, in cells a side: 3 or 5, for calibrations off by one or two cells.
        rank: r, of the dot products.

    Raises:
        ValueError: The window is no odd number of at least 3, or the rank is not positive.
    """

    def __init__(self, dim: int, size: int = 3, rank: int = 16) -> None:
        super().__init__()
        if isinstance(size, bool) or size < 3 or size % 2 == 0:
            raise ValueError(f"WindowedTwin: size={size!r} must be 3, 5, ... cells a side")
        if isinstance(rank, bool) or rank < 1:
            raise ValueError(f"WindowedTwin: rank={rank!r} must be at least 1")
        self.dim, self.size, self.rank = dim, size, rank
        self.query = nn.Linear(dim, rank, bias=False)
        self.key = nn.Linear(dim, rank, bias=False)
        bias = torch.zeros(size * size)
        bias[size * size // 2] = _CENTRE_START
        self.place_bias = nn.Parameter(bias)
        self.amount = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        own: Tensor,
        other: Tensor,
        own_exists: Tensor | None = None,
        other_exists: Tensor | None = None,
    ) -> Tensor:
        """What each cell takes as its partner.

        Args:
            own: (B, H, W, C), the map that looks; its places are the truth.
            other: (B, H, W, C), the map that is looked into.
            own_exists: Bool (B, H, W): a cell that is not real takes what lies at its place.
            other_exists: Bool (B, H, W): cells that are not real are not taken, NaN included.

        Returns:
            (B, H, W, C).
        """
        check_tensors("WindowedTwin", own=own, other=other)
        if other_exists is not None:
            other = torch.where(other_exists[..., None], other, 0)
        if own_exists is not None:
            own = torch.where(own_exists[..., None], own, 0)
        is_there = torch.ones(other.shape[:3], dtype=torch.bool, device=other.device)
        exists = windows(is_there if other_exists is None else other_exists, self.size, False)
        places, keys = windows(other, self.size), windows(self.key(other), self.size)
        found = choose_partner(self.query(own), keys, places, self.place_bias, exists)
        partner = other + self.amount.to(other.dtype) * (found.to(other.dtype) - other)
        return partner if own_exists is None else torch.where(own_exists[..., None], partner, other)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that decay would only draw to nothing."""
        return {"place_bias", "amount"}

    def extra_repr(self) -> str:
        """Show what the printed model should tell."""
        return f"dim={self.dim}, size={self.size}, rank={self.rank}"
