"""A checkpoint from elsewhere -> our names, with a report that misses nothing.

Every name of the file is either mapped, expected to be absent in ours, or suspicious; every name
of our model either comes from the file, is expected to be new, or its lack is fatal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gemini_det3d.apis.conversion.expected import (
    check_known_architecture,
    expected_shapes,
    new_parameters,
)
from gemini_det3d.fusion import find_released_blocks
from gemini_det3d.models.checkpoints import convert_released_detector, from_released_segmentor

DETECTOR = "released KITTI detector"
_SHOWN = 12
_BACKBONE = "backbone."
_MODALITY = re.compile(r"stages\.0\.embed\.norm\.\d+\.weight")
_STREAM = re.compile(r"stages\.0\.blocks\.0\.norm1\.\d+\.weight")


@dataclass
class ConversionReport:
    """What became of a checkpoint.

    Attributes:
        layout: What kind of file it is.
        state: Our names to tensors.
        mapped: Their names to ours.
        absent: Names on either side that are expected to have no counterpart, with the reason.
        suspicious: What a person should look at.
        fatal: Why the file cannot be used.
    """

    layout: str
    state: dict[str, Tensor]
    mapped: dict[str, list[str]]
    absent: dict[str, str] = field(default_factory=dict)
    suspicious: list[str] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)

    def text(self, is_complete: bool = False) -> str:
        """Readable, in four parts; a long part is cut unless complete."""
        mapped = [f"{theirs} -> {', '.join(ours)}" for theirs, ours in self.mapped.items()]
        absent = [f"{name} ({reason})" for name, reason in self.absent.items()]
        parts = {
            "mapped": mapped if is_complete else mapped[:3],
            "expected to be absent": absent,
            "suspicious": self.suspicious,
            "fatal": self.fatal,
        }
        counts = {"mapped": len(mapped)}
        lines = [f"layout: {self.layout}; {len(self.state)} parameters for our model"]
        for name, entries in parts.items():
            count = counts.get(name, len(entries))
            shown = entries if is_complete else entries[:_SHOWN]
            lines += [f"{name}: {count}", *(f"  {entry}" for entry in shown)]
            if count > len(shown):
                lines.append(f"  ... {count - len(shown)} more (--verbose shows them)")
        return "\n".join(lines)


def convert_state(
    state: Mapping[str, Tensor],
    num_modalities: int = 2,
    wanted: Mapping[str, torch.Size] | None = None,
) -> ConversionReport:
    """Convert a released checkpoint or an ImageNet encoder.

    Args:
        state: Their names to tensors.
        num_modalities: For an encoder trained on images: how many norms each of its becomes.
        wanted: Names and shapes of the model that shall take it, which tell the numbers of its
            modalities and streams, too; None: those of the architecture that the file itself shows.

    Returns:
        The report; with anything in ``fatal``, ``state`` is not to be used.
    """
    try:
        report = _rename(state, *_counts_of(wanted, num_modalities))
    except ValueError as error:
        return ConversionReport("unknown", {}, {}, fatal=[str(error)])
    if wanted is None:
        try:
            wanted = expected_shapes(report.state, report.layout)
        except (ValueError, IndexError, KeyError) as error:
            report.fatal.append(f"the architecture cannot be told from the file ({error})")
            return report
        report.suspicious += check_known_architecture(report.state, report.layout)
    elif not any(name.startswith(_BACKBONE) for name in report.state):
        wanted = _backbone_of(wanted)
    _compare(report, wanted)
    report.suspicious += _strange_values(report.state)
    return report


def _counts_of(
    wanted: Mapping[str, torch.Size] | None, num_modalities: int
) -> tuple[int, int | None]:
    """Modalities and streams of a model; streams are None where its names do not tell."""
    names = [name.removeprefix(_BACKBONE) for name in wanted or ()]
    modalities = sum(_MODALITY.fullmatch(name) is not None for name in names)
    streams = sum(_STREAM.fullmatch(name) is not None for name in names)
    return modalities or num_modalities, streams or None


def _backbone_of(wanted: Mapping[str, torch.Size]) -> Mapping[str, torch.Size]:
    """The part of a whole model that takes an encoder's file, under the encoder's names."""
    parts = {n[len(_BACKBONE) :]: s for n, s in wanted.items() if n.startswith(_BACKBONE)}
    return parts or wanted


def _rename(
    state: Mapping[str, Tensor], num_modalities: int, num_streams: int | None
) -> ConversionReport:
    blocks = find_released_blocks(state)
    if any("fusion_layer" in prefix for prefix in blocks):
        ours = convert_released_detector(state)
        mapped = {name: [_detector_name(name, blocks)] for name in state}
        return ConversionReport(DETECTOR, ours, mapped)
    found = from_released_segmentor(state, num_modalities, num_streams)
    suspicious = [f"{name}: no rule knows this name; left out" for name in found.unknown]
    return ConversionReport(found.layout, found.state, found.mapped, found.absent, suspicious)


def _detector_name(name: str, blocks: list[str]) -> str:
    prefix = next((p for p in blocks if name.startswith(p)), None)
    if prefix is None:
        return name
    rest = name[len(prefix) :]
    if rest == "alpha":
        return f"{prefix}blend.alpha"
    is_block = rest.startswith(("cross_attn", "relation_judger", "k_noise", "v_noise"))
    return f"{prefix}operator.*" if is_block else name


def _compare(report: ConversionReport, wanted: Mapping[str, torch.Size]) -> None:
    new = new_parameters(report.layout)
    for name, shape in wanted.items():
        if name in report.state:
            have = report.state[name].shape
            if have != shape:
                report.fatal.append(f"{name}: {tuple(have)} in the file, {tuple(shape)} in ours")
            continue
        reason = next((why for mark, why in new if mark in name), None)
        if reason is not None:
            report.absent[name] = reason
        elif name.startswith(("decode_head.", "ensemble.")) and not _has_head(report.state):
            report.absent[name] = "the file holds the encoder only"
        else:
            report.fatal.append(f"{name}: missing in the file")
    for name in report.state:
        if name not in wanted:
            report.suspicious.append(f"{name}: the model has no such parameter")


def _has_head(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("decode_head.") for name in state)


def _strange_values(state: Mapping[str, Tensor]) -> list[str]:
    """Values that training does not leave."""
    found = []
    for name, tensor in state.items():
        if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel():
            continue
        if not tensor.isfinite().all():
            found.append(f"{name}: holds NaN or infinite values")
        elif tensor.dim() > 1 and not tensor.any():
            found.append(f"{name}: is zero everywhere")
        elif name.endswith("running_var") and bool((tensor == 1).all()):
            found.append(f"{name}: statistics were never updated (trained with a frozen norm)")
    return found
