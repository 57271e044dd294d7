"""Does the camera matter? A trained detector with each sensor spoilt or taken away in turn."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gemini_det3d.apis.ablation.probe import probe_markdown, probe_verdicts
from gemini_det3d.apis.ablation.report import markdown, verdicts
from gemini_det3d.apis.config import read_changed_config
from gemini_det3d.commands import add_model_options

if TYPE_CHECKING:
    pass
from gemini_det3d.apis.ablation.ablate import ablate

EPILOG = """\
Conditions: image real, black, of another frame, absent; LiDAR thinned to a quarter, absent. Absent
sensors are masked (sensor_mask), not blackened. --out holds report.html,
ablation.md, ablation.json and pictures of the gate over the image and from above (detectors with
GeminiFusion). --probe also asks a linear classifier what camera, LiDAR and their fusion hold at
each labelled object, and the head what it makes of it: which of them loses a class?
For detectors in the LiDAR frame.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which detector, on how many frames, and where to."""
    add = parser.add_argument
    add("config", help="a config, by path or name")
    add("checkpoint", type=Path, help="its trained parameters")
    add("--out", type=Path, default=Path("work_dirs/ablation"), help="folder to write")
    add("--frames", type=int, help="frames of the test set, evenly spread (all)")
    add("--pictures", type=int, default=4, help="frames whose gates are drawn (4)")
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add("--probe", action="store_true", help="ask each stage for the classes of the objects")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Ablate, print table and verdict, write all."""
    config = read_changed_config(args.config, args.cfg_options, args.allow_missing)
    result = ablate(
        config, args.checkpoint, args.out, args.frames, args.pictures, args.metric, args.device,
        args.probe,
    )  # fmt: skip
    print(f"\n{markdown(result.rows, result.gates)}\n")
    print("\n".join(verdicts(result.rows)))
    if result.probe:
        print(f"\n{probe_markdown(result.probe)}\n")
        print("\n".join(probe_verdicts(result.probe)))
    elif args.probe:
        print("no probe: too few labelled objects of two classes or more")
    print(f"everything is in {args.out}")
    return 0
