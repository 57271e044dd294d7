"""What fusion costs inside a whole two-stream segmentor, side by side in one run."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gemini_det3d.apis.devices import choose_device
from gemini_det3d.commands import from_one
from gemini_det3d.formats.text import write_text

GOAL = 1.45
# Table 8 of the paper: latency of the released model with all fusion blocks, over none.
PAPER = 153 / 95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, size, rounds."""
    parser.add_argument("--arch", default="b3", help="b0 to b5 (b3)")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--batch", type=from_one, default=1)
    parser.add_argument("--rounds", type=from_one, default=7, help="timed rounds of each (7)")
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--encoder-only", action="store_true", help="without the head")
    parser.add_argument("--train", action="store_true", help="forward and backward")
    parser.add_argument("--device", default="cpu", help="(cpu)")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    import torch

    from gemini_det3d.formats.tables import markdown_table

    choose_device(args.device)
    models = build_models(args.arch, args.device, args.train, with_head=not args.encoder_only)
    images = [torch.rand(args.batch, 3, *args.size, device=args.device) for _ in range(2)]
    steps = {name: _step(model, images, args.train) for name, model in models.items()}
    rounds = 3 if args.quick else args.rounds
    seconds = time_in_turn(steps, rounds, args.device)
    base = seconds["no fusion"]
    rows = [
        [name, 1000 * value, value / base, _millions(models[name])]
        for name, value in seconds.items()
    ]
    height, width = args.size
    part = "encoder" if args.encoder_only else "segmentor"
    kind = "forward and backward" if args.train else "forward"
    print(
        f"two-stream MiT-{args.arch.upper()} {part}, {height} x {width}, batch {args.batch}, "
        f"{kind}, median of {rounds} rounds, {torch.get_num_threads()} threads, {args.device}"
    )
    print(markdown_table(["slots", "ms", "x no fusion", "parameters, M"], rows))
    ratio = seconds["GeminiFusion"] / base
    verdict = "within" if ratio <= GOAL else "above"
    print(
        f"GeminiFusion: {ratio:.2f} x the time without, {verdict} the goal of {GOAL}; the paper's "
        f"table has {PAPER:.2f}"
    )
    if args.json:
        write_text(args.json, json.dumps(seconds, indent=1) + "\n")
    return 0


def build_models(
    arch: str, device: str = "cpu", is_training: bool = False, with_head: bool = True
) -> dict:
    """The same model with our operator, with its released form, and without fusion.

    Args:
        arch: As `GeminiMiT`.
        device: Where to.
        is_training: Whether in training.
        with_head: The whole segmentor (40 classes), or its encoder.

    Returns:
        Models by name; all share the values of their common parameters.
    """
    import copy

    import torch
    from mmdet3d.registry import MODELS

    import gemini_det3d.models  # noqa: F401

    def build(last_k: int | None):
        backbone = dict(type="GeminiMiT", arch=arch, last_k=last_k)
        head = dict(type="SegFormerMLPHead", num_classes=40)
        whole = MODELS.build(dict(type="FusionSegmentor", backbone=backbone, decode_head=head))
        return (whole if with_head else whole.backbone).to(device).train(is_training)

    torch.manual_seed(0)
    ours, without = build(None), build(0)
    without.load_state_dict(ours.state_dict(), strict=False)
    released = copy.deepcopy(ours)
    for stage in (released.backbone if with_head else released).stages:
        for block in stage.blocks:
            block.attn.operator = _released_form(block.attn.operator)
    return {"no fusion": without, "GeminiFusion": ours, "released form": released}


def time_in_turn(
    steps: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds of each step; they take turns, so that a disturbance meets all.

    Args:
        steps: Names to what is timed.
        rounds: Timed rounds, after one that is not.
        device: "cuda" is waited for.
    """
    import torch
    from tqdm import tqdm

    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in tqdm(range(rounds + 1), unit="round"):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def _released_form(operator):
    from torch import nn

    from .fusion import ReleasedFusion

    class ReleasedSlot(nn.Module):
        """The released form on maps ``(B, H, W, C)``."""

        def __init__(self) -> None:
            super().__init__()
            self.form = ReleasedFusion(operator)

        def forward(self, first, second, valid=None):
            fused = self.form(first.flatten(1, 2), second.flatten(1, 2))
            return tuple(x.view_as(first) for x in fused)

    return ReleasedSlot()


def _step(model, images, is_training: bool) -> Callable[[], object]:
    import torch

    def answer() -> list:
        if hasattr(model, "stages"):
            return [features for stream in model(images) for features in stream]
        return list(model(dict(zip(model.modalities, images))).values())

    def forward() -> object:
        with torch.no_grad():
            return answer()

    def train() -> object:
        model.zero_grad()
        loss = sum(features.mean() for features in answer())
        loss.backward()
        return loss

    return train if is_training else forward


def _millions(model) -> float:
    return sum(p.numel() for p in model.parameters()) / 1e6
