"""Pictures of what a trained detector finds on frames of its test set, beside the truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from gemini_det3d.apis.config import ConfigError, read_changed_config
from gemini_det3d.apis.draw import draw
from gemini_det3d.commands import add_model_options

EPILOG = """\
Detections in the colours of their classes, truth white and dashed: on the image of every camera and
from above. For detectors in the LiDAR frame, with one camera or several.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which detector, how many frames, and where pictures go."""
    add = parser.add_argument
    add("config", help="a config, by path or name")
    add("checkpoint", type=Path, help="its trained parameters")
    add("--out", type=Path, default=Path("work_dirs/pictures"), help="folder to write")
    add("--frames", type=int, default=8, help="frames of the test set, evenly spread (8)")
    add("--score", type=float, default=0.3, help="detections below it are left out (0.3)")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Detect and draw."""
    if args.frames < 1:
        raise ConfigError(f"--frames {args.frames}: must be 1 or more")
    if not 0 <= args.score <= 1:
        raise ConfigError(f"--score {args.score}, expected 0 to 1")
    config = read_changed_config(args.config, args.cfg_options, args.allow_missing)
    count = draw(config, args.checkpoint, args.out, args.frames, args.score, args.device)
    print(f"{count} pictures: {args.out}")
    return 0
