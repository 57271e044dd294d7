"""Released segmentors and ImageNet encoders <-> our parameter names, one to one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gemini_det3d.fusion import find_blocks, find_released_blocks
from gemini_det3d.fusion.released import RELEASED_NAMES, from_released, to_released
from gemini_det3d.models.checkpoints.names import LAYOUTS, Layout, find_layout, match


@dataclass
class Conversion:
    """What became of a file.

    Attributes:
        layout: Name of the layout that was found.
        state: Our names to tensors.
        mapped: Their names to ours; one of theirs may become several of ours.
        absent: Their names that have no place in ours, with the reason.
        unknown: Their names that no rule knows.
    """

    layout: str
    state: dict[str, Tensor] = field(default_factory=dict)
    mapped: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def put(self, theirs: str, ours: str, tensor: Tensor) -> None:
        """Note that a parameter goes somewhere."""
        self.state[ours] = tensor
        self.mapped.setdefault(theirs, []).append(ours)


def from_released_segmentor(
    state: Mapping[str, Tensor], num_modalities: int = 2, num_streams: int | None = None
) -> Conversion:
    """Rename a released segmentor or a plain ImageNet encoder.

    Args:
        state: Their names to tensors, without wrappers (``module.``, ``model``).
        num_modalities: How many norms a plain encoder's norm becomes; a released segmentor says
            it itself.
        num_streams: How many norms a plain encoder's becomes within its blocks; None: two at most,
            as with the hub.

    Returns:
        Our names, and what became of each of theirs. A plain encoder gives the names of a
        backbone, a segmentor those of a whole model.

    Raises:
        ValueError: The names fit no layout, or a fusion block is incomplete; the message names
            the parameter.
    """
    layout = find_layout(state)
    if layout is None:
        marks = ", ".join(known.prefix + known.mark for known in LAYOUTS)
        raise ValueError(f"fits no known layout: none of {marks} is in it")
    conversion = Conversion(layout.name)
    counts = {".*.": num_modalities, ".+.": num_streams or min(num_modalities, 2)}
    fused = _convert_blocks(state, layout, conversion)
    pairs, absent = layout.pairs(), [*layout.absent, *_unused_scores(state)]
    for name, tensor in state.items():
        if name in fused:
            continue
        reason = next((why for pattern, why in absent if re.search(pattern, name)), None)
        ours = None if reason else _translate(name, pairs)
        if reason:
            conversion.absent[name] = reason
        elif ours is None:
            conversion.unknown.append(name)
        else:
            for each in _spread(ours, counts):
                conversion.put(name, each, tensor)
    return conversion


def to_released_segmentor(state: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """Our names -> those of a released segmentor.

    Parameters that the released code holds without reading them (an unused score net per stage,
    the index of relative positions) are made anew: zeros, and the index itself.

    Args:
        state: A whole model of ours.
        layout: Name of one of the released layouts.

    Raises:
        ValueError: There is no such layout, or a name of ours has no counterpart in it.
    """
    found = next((known for known in LAYOUTS if known.name == layout and known.fusion), None)
    if found is None:
        names = [known.name for known in LAYOUTS if known.fusion]
        raise ValueError(f"layout must be one of {names}, got {layout!r}")
    pairs = [(ours, theirs) for theirs, ours in found.pairs()]
    slots = find_blocks(state)
    fusion = ("backbone." + found.fusion[1], found.prefix + found.fusion[0])
    released = {}
    for slot in slots:
        place = match(fusion[0], slot)
        if place is None:  # for example behind a stage: fuse_at="stage_outputs"
            raise ValueError(f"{slot}* has no counterpart in the layout {layout!r}")
        block = {n[len(slot) :]: t for n, t in state.items() if n.startswith(slot)}
        released.update(to_released(block, _fill(fusion[1], place)))
    for name, tensor in state.items():
        if any(name.startswith(slot) for slot in slots):
            continue
        theirs = _translate(name, pairs)
        if theirs is None:
            raise ValueError(f"{name} has no counterpart in the layout {layout!r}")
        released[theirs] = tensor
    _add_unread(released)
    return released


def _convert_blocks(
    state: Mapping[str, Tensor], layout: Layout, conversion: Conversion
) -> set[str]:
    """Fusion blocks of a released file; returns the names that they took."""
    if layout.fusion is None:
        return set()
    theirs, ours = layout.prefix + layout.fusion[0], "backbone." + layout.fusion[1]
    taken: set[str] = set()
    for prefix in find_released_blocks(state):
        fields = match(theirs, prefix)
        if fields is None:
            continue
        target = _fill(ours, fields)
        block = from_released(state, prefix)
        packed = {target + name: tensor for name, tensor in block.items()}
        conversion.state.update(packed)
        names = {prefix + name for name in RELEASED_NAMES}
        conversion.mapped.update({name: [target + "*"] for name in sorted(names)})
        taken |= names
    return taken


def _translate(name: str, pairs: list[tuple[str, str]]) -> str | None:
    for source, target in pairs:
        fields = match(source, name)
        if fields is not None:
            return _fill(target, fields)
    return None


def _fill(template: str, fields: Mapping[str, str]) -> str:
    for name, value in fields.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _spread(name: str, counts: Mapping[str, int]) -> list[str]:
    """``*`` stands for every modality, ``+`` for every stream."""
    for sign, count in counts.items():
        if sign in name:
            return [name.replace(sign, f".{m}.") for m in range(count)]
    return [name]


_SCORE = re.compile(r"(?P<prefix>.*extra_score_predictor\.\d+\.score_nets\.)(?P<m>\d+)\.(?P<x>.+)")


def _unused_scores(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """The released hub builds a score net for each modality and reads all but the last."""
    numbers = [int(found["m"]) for name in state if (found := _SCORE.match(name))]
    if not numbers:
        return []
    return [(rf"\.score_nets\.{max(numbers)}\.", "a score net that the released hub never reads")]


def _add_unread(released: dict[str, Tensor]) -> None:
    """What the released modules hold and do not read."""
    from gemini_det3d.models.backbones.windows import relative_index

    nets = [found for name in released if (found := _SCORE.match(name))]
    for found in nets:
        unread = max(int(net["m"]) for net in nets) + 1
        like = released[found[0]]
        released[f"{found['prefix']}{unread}.{found['x']}"] = torch.zeros_like(like)
    for name in [n for n in released if n.endswith(".relative_position_bias_table")]:
        window = (round(released[name].shape[0] ** 0.5) + 1) // 2
        released[name.replace("bias_table", "index")] = relative_index(window)
