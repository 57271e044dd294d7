"""Detect objects in an image and a point cloud with KITTI calibration; no info files."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.detector import Detector
from gemini_det3d.apis.infer import Frame, find_frames, write_results
from gemini_det3d.apis.trained_model import require_detector
from gemini_det3d.commands import add_model_options
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.formats.kitti import (
    Calibration,
    read_image,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.visualization import LabeledBoxes, class_colors

EPILOG = """\
--image, --points, --calib and --label each take a file or a folder; in folders the files of one
frame share their stem. A calibration is KITTI's text file or a JSON file with cam2img and
lidar2cam; one file may serve all frames. Per frame three files are written: STEM.txt (KITTI
results), STEM.json (boxes in the LiDAR frame) and STEM.png."""
_NOISY_MODULES = r"mmengine|mmdet|mmdet3d|spconv|torch|importlib"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--config", required=True, help="config file, or the name of one of this plug-in's")
    add("--checkpoint", type=Path, required=True, help="trained parameters (.pth)")
    add("--image", type=Path, required=True, help="image, or folder of images")
    add(
        "--points",
        type=Path,
        required=True,
        help="point cloud (x y z reflectance; .bin, .npy, .pcd, .las), or folder",
    )
    add("--point-columns", type=int, metavar="N",
        help="float32 columns of .bin files that have more than the config reads")  # fmt: skip
    add("--calib", type=Path, required=True, help="calibration, or folder")
    add("--label", type=Path, help="KITTI labels to draw too, or folder")
    add("--out", type=Path, default=Path("work_dirs/infer"), help="folder (default: %(default)s)")
    add("--score-threshold", type=float, default=0.3,
        help="leave out detections below it (default: %(default)s)")  # fmt: skip
    add_model_options(parser, with_changes=False)
    add("--all-points", action="store_true",
        help="give the model the points outside the image too; recipes leave them out")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    A frame that cannot be used is one line, and the others go on; 1 then.
    """
    # Of the libraries below, about their own futures; nothing that a user could act upon.
    warnings.filterwarnings("ignore", category=UserWarning, module=_NOISY_MODULES)
    if not 0 <= args.score_threshold <= 1:
        raise ConfigError(f"--score-threshold {args.score_threshold}, expected 0 to 1")
    if args.point_columns is not None and not 3 <= args.point_columns <= 64:
        raise ConfigError(f"--point-columns {args.point_columns}, expected 3 to 64")
    config = read_config(args.config)
    require_detector(config)
    frames = find_frames(args.image, args.points, args.calib, args.label)
    keep_folders(args.out, [p for p in (args.image, args.points, args.calib, args.label) if p])
    detector = Detector(config, args.checkpoint, args.device, args.allow_missing)
    if detector.ignored_parameters:
        names = detector.ignored_parameters
        print(f"{args.checkpoint}: {len(names)} parameters are not of the config's model and were "
              f"left out ({names[0]}, ...)", file=sys.stderr)  # fmt: skip
    failed = 0
    for frame in tqdm(frames, desc="detecting", unit="frame", disable=len(frames) == 1):
        try:
            count = _infer_frame(detector, frame, args)
        except FormatError as error:
            if len(frames) == 1:
                raise
            failed += 1
            tqdm.write(f"error    {error}", file=sys.stderr)
        else:
            if len(frames) == 1:
                print(f"{frame.name}: {count} detections with a score of {args.score_threshold:g} "
                      "or more")  # fmt: skip
    print(f"{args.out}: results of {len(frames) - failed} of {len(frames)} frames")
    return int(failed > 0)


def _infer_frame(detector: Detector, frame: Frame, args: argparse.Namespace) -> int:
    """Detect and write; returns the number of detections."""
    calibration = read_any_calibration(frame.calib)
    points = read_points(frame.points, args.point_columns or detector.num_columns)
    image = read_image(frame.image)
    truth = None if frame.label is None else _read_truth(frame.label, calibration)
    found = detector(frame.image, points, frame.calib, crop_to_image=not args.all_points)
    found = found.above(args.score_threshold)
    colors = class_colors(detector.classes)
    write_results(args.out, frame, found, calibration, image, points, truth, colors)
    return len(found)


def _read_truth(path: Path, calibration: Calibration) -> LabeledBoxes:
    objects = read_objects(path)
    objects = objects.select(objects.name != "DontCare")
    return LabeledBoxes(to_lidar_boxes(objects, calibration), objects.name.tolist())
