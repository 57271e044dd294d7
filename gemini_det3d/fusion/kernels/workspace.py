"""The memory one block of tokens is computed in.

A block is small enough for its buffers to stay near the cores, and all buffers are reused from
block to block: memory that is touched for the first time costs more than the arithmetic on it.
Layouts are chosen so that elementwise steps run along contiguous memory and transposes are left
to the matrix products, where they are free: the discriminator works on (M, C), its softmax on
rows; the attention works on (C, M), where a head is C/h full rows and its gate a broadcast row.

Notation as in `functional`; M tokens of the block, P the same rounded up, E the dtype of the
elementwise steps. Buffers have room for P tokens: a few steps run over all of it, because a
vector loop's scalar remainder rounds differently and results would depend on a token's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from .constants import Constants

__all__ = [
    "INFERENCE_UNITS",
    "TRAINING_UNITS",
    "InferenceWorkspace",
    "TrainingWorkspace",
    "Workspace",
    "round_up",
    "tape_shape",
    "tape_width",
]

INFERENCE_UNITS, TRAINING_UNITS = 8, 14  # scratch memory in P C elements
_ROUND = 32  # tokens: two float32 vectors of the widest kind


def round_up(num_tokens: int) -> int:
    """P of M tokens."""
    return -(-num_tokens // _ROUND) * _ROUND


def tape_width(channels: int, num_heads: int) -> int:
    """Elements a token leaves on the tape: `hidden`, `phi`, `key`, `query` and `gate`."""
    return 8 * channels + 2 * num_heads


def tape_shape(num_tokens: int, channels: int, num_heads: int) -> tuple[int, int]:
    """Of the tape of N tokens: a row for each, and one that holds the size of its blocks."""
    return round_up(num_tokens) + 1, tape_width(channels, num_heads)


class Workspace:
    """Named views of stretches of memory; names that overlap are never alive together.

    Attributes:
        num_tokens: M.
        num_heads: h.
        pair: (2, M, C), sum and difference of the streams, or (M, 2C), the streams side by side.
        difference: (2, M, C), x - x * phi, the negated key difference without noise.
        split: (2, M, C), the two halves S and D of the discriminator's first layer.
        split_pairs: (M, 2C), over `split`, for the backward of pairs alone.
        hidden: (2, M, C), discriminator before its GELU; `all_hidden` (2, P, C).
        active: (2, M, C), and behind it; `all_active` (2, P, C).
        phi: (2, M, C), relation score.
        key: (2, C, M), projected negated key difference.
        query: two (C, M).
        own: two (C, M), the value a direction reads of its own stream.
        other: two (C, M), the value it reads of the other stream.
        values: two (2C, M), all values of a stream.
        product: (2, C, M), query times key; `all_product` (2, C, P).
        gate: (2, h, M), weight 1 - a on the own value; `all_gate` (2, h, P).
        read: two (C, M), what the attention reads.
        projected: (2, M, C), the projected read, over `difference`; the last step of a forward.
    """

    query: Sequence[Tensor]
    read: Sequence[Tensor]

    def __init__(
        self,
        constants: Constants,
        num_tokens: int,
        memory: Mapping[str, Tensor],
        mixed: Tensor,
        gate: Tensor,
    ) -> None:
        """Views of memory.

        Args:
            constants: For channels and heads.
            num_tokens: M.
            memory: Name -> flat stretch of 2 P C elements.
            mixed: Flat, 6 P C elements: queries and values of both streams.
            gate: Flat, 2 h P elements.
        """
        c, m, p = constants.channels, num_tokens, round_up(num_tokens)
        self.num_tokens, self.num_heads = m, constants.num_heads
        self._rows = {name: flat.view(2, p, c) for name, flat in memory.items()}
        self._columns = {name: flat.view(2, c, p) for name, flat in memory.items()}
        self.all_hidden, self.all_active = self._rows["hidden"], self._rows["active"]
        self.hidden, self.active, self.difference, self.split, self.phi = (
            self._rows[name][:, :m] for name in ("hidden", "active", "difference", "split", "phi")
        )
        self.projected = self.pair = self.difference
        if constants.is_paired:
            self.pair = self._rows["difference"].view(p, 2 * c)[:m]
        self.split_pairs = self._rows["split"].view(p, 2 * c)[:m]
        self.key, self.all_product = self._columns["key"][..., :m], self._columns["product"]
        self.product = self.all_product[..., :m]
        self.all_gate = gate.view(2, constants.num_heads, p)
        self.gate = self.all_gate[..., :m]
        self.gate_rows = tuple(self.gate[i, :, None] for i in (0, 1))
        self._mixed = mixed.view(2, 3 * c, p)[..., :m]
        first, second = (part.split(c) for part in self._mixed)
        self.own, self.other = (first[1], second[1]), (second[0], first[2])
        self.values = (self._mixed[0, c:], self._mixed[1, : 2 * c])
        self._mixed_query = (first[0], second[2])

    def heads(self, tensor: Tensor) -> Tensor:
        """(..., C, M) as (..., h, C/h, M)."""
        return tensor.unflatten(-2, (self.num_heads, -1))


class InferenceWorkspace(Workspace):
    """For a forward that nothing will be asked of again.

    What lives where, in four stretches of 2 P C elements, step by step::

        step                 1            2        3        4
        discriminator        pair         split    hidden
        its score                         phi      active
        key difference       difference   phi
        key                  difference                     key
        query, values        ......... mixed ...........    key
        gate                 ......... mixed ...........    product
        read                 ......... other ...........
        output               projected    other ........

    Args:
        memory: Flat, at least INFERENCE_UNITS P C elements.
        num_tokens: M.
        constants: For channels and heads.
    """

    def __init__(self, memory: Tensor, num_tokens: int, constants: Constants) -> None:
        padded = round_up(num_tokens)
        parts = memory[: INFERENCE_UNITS * padded * constants.channels].view(4, -1)
        places = {"difference": 0, "split": 1, "phi": 1, "hidden": 2, "active": 2}
        buffers = {name: parts[i] for name, i in {**places, "key": 3, "product": 3}.items()}
        gate = memory.new_empty(2 * constants.num_heads * padded)
        super().__init__(constants, num_tokens, buffers, parts[:3], gate)
        self.query, self.read = self._mixed_query, self.other


class TrainingWorkspace(Workspace):
    """For a forward and the backward that follows.

    `hidden`, `phi`, `key`, `query` and `gate` are the tape. The rest, in seven stretches of 2 P C
    elements, step by step; the backward finds what the forward left, and uses it up::

        step                 1            2               3                4       5 6 7
        discriminator        pair         split           active
        key difference       difference                   active
        values               difference                   active                   mixed
        gate, read           difference   product         active           read    mixed
        output               projected
        -- backward: output  difference   towards_read    active           read    mixed
        attention            difference   towards_read    active     towards_key   towards_query,
        key                  difference   towards_diff.   active     towards_key   towards_values
        discriminator        pair         towards_score   towards_hidden
        its first layer      pair         towards_pair    towards_h. towards_split towards_...

    Args:
        memory: Flat, at least TRAINING_UNITS P C elements.
        num_tokens: M.
        constants: For channels and heads.
        tape: (P, tape_width) contiguous, written by the forward and only read by the backward;
            None: a scratch tape, for a forward that is repeated by the backward.

    Attributes:
        towards_query: two (C, M), the gradient of the query.
        towards_key, towards_split: (2, C, M) and (2, M, C), over `read`, for the backward alone.
    """

    def __init__(
        self, memory: Tensor, num_tokens: int, constants: Constants, tape: Tensor | None
    ) -> None:
        c, h, p = constants.channels, constants.num_heads, round_up(num_tokens)
        if tape is None:
            tape = memory.new_empty(p, tape_width(c, h))
        kept, gate = tape.view(-1).split((8 * p * c, 2 * h * p))
        parts = memory[: TRAINING_UNITS * p * c].view(7, -1)
        buffers = dict(zip(("hidden", "phi", "key", "query"), kept.view(4, -1)))
        buffers |= dict(zip(("difference", "split", "active", "read"), parts))
        super().__init__(constants, num_tokens, {**buffers, "product": parts[1]}, parts[4:], gate)
        rows, columns = self._rows, self._columns
        self.query = columns["query"][..., :num_tokens].unbind(0)
        self.towards_query = self._mixed_query
        self.towards_key = columns["read"][..., :num_tokens]
        self.read = self.towards_key.unbind(0)
        self.towards_split = rows["read"][:, :num_tokens]
        tape_views = (rows["hidden"], rows["phi"], columns["key"].mT, columns["query"].mT)
        self._tape = (*tape_views, self.all_gate.mT)  # each (2, P, ...)

    def clear_padding(self) -> None:
        """Zeros in what the tape holds beyond token M, so that a tape is the same every time."""
        for tensor in self._tape:
            tensor[:, self.num_tokens :].zero_()
