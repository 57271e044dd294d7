"""What of a loaded sample can be corrupted, and how its loading steps have left it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mmdet3d.datasets.transforms import LoadPointsFromFile, LoadPointsFromMultiSweeps

from gemini_det3d.corruptions import CORRUPTIONS, KEEPS_EVERY_POINT
from gemini_det3d.datasets.transforms.calibrations import has_calibration
from gemini_det3d.datasets.transforms.sensors import num_cameras

# In a LiDAR's file the fourth number of a point; KITTI, nuScenes and Waymo agree.
_INTENSITY = 3
_READS_RGB = ("BEVLoadMultiViewImageFromFiles",)  # BEVFusion's; other loaders read BGR
_LABELS = ("pts_semantic_mask", "pts_instance_mask")
_FRAME_KEYS = ("sample_name", "lidar_path", "pts_filename", "img_path", "sample_idx")


def why_not(corruption: str, results: dict, intensity: int | None = None) -> str | None:
    """Why a corruption has nothing to change in a loaded sample; None: it has.

    Args:
        corruption: A name of :data:`gemini_det3d.corruptions.CORRUPTIONS`.
        results: With its files loaded.
        intensity: Column of the points' intensities; None: there are none.
    """
    target, targets = CORRUPTIONS[corruption].target, targets_of(results)
    if target not in targets:
        return f"changes the sample's {target}, which it lacks"
    is_segmentation = "modalities" in targets
    if corruption == "lidar_gone" and is_segmentation and "lidar" not in results["images"]:
        return "takes the lidar, and the sample's images are " + ", ".join(results["images"])
    if corruption == "views_gone" and not is_segmentation and num_cameras(results) < 2:
        return "takes some of several cameras, and the sample has one"
    if corruption == "faded_intensity" and intensity is None:
        return "changes intensities, and no column of the sample's points is known to hold them"
    loses_points = target == "lidar" and corruption not in KEEPS_EVERY_POINT
    if (loses_points or corruption == "lidar_gone") and _has_labels(results):
        return "loses or adds points, and the sample has a label for each"
    return None


def targets_of(results: dict) -> set[str]:
    """What of a loaded sample can be corrupted; names as of ``Corruption.target``."""
    targets = set()
    aligned = results.get("images")
    if isinstance(aligned, dict) and all(isinstance(v, np.ndarray) for v in aligned.values()):
        return {"camera", "modalities"} | ({"presence"} if len(aligned) > 1 else set())
    if "img" in results:
        targets.add("camera")
    if "points" in results:
        targets.add("lidar")
    if len(targets) == 2:
        targets |= {"presence"} | ({"calibration"} if has_calibration(results) else set())
    return targets


def frame_of(results: dict) -> str:
    """The name of a sample, without the folder it lies in."""
    for key in _FRAME_KEYS:
        value = results.get(key)
        if value is not None:
            return Path(str(value[0] if isinstance(value, (list, tuple)) else value)).name
    raise ValueError(f"Corrupt: the sample has none of {_FRAME_KEYS}, so nothing can be seeded")


def height_column(points: Any) -> int | None:
    """Where rooms' clouds hold the height above the floor, which is no measurement of its own."""
    return (points.attribute_dims or {}).get("height")


def intensity_column(steps: Iterable[Any]) -> int | None:
    """Which column of the points holds intensities behind these built loading steps.

    None where they read a cloud of another kind (a room's colours), or leave the column out, as
    ``use_dim=[0, 1, 2, 4]`` does, with which the age of a point comes fourth.
    """
    columns: list[int] = []
    for step in steps:
        if isinstance(step, LoadPointsFromFile):
            columns = list(step.use_dim) if step.coord_type == "LIDAR" else []
            columns = columns[:-3] if step.use_color else columns
            columns[3:3] = [-1] if step.shift_height else []
        elif isinstance(step, LoadPointsFromMultiSweeps):
            columns = [columns[place] for place in step.use_dim if place < len(columns)]
    return columns.index(_INTENSITY) if _INTENSITY in columns else None


def channel_order(steps: Iterable[Any]) -> str:
    """'bgr' or 'rgb', as these built loading steps leave pictures."""
    return "rgb" if any(type(step).__name__ in _READS_RGB for step in steps) else "bgr"


def _has_labels(results: dict) -> bool:
    holders = (results, results.get("eval_ann_info") or {})
    return any(holder.get(key) is not None for holder in holders for key in _LABELS)
