"""Check a config's training data: do augmented points, boxes and image fit each other?"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gemini_det3d.apis.alignment import (
    AugmentedSample,
    Verdict,
    agreement_of,
    augmented_samples,
    judge,
)
from gemini_det3d.apis.alignment.agreement import LIMITS
from gemini_det3d.apis.config import ConfigError, read_changed_config

EPILOG = """\
Every sample goes through the config's own training pipeline, augmentation included, and is
projected by the model's own code. Labelled 2D boxes are moved by the pipeline, without any
calibration.
Exit code: 0 when all agree, 1 when they do not.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, how many samples, and where pictures go."""
    add = parser.add_argument
    add("config", help="a config, by path or name")
    add("--samples", type=int, default=16, help="frames to check (16)")
    add("--pictures", type=int, default=8, help="of these, frames to draw (8)")
    add("--out", type=Path, default=Path("work_dirs/alignment"), help="folder for the pictures")
    add("--seed", type=int, default=0, help="of the augmentation (0)")
    add("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")


def run(args: argparse.Namespace) -> int:
    """Check, draw, and print the verdict."""
    if args.samples < 1:
        raise ConfigError(f"--samples {args.samples}: must be 1 or more")
    config = read_changed_config(args.config, args.cfg_options)
    verdict = check_alignment(config, args.samples, args.pictures, args.out, args.seed)
    for name, (sign, limit, meaning) in LIMITS.items():
        if not math.isnan(verdict.medians[name]):
            objects = f"{verdict.counts[name]} objects"
            print(f"{verdict.medians[name]:6.3f}  {meaning} (median of {objects}, {sign} {limit})")
    print("\n".join(verdict.gaps + verdict.faults))
    print(f"pictures: {args.out}")
    print("NOT ALIGNED" if verdict.faults else "aligned")
    return 1 if verdict.faults else 0


def check_alignment(
    config: Any, samples: int = 16, pictures: int = 0, out: Path | None = None, seed: int = 0
) -> Verdict:
    """Compare points, boxes and images of augmented training samples.

    Args:
        config: An mmengine config.
        samples: Frames, evenly spread over the training set.
        pictures: Of these, how many are drawn.
        out: Folder of the pictures; needed when there are any.
        seed: Of the augmentation.

    Returns:
        Medians over all objects, and what is wrong.

    Raises:
        ConfigError: The pipeline lacks what has to be compared.
    """
    found = []
    frames = augmented_samples(config, samples, seed)
    for index, sample in enumerate(tqdm(frames, total=samples, desc="checking", unit="frame")):
        for image, matrix in zip(sample.images, sample.matrices):
            size = image.shape[1], image.shape[0]
            found += agreement_of(sample.points, sample.boxes, matrix, size, sample.labels_2d)
        if out is not None and index < pictures:
            draw(sample, out)
    return judge(found)


def draw(sample: AugmentedSample, out: Path) -> None:
    """One picture per camera: the boxes on the augmented image, and the points below."""
    from gemini_det3d.visualization import (
        LabeledBoxes,
        draw_boxes_on_image,
        draw_points_on_image,
        save_png,
    )

    truth = LabeledBoxes(sample.boxes, sample.names)
    for number, (image, matrix) in enumerate(zip(sample.images, sample.matrices)):
        rgb = np.ascontiguousarray(image[..., ::-1])
        scale = max(1.0, 900 / rgb.shape[1])
        boxes = draw_boxes_on_image(rgb, LabeledBoxes.empty(), matrix, truth, scale)
        points = draw_points_on_image(rgb, sample.points, matrix, scale=scale)
        suffix = f"_camera{number}" if len(sample.images) > 1 else ""
        save_png(out / f"{Path(sample.name).stem}{suffix}.png", np.concatenate([boxes, points]))
