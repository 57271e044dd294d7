"""Templates that pair a released parameter name with ours; each is read in both directions.

Fields: ``{s}`` stage from 0, ``{t}`` the same stage from 1, ``{i}`` block, ``{m}`` modality,
``{n}`` ``{j}`` digits that stay, ``{y}`` a word that stays, ``{x}`` the rest of the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FIELDS = {name: rf"(?P<{name}>\d+)" for name in "stimnj"} | {
    "y": r"(?P<y>\w+)",
    "x": r"(?P<x>.+)",
}

_MIT_STREAMS = (
    ("patch_embed{t}.proj.module.{x}", "stages.{s}.embed.proj.{x}"),
    ("patch_embed{t}.norm.ln_{m}.{x}", "stages.{s}.embed.norm.{m}.{x}"),
    ("block{t}.{i}.norm{n}.ln_{m}.{x}", "stages.{s}.blocks.{i}.norm{n}.{m}.{x}"),
    ("block{t}.{i}.attn.norm.ln_{m}.{x}", "stages.{s}.blocks.{i}.attn.norm.{m}.{x}"),
    ("block{t}.{i}.attn.{y}.module.{x}", "stages.{s}.blocks.{i}.attn.{y}.{x}"),
    ("block{t}.{i}.mlp.dwconv.dwconv.{x}", "stages.{s}.blocks.{i}.mlp.dwconv.{x}"),
    ("block{t}.{i}.mlp.{y}.module.{x}", "stages.{s}.blocks.{i}.mlp.{y}.{x}"),
    ("norm{t}.ln_{m}.{x}", "stages.{s}.norms.{m}.{x}"),
    ("extra_score_predictor.{s}.score_nets.{m}.{j}.{x}", "stages.{s}.hub.scores.{m}.{j}.{x}"),
)
_SWIN_STREAMS = (
    ("patch_embed.proj.module.{x}", "stages.0.embed.proj.{x}"),
    ("patch_embed.norm.ln_{m}.{x}", "stages.0.embed.norm.{m}.{x}"),
    ("layers.{s}.blocks.{i}.norm{n}.module.{x}", "stages.{s}.blocks.{i}.norm{n}.{x}"),
    ("layers.{s}.blocks.{i}.attn.module.{x}", "stages.{s}.blocks.{i}.attn.{x}"),
    ("layers.{s}.blocks.{i}.mlp.{y}.module.{x}", "stages.{s}.blocks.{i}.mlp.{y}.{x}"),
    ("layers.{s}.downsample.module.{x}", "stages.{t}.embed.{x}"),
    ("norm{s}.ln_{m}.{x}", "stages.{s}.norms.{m}.{x}"),
)
# Files of the plain encoders: one norm stands for all modalities, so there is no way back.
_MIT_PLAIN = (
    ("patch_embed{t}.proj.{x}", "stages.{s}.embed.proj.{x}"),
    ("patch_embed{t}.norm.{x}", "stages.{s}.embed.norm.*.{x}"),
    ("block{t}.{i}.norm{n}.{x}", "stages.{s}.blocks.{i}.norm{n}.+.{x}"),
    ("block{t}.{i}.attn.norm.{x}", "stages.{s}.blocks.{i}.attn.norm.+.{x}"),
    ("block{t}.{i}.attn.{y}.{x}", "stages.{s}.blocks.{i}.attn.{y}.{x}"),
    ("block{t}.{i}.mlp.dwconv.dwconv.{x}", "stages.{s}.blocks.{i}.mlp.dwconv.{x}"),
    ("block{t}.{i}.mlp.{y}.{x}", "stages.{s}.blocks.{i}.mlp.{y}.{x}"),
    ("norm{t}.{x}", "stages.{s}.norms.+.{x}"),
)
_SWIN_PLAIN = (
    ("patch_embed.proj.{x}", "stages.0.embed.proj.{x}"),
    ("patch_embed.norm.{x}", "stages.0.embed.norm.*.{x}"),
    ("layers.{s}.blocks.{i}.norm{n}.{x}", "stages.{s}.blocks.{i}.norm{n}.{x}"),
    ("layers.{s}.blocks.{i}.attn.{x}", "stages.{s}.blocks.{i}.attn.{x}"),
    ("layers.{s}.blocks.{i}.mlp.{y}.{x}", "stages.{s}.blocks.{i}.mlp.{y}.{x}"),
    ("layers.{s}.downsample.{x}", "stages.{t}.embed.{x}"),
)
_HEAD = (
    ("decoder.linear_c{t}.proj.{x}", "decode_head.projections.{s}.{x}"),
    ("decoder.linear_fuse.{x}", "decode_head.fuse.{x}"),
    ("decoder.linear_pred.{x}", "decode_head.classify.{x}"),
    ("alpha", "ensemble.alpha"),
)


@dataclass(frozen=True)
class Layout:
    """How a family of files names its parameters.

    Attributes:
        name: What it is called in reports.
        mark: A name that only this family has, without prefix.
        templates: Pairs (theirs, ours) of the encoder.
        prefix: What stands before the encoder's names in such a file.
        fusion: Templates (theirs, ours) of the prefix of a fusion block; empty: there is none.
        absent: Patterns of names that have no place in ours, with the reason.
    """

    name: str
    mark: str
    templates: tuple[tuple[str, str], ...]
    prefix: str = ""
    fusion: tuple[str, str] | None = None
    absent: tuple[tuple[str, str], ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """All templates with their prefixes: the encoder's, and the head's where there is one."""
        if not self.prefix:
            return list(self.templates)
        encoder = [(self.prefix + a, "backbone." + b) for a, b in self.templates]
        if self.prefix.startswith("backbone"):  # the released DeLiVER code's name of the head
            return encoder + [(a.replace("decoder", "decode_head"), b) for a, b in _HEAD]
        return encoder + list(_HEAD)


_INDEX = (
    (r"\.relative_position_index$", "computed from the window size"),
    (r"\.attn_mask$", "computed from the image size"),
)
_CLASSIFIER = (
    (r"^head\.", "the ImageNet classifier"),
    (r"^norm\.", "the norm before the ImageNet classifier"),
)
_MIT_FUSION = ("block{t}.{i}.attn.", "stages.{s}.blocks.{i}.attn.operator.")
_SWIN_FUSION = ("layers.{s}.blocks.{i}.", "stages.{s}.blocks.{i}.operator.")
LAYOUTS = (
    Layout("released MiT segmentor", "patch_embed1.proj.module.weight", _MIT_STREAMS,
           "encoder.", _MIT_FUSION),
    Layout("released DeLiVER segmentor", "patch_embed1.proj.module.weight", _MIT_STREAMS,
           "backbone.", _MIT_FUSION),
    Layout("released Swin segmentor", "patch_embed.proj.module.weight", _SWIN_STREAMS,
           "encoder.body.", _SWIN_FUSION, _INDEX),
    Layout("ImageNet MiT", "patch_embed1.proj.weight", _MIT_PLAIN, absent=_CLASSIFIER),
    Layout("ImageNet Swin", "patch_embed.proj.weight", _SWIN_PLAIN,
           absent=_INDEX + _CLASSIFIER),
)  # fmt: skip


def find_layout(names: Iterable[str]) -> Layout | None:
    """The layout that a file with these names has, or None."""
    names = set(names)
    return next((known for known in LAYOUTS if known.prefix + known.mark in names), None)


def match(template: str, name: str) -> dict[str, str] | None:
    """The fields of a name, or None where it does not fit."""
    pattern = "".join(
        _FIELDS[part[1:-1]] if part.startswith("{") else re.escape(part)
        for part in re.split(r"({\w})", template)
    )
    found = re.fullmatch(pattern, name)
    if found is None:
        return None
    fields = found.groupdict()
    if "s" in fields:
        fields["t"] = str(int(fields["s"]) + 1)
    elif "t" in fields:
        fields["s"] = str(int(fields["t"]) - 1)
    return fields
