"""How long a full-size KITTI evaluation takes on this machine."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from gemini_det3d.apis.kitti.evaluate import evaluate_files
from gemini_det3d.apis.machine import num_cores
from gemini_det3d.commands import from_one
from gemini_det3d.evaluation.functional import KITTI_CLASSES, evaluate_kitti
from gemini_det3d.formats.kitti import Objects, write_objects
from gemini_det3d.formats.text import write_text

# KITTI's validation split, and the most detections that MVX-Net's recipe keeps a frame.
NUM_FRAMES = 3769
NUM_DETECTIONS = 50
_NAMES = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "DontCare")
_SHARES = (0.52, 0.08, 0.04, 0.06, 0.03, 0.27)  # about those of the split's 27,000 labels
_FOCAL_PX, _MIDDLE_PX = 720.0, (610.0, 175.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``benchmark kitti-eval``."""
    parser.add_argument("--frames", type=from_one, default=NUM_FRAMES, help="frames")
    parser.add_argument("--detections", type=from_one, default=NUM_DETECTIONS, help="a frame")
    parser.add_argument("--rounds", type=from_one, default=5, help="rounds to take the median of")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write JSON where asked for."""
    num_frames = max(args.frames // 10, 1) if args.quick else args.frames
    rows = measure(num_frames, args.detections, args.rounds, args.seed)
    print(f"KITTI evaluation, {platform.machine()}, {num_cores()} cores, seed {args.seed}")
    width = max(len(row["what"]) for row in rows)
    for row in rows:
        print(f"{row['what']:<{width}}  {row['seconds']:8.3f} s")
    if args.json:
        write_text(args.json, json.dumps(rows, indent=2) + "\n")
    return 0


def measure(num_frames: int, num_detections: int, rounds: int, seed: int) -> list[dict]:
    """Time the first call, the evaluation, and the evaluation from files.

    Args:
        num_frames: Frames of the synthetic set.
        num_detections: Detections a frame.
        rounds: How often to evaluate.
        seed: Of the set.

    Returns:
        Rows of ``what``, ``seconds``, ``frames``, ``truth`` and ``detections``.
    """
    truth, detections = synthetic_set(num_frames, num_detections, seed)
    size = {
        "frames": num_frames,
        "truth": sum(map(len, truth)),
        "detections": sum(map(len, detections)),
    }
    first = _seconds(lambda: evaluate_kitti(truth[:1], detections[:1]))
    whole = [_seconds(lambda: evaluate_kitti(truth, detections)) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        labels, results = Path(folder, "label_2"), Path(folder, "results")
        for index, (boxes, found) in enumerate(zip(truth, detections)):
            write_objects(labels / f"{index:06d}.txt", boxes)
            write_objects(results / f"{index:06d}.txt", found)
        from_files = _seconds(lambda: evaluate_files(results, labels, progress=False))
    named = f"{num_frames} frames, {size['truth']} boxes, {size['detections']} detections"
    figures = f"{len(KITTI_CLASSES)} classes, all metrics, both overlap sets"
    return [
        {"what": "first call of a process (one frame; compiles or loads)", "seconds": first},
        {"what": f"{named}; {figures}", "seconds": median(whole), **size},
        {"what": "the same with reading the text files", "seconds": from_files, **size},
    ]


def synthetic_set(
    num_frames: int, num_detections: int, seed: int
) -> tuple[list[Objects], list[Objects]]:
    """Boxes at random places of a street and detections of most of them.

    Args:
        num_frames: Frames.
        num_detections: Detections a frame, at least as many as boxes can be found.
        seed: Of the generator.

    Returns:
        Ground truth and detections, frame by frame.
    """
    rng = np.random.default_rng(seed)
    truth = [_objects(rng, int(rng.poisson(7.2))) for _ in range(num_frames)]
    return truth, [_detect(rng, boxes, num_detections) for boxes in truth]


def _objects(rng: np.random.Generator, count: int) -> Objects:
    depth = rng.uniform(5.0, 60.0, count)
    location = np.column_stack(
        [rng.uniform(-0.6, 0.6, count) * depth, rng.uniform(1.4, 1.9, count), depth]
    )
    dimensions = np.array([1.6, 1.7, 3.9]) * rng.uniform(0.8, 1.2, (count, 3))
    rotation = rng.uniform(-np.pi, np.pi, count)
    height_px = _FOCAL_PX * dimensions[:, 0] / depth
    middle = _MIDDLE_PX[0] + _FOCAL_PX * location[:, 0] / depth
    top = _MIDDLE_PX[1] + _FOCAL_PX * (location[:, 1] - dimensions[:, 0]) / depth
    return Objects(
        name=rng.choice(_NAMES, count, p=_SHARES),
        truncated=rng.choice([0.0, 0.2, 0.4], count, p=[0.8, 0.1, 0.1]),
        occluded=rng.integers(0, 4, count),
        alpha=rotation - np.arctan2(location[:, 0], depth),
        bbox=np.column_stack([middle - height_px, top, middle + height_px, top + height_px]),
        dimensions=dimensions,
        location=location,
        rotation_y=rotation,
    )


def _detect(rng: np.random.Generator, truth: Objects, count: int) -> Objects:
    near = truth.select((rng.random(len(truth)) < 0.9) & (truth.name != "DontCare"))
    near = near.select(np.arange(min(len(near), count)))
    near.location += rng.normal(0.0, 0.15, near.location.shape)
    near.bbox += rng.normal(0.0, 2.0, near.bbox.shape)
    rest = _objects(rng, count - len(near))
    rest.name = rng.choice(KITTI_CLASSES, len(rest))
    columns = {
        field: np.concatenate([getattr(near, field), getattr(rest, field)])
        for field in Objects.__dataclass_fields__
        if field != "score"
    }
    scores = np.concatenate([rng.beta(5, 2, len(near)), rng.beta(1, 5, len(rest))])
    return Objects(**columns, score=scores)


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
