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

from torch import Tensor

from .constants import Constants

__all__ = [
    "INFERENCE_UNITS",
    "TRAINING_UNITS",
    "Workspace",
    "inference_workspace",
    "round_up",
    "tape_width",
    "training_workspace",
]

INFERENCE_UNITS, TRAINING_UNITS = 8, 14  # scratch memory in P C elements
_ROUND = 32  # tokens: two float32 vectors of the widest kind


class Workspace:
    """Named views of one stretch of memory; names that overlap are never alive together.

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
        towards_query: two (C, M), the gradient of the query; the query itself without a tape.
        product: (2, C, M), query times key; `all_product` (2, C, P).
        gate: (2, h, M), weight 1 - a on the own value; `all_gate` (2, h, P).
        read: two (C, M), what the attention reads.
        projected: (2, M, C), the projected read, over `difference`; the last step of a forward.
        towards_key, towards_split: (2, C, M) and (2, M, C), over `read`, for the backward alone.
    """

    def __init__(
        self,
        constants: Constants,
        num_tokens: int,
        memory: dict[str, Tensor],
        gate: Tensor,
    ) -> None:
        c, m, p = constants.channels, num_tokens, round_up(num_tokens)
        self.num_tokens, self.num_heads = m, constants.num_heads
        rows = {name: flat.view(2, p, c) for name, flat in memory.items() if name != "mixed"}
        columns = {name: flat.view(2, c, p) for name, flat in memory.items() if name != "mixed"}
        self.all_hidden, self.all_active = rows["hidden"], rows["active"]
        self.hidden, self.active = self.all_hidden[:, :m], self.all_active[:, :m]
        self.difference, self.split, self.phi = (
            rows[name][:, :m] for name in ("difference", "split", "phi")
        )
        self.projected = self.difference
        is_paired = constants.is_paired
        self.pair = rows["difference"].view(p, 2 * c)[:m] if is_paired else self.difference
        self.split_pairs = rows["split"].view(p, 2 * c)[:m]
        self.key, self.all_product = columns["key"][..., :m], columns["product"]
        self.product = self.all_product[..., :m]
        self.all_gate = gate.view(2, constants.num_heads, p)
        self.gate = self.all_gate[..., :m]
        self.gate_rows = tuple(self.gate[i, :, None] for i in (0, 1))
        mixed = memory["mixed"].view(2, 3 * c, p)[..., :m]
        self.own = (mixed[0, c : 2 * c], mixed[1, c : 2 * c])
        self.other = (mixed[1, :c], mixed[0, 2 * c :])
        self.values = (mixed[0, c:], mixed[1, : 2 * c])
        self.query = self.towards_query = (mixed[0, :c], mixed[1, 2 * c :])
        self.read = self.other
        if "read" in memory:
            self.query = columns["query"][..., :m].unbind(0)
            tape = (rows["hidden"], rows["phi"], columns["key"].mT, columns["query"].mT)
            self._tape = (*tape, self.all_gate.mT)  # each (2, P, ...)
            self.towards_key = columns["read"][..., :m]
            self.read = self.towards_key.unbind(0)
            self.towards_split = rows["read"][:, :m]

    def clear_padding(self) -> None:
        """Zeros in what the tape holds beyond token M, so that a tape is the same every time."""
        for tensor in self._tape:
            tensor[:, self.num_tokens :].zero_()

    def heads(self, tensor: Tensor) -> Tensor:
        """(..., C, M) as (..., h, C/h, M)."""
        return tensor.unflatten(-2, (self.num_heads, -1))


def round_up(num_tokens: int) -> int:
    """P of M tokens."""
    return -(-num_tokens // _ROUND) * _ROUND


def inference_workspace(memory: Tensor, num_tokens: int, constants: Constants) -> Workspace:
    """Views of `memory` for a forward that nothing will be asked of again.

    Args:
        memory: Flat, at least INFERENCE_UNITS P C elements.
        num_tokens: M.
        constants: For channels and heads.
    """
    size = 2 * round_up(num_tokens) * constants.channels
    parts = memory[: 4 * size].view(4, size)
    names = {"difference": 0, "split": 1, "phi": 1, "hidden": 2, "active": 2}
    buffers = {name: parts[i] for name, i in names.items()}
    buffers |= {"mixed": parts[:3], "key": parts[3], "product": parts[3]}
    gate = memory.new_empty(2 * constants.num_heads * round_up(num_tokens))
    return Workspace(constants, num_tokens, buffers, gate)


def tape_width(channels: int, num_heads: int) -> int:
    """Elements a token leaves on the tape: `hidden`, `phi`, `key`, `query` and `gate`."""
    return 8 * channels + 2 * num_heads


def training_workspace(
    memory: Tensor, num_tokens: int, constants: Constants, tape: Tensor | None
) -> Workspace:
    """Views of `memory` and of the tape, for a forward and the backward that follows.

    Args:
        memory: Flat, at least TRAINING_UNITS P C elements.
        num_tokens: M.
        constants: For channels and heads.
        tape: (P, tape_width) contiguous, written by the forward and only read by the backward;
            None: a scratch tape, for a forward that is repeated by the backward.
    """
    c, h, p = constants.channels, constants.num_heads, round_up(num_tokens)
    if tape is None:
        tape = memory.new_empty(p, tape_width(c, h))
    kept, gate = tape.view(-1).split((8 * p * c, 2 * h * p))
    buffers = dict(zip(("hidden", "phi", "key", "query"), kept.view(4, -1)))
    parts = memory[: 14 * p * c].view(7, -1)
    buffers |= dict(zip(("difference", "split", "active", "read"), parts))
    buffers |= {"product": parts[1], "mixed": parts[4:]}
    return Workspace(constants, num_tokens, buffers, gate)
