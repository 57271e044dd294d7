"""The fusion slot: where a two-stream encoder lets its streams read each other.

Any registered operator fits (`operator=dict(type=...)`). Where the slots are is told by `fuse_at`,
and by `last_k` how many of them fuse, counted from the end of the encoder as in Table 8 of the
paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet3d.registry import MODELS

from gemini_det3d.fusion import FusionOperator, GeminiFusion, GeminiWaysFusion
from gemini_det3d.models.operators import build_operator, operator_type

FUSE_AT = ("every_block", "stage_ends", "stage_outputs")
_RELEASED_HEADS = 8


def plan_slots(
    depths: Sequence[int], last_k: int | None = None, fuse_at: str = "every_block"
) -> list[list[bool]]:
    """Where a slot fuses.

    Args:
        depths: Blocks of each stage.
        last_k: Keep only the last k slots of the encoder; 0: none, None: all.
        fuse_at: "every_block"; "stage_ends": the last block of each stage only; "stage_outputs":
            behind the blocks, on the normed maps that a stage hands out.

    Returns:
        One list of flags per stage: of its blocks, then of its output.

    Raises:
        ValueError: An argument is out of range; the message names it.
    """
    if fuse_at not in FUSE_AT:
        raise ValueError(f"fuse_at must be one of {FUSE_AT}, got {fuse_at!r}")
    plan = [_flags(depth, fuse_at) for depth in depths]
    slots = [(stage, place) for stage, row in enumerate(plan) for place, on in enumerate(row) if on]
    if last_k is None:
        return plan
    if not isinstance(last_k, int) or not 0 <= last_k <= len(slots):
        raise ValueError(f"last_k must be 0 to {len(slots)}, the number of slots, got {last_k!r}")
    for stage, place in slots[: len(slots) - last_k]:
        plan[stage][place] = False
    return plan


def _flags(depth: int, fuse_at: str) -> list[bool]:
    flags = [fuse_at == "every_block"] * depth + [fuse_at == "stage_outputs"]
    flags[depth - 1] |= fuse_at == "stage_ends"
    return flags


def is_among_all(operator: Mapping[str, Any] | None) -> bool:
    """Whether a config's operator fuses all modalities at once, so that none are merged before."""
    return operator_type(operator) is GeminiWaysFusion


def build_slot(
    operator: Mapping[str, Any] | None, dim: int, is_wanted: bool, num_streams: int = 2
) -> FusionOperator | GeminiWaysFusion | None:
    """The operator of one slot, or None where it does not fuse.

    Args:
        operator: Config with a registered ``type``; None: GeminiFusion as in the released
            segmentors (8 heads, truncated normal initialisation).
        dim: Channels of the streams there.
        is_wanted: Whether the slot fuses.
        num_streams: How many streams there are, for an operator that fuses all at once.

    Raises:
        KeyError: ``type`` is missing or not registered.
        ValueError: It is no fusion operator, or its arguments are wrong.
    """
    if not is_wanted:
        return None
    if is_among_all(operator):
        return MODELS.build({**(operator or {}), "dim": dim, "num_streams": num_streams})
    operator = dict(operator or {"type": "GeminiFusion", "num_heads": _RELEASED_HEADS})
    if operator_type(operator) is GeminiFusion:
        operator.setdefault("linear_init", "trunc_normal")
    return build_operator(operator, dim)
