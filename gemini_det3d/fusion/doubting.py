"""An operator that says how far its tokens are corrupted, and what that does to its gate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import (
    Counts,
    Doubts,
    FusionOperator,
    broadcast_valid,
    check_tensors,
    hide,
    is_in_backward,
)
from .kernels.torch_versions import without_autocast
from .reliability import (
    START_BIAS,
    batch_centre,
    doubt,
    follow_spread,
    gate_bias,
    sample_means,
    sample_of_tokens,
)
from .start import optional_parameter

__all__ = ["DoubtingOperator"]

_PAST = 16
"""Training forwards whose statistics are kept for a backward that repeats them; more than one may
be on its way, as with a degraded copy of each batch."""
_ALIKE = 0.1
"""How far the means of one batch may be apart when computed twice, in standard errors."""


class DoubtingOperator(FusionOperator):
    """Holds the layers of `reliability` and the running statistics that they are read with."""

    reads_samples = True
    reliability_centre: Tensor
    reliability_variance: Tensor
    reliability_seen: Tensor
    past_spreads: Tensor

    def add_reliability(self, is_wanted: bool, loss_weight: float) -> None:
        """Add the parameters and statistics, or None in their place.

        Raises:
            ValueError: The loss's weight is negative or NaN.
        """
        if not loss_weight >= 0:
            fault = f"must be 0 or more, got {loss_weight!r}"
            raise ValueError(f"{type(self).__name__}: reliability_loss_weight {fault}")
        self.reliability_loss_weight = loss_weight
        self.reliability_weight = optional_parameter(is_wanted, 2, 2 * self.dim)
        self.reliability_bias = optional_parameter(is_wanted, 2)
        self.reliability_worth = optional_parameter(is_wanted, 2)
        if not is_wanted:
            return
        wide = torch.zeros(2, 2 * self.dim)  # of each stream
        self.register_buffer("reliability_centre", wide.clone())
        self.register_buffer("reliability_variance", torch.ones_like(wide))
        self.register_buffer("reliability_seen", torch.zeros(2, dtype=torch.bool))
        past = wide.new_zeros(_PAST, 3, *wide.shape)
        self.register_buffer("past_spreads", past, persistent=False)

    @torch.no_grad()
    def reset_reliability(self) -> None:
        """Let the layers start where nothing is doubted."""
        if self.reliability_weight is None:
            return
        self.reliability_weight.zero_()
        self.reliability_bias.fill_(START_BIAS)
        self.reliability_worth.zero_()
        self.reliability_centre.zero_()
        self.reliability_variance.fill_(1)
        self.reliability_seen.zero_()

    def doubts(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None, counts: Counts = None
    ) -> tuple[Tensor, Tensor]:
        """How far tokens are corrupted, as logits: two (...) from streams (..., C).

        Arguments as in `forward`; `counts` and else the first axis tell the samples apart.

        Raises:
            ValueError: The operator was built with `reliability=False`.
        """
        if self.reliability_weight is None:
            raise ValueError(f"{type(self).__name__}: doubts needs reliability=True")
        check_tensors(type(self).__name__, first=first, second=second)
        if valid is not None:
            valid = broadcast_valid(valid, first.shape[:-1])
        # a copy, since the next forward moves the centre, maybe before the backward of this
        with without_autocast(first.device.type):
            spread = torch.stack([self.reliability_centre, self.reliability_variance])
            return self._logits(self._tokens(first, second, valid, counts), spread)

    def doubt_bias(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None, counts: Counts = None
    ) -> Tensor | None:
        """What reliability adds to the first direction's logit: (...); None without.

        It has a gradient towards `reliability_worth`, none towards the doubts. In training a
        forward moves the statistics before it reads them; this does not.
        """
        if self.reliability_worth is None:
            return None
        return gate_bias(*self.doubts(first, second, valid, counts), self.reliability_worth)

    def own_bias(
        self, first: Tensor, second: Tensor, valid: Tensor | None, counts: Counts
    ) -> Tensor | None:
        """As `doubt_bias`, of a forward: in training its doubts are kept for their loss."""
        if self.reliability_worth is None:
            return None
        if not self.training:
            return self.doubt_bias(first, second, valid, counts)
        tokens = self._tokens(first, second, valid, counts)
        move = self._recall if is_in_backward() else self._follow
        doubts = self._logits(tokens, move(tokens, valid))
        self.keep_doubts(Doubts(*doubts, valid, counts, self.reliability_loss_weight))
        return gate_bias(*doubts, self.reliability_worth)

    def _tokens(
        self, first: Tensor, second: Tensor, valid: Tensor | None, counts: Counts
    ) -> list[tuple[Tensor, Tensor]]:
        """Of each stream the tokens and the means of their samples."""
        sample = sample_of_tokens(counts, first.device)
        streams = [hide(stream, valid) for stream in (first, second)]
        return [(stream, sample_means(stream, valid, counts, sample)) for stream in streams]

    def _logits(self, tokens: list[tuple[Tensor, Tensor]], spread: Tensor) -> tuple[Tensor, Tensor]:
        """With centre and variance (2, 2, 2C)."""
        centres, variances = spread
        rows = zip(tokens, self.reliability_weight, self.reliability_bias, centres, variances)
        first, second = (
            doubt(stream, mean, weight, bias, (centre, variance.sqrt()))
            for (stream, mean), weight, bias, centre, variance in rows
        )
        return first, second

    def _follow(self, tokens: list[tuple[Tensor, Tensor]], valid: Tensor | None) -> Tensor:
        """Let the running statistics follow a training forward, and keep what they are then.

        Each process follows its own, as a batch norm's without SyncBN; a checkpoint has those of
        the first.
        """
        own = zip(self.reliability_centre, self.reliability_variance, self.reliability_seen)
        with torch.no_grad(), without_autocast(self.reliability_centre.device.type):
            marks = [follow_spread(*spread, *pair, valid) for pair, spread in zip(tokens, own)]
            spread = self.reliability_centre, self.reliability_variance
            kept = torch.stack([torch.stack(marks), *spread])
            self.past_spreads.copy_(torch.cat([kept[None], self.past_spreads[:-1]]))
        return kept[1:]

    def _recall(self, tokens: list[tuple[Tensor, Tensor]], valid: Tensor | None) -> Tensor:
        """What the statistics were in the forward that a backward repeats: its tokens tell.

        Raises:
            RuntimeError: They are those of none of the last forwards.
        """
        like = self.reliability_centre
        with without_autocast(like.device.type):
            mark = torch.stack([batch_centre(*pair, valid, like) for pair in tokens])
        distance = (self.past_spreads[:, 0] - mark).abs().sum((1, 2)).nan_to_num(nan=math.inf)
        nearest = self.past_spreads.index_select(0, distance.argmin().view(1))[0]
        num_tokens = max(tokens[0][0].shape[:-1].numel(), 1)
        unit = (nearest[2].float() / num_tokens).sqrt().sum()
        is_capturing = mark.is_cuda and torch.cuda.is_current_stream_capturing()
        if not is_capturing and bool(distance.min() > _ALIKE * unit):  # nothing can be asked there
            raise RuntimeError(
                f"{type(self).__name__}: a checkpoint repeats a forward that is not among the last "
                f"{_PAST} of this operator, whose statistics are kept; call backward earlier"
            )
        return nearest[1:]
