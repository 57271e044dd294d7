"""What the page knows of one frame, as JSON: everything geometric is computed here, in Python.

The page only draws. Pixels come from :mod:`gemini_det3d.geometry.boxes`, overlaps from
:mod:`gemini_det3d.ops`, so that the page cannot disagree with the evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gemini_det3d.geometry.boxes import box_corners, in_view, project_boxes, project_points
from gemini_det3d.ops.points import points_in_boxes
from gemini_det3d.ops.rotated_iou import iou_3d
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.page.frame import Camera, ViewFrame
from gemini_det3d.visualization.page.pixels import jpeg_uri
from gemini_det3d.visualization.page.quantize import encode, quantize

# Two of these over the grid of int16 are steps of 9 mm, however far a stray return lies.
MAX_RANGE_M = 300.0
MAX_BOXES = 1000  # of a set in a frame: twice what nuScenes takes
_CHUNK = 4_000_000  # pairs of a point and a box at a time
_UNSEEN = 128  # grey level of points that no camera sees
_NO_GATE = 255  # byte of points that read nothing


def frame_data(
    frame: ViewFrame, max_points: int = 30000, max_boxes: int = MAX_BOXES
) -> dict[str, Any]:
    """A frame as JSON's containers.

    Args:
        frame: The frame.
        max_points: More points than these are thinned out at random, always alike.
        max_boxes: Of more boxes of a set the ones that score best are kept, of labels the nearest.

    Returns:
        ``name``, ``cameras`` (image as a data URI, size, pose), ``front`` (the one that looks
        ahead), ``points``, ``boxes`` of the truth (set 0) and the result sets (from 1),
        ``has_truth``, ``missing`` (sets without a file) and ``cut`` (sets that had more boxes ->
        how many).
    """
    there = [frame.truth, *frame.results]
    sets = [None if boxes is None else _best(boxes, max_boxes) for boxes in there]
    frame = replace(frame, truth=sets[0], results=sets[1:])
    return {
        "name": frame.name,
        "cameras": [_camera(camera) for camera in frame.cameras],
        "front": frame.front,
        "points": _points(frame, max_points),
        "boxes": [box for number in range(len(sets)) for box in _boxes(frame, sets, number)],
        "has_truth": frame.truth is not None,
        "missing": [n for n, found in enumerate(frame.results, start=1) if found is None],
        "cut": {
            str(n): len(full) for n, full in enumerate(there) if full and len(full) > max_boxes
        },
    }


def _best(boxes: LabeledBoxes, most: int) -> LabeledBoxes:
    """At most so many boxes, in their order."""
    far = np.hypot(*boxes.boxes[:, :2].T) if boxes.scores is None else -boxes.scores
    kept = np.sort(np.argsort(far, kind="stable")[:most])
    scores = None if boxes.scores is None else boxes.scores[kept]
    return LabeledBoxes(boxes.boxes[kept], [boxes.names[i] for i in kept], scores)


def _points(frame: ViewFrame, max_points: int) -> dict[str, Any]:
    points = np.asarray(frame.points)
    near = np.flatnonzero((np.abs(points[:, :3]) <= MAX_RANGE_M).all(axis=1))
    kept = near
    if len(near) > max_points:
        chosen = np.random.default_rng(0).choice(len(near), max_points, replace=False)
        kept = near[np.sort(chosen)]
    shown = points[kept]
    grid = quantize(shown[:, :3])
    return {
        "shown": len(shown),
        "total": len(points),
        "far": len(points) - len(near),
        "xyz": grid.data,
        "origin": grid.origin,
        "step": grid.step,
        "intensity": _intensity(shown),
        "colors": _colors(frame, shown, kept),
        "owner": _owner(frame, shown),
        "gate": None if frame.gate is None else _gate(np.asarray(frame.gate)[kept]),
    }


def _intensity(points: np.ndarray) -> str | None:
    """Share of the frame's largest finite intensity, in 255 steps; of NaN none."""
    if points.shape[1] < 4 or len(points) == 0:
        return None
    values = points[:, 3].astype(np.float64)
    largest = values.max(where=np.isfinite(values), initial=1e-9)
    values = np.nan_to_num(values, posinf=largest, neginf=0).clip(min=0)
    return encode(np.rint(255 * values / largest).astype(np.uint8))


def _gate(values: np.ndarray) -> str:
    """Gates in steps of 1/254; 255 where there is none."""
    known = np.isfinite(values)
    steps = np.rint(254 * np.clip(np.where(known, values, 0), 0, 1))
    return encode(np.where(known, steps, _NO_GATE).astype(np.uint8))


def _colors(frame: ViewFrame, points: np.ndarray, kept: np.ndarray) -> str | None:
    """Colours of the points: the sensor's, else of the pixels that they fall on."""
    if frame.colors is not None:
        return encode(np.asarray(frame.colors, dtype=np.uint8)[kept])
    cameras = [camera for camera in frame.cameras if camera.lidar2img is not None]
    if not cameras:
        return None
    colors = np.full((len(points), 3), _UNSEEN, dtype=np.uint8)
    for camera in reversed(cameras):  # of two that see a point the first one counts
        height, width = camera.image.shape[:2]
        pixels, depth = project_points(points[:, :3], camera.lidar2img)
        seen = in_view(pixels, depth, height, width)
        x, y = np.rint(pixels[seen]).astype(np.int64).T  # whole numbers are the middles of pixels
        colors[seen] = camera.image[np.minimum(y, height - 1), np.minimum(x, width - 1)]
    return encode(colors)


def _owner(frame: ViewFrame, points: np.ndarray) -> str | None:
    """The labelled box around each point, counted from 1; 0 is the background."""
    if frame.truth is None:
        return None
    owner = np.zeros(len(points), dtype="<u2")
    if len(frame.truth) and len(points):
        inside = _inside(points, frame.truth.boxes)
        owner[:] = np.where(inside.any(axis=1), inside.argmax(axis=1) + 1, 0)
    return encode(owner)


def _boxes(
    frame: ViewFrame, sets: Sequence[LabeledBoxes | None], number: int
) -> list[dict[str, Any]]:
    boxes = sets[number]
    if boxes is None or len(boxes) == 0:
        return []
    corners = box_corners(boxes.boxes)
    inside = _count_inside(frame.points, boxes.boxes)
    lines = [_image_lines(camera, boxes.boxes) for camera in frame.cameras]
    overlaps = {
        n: _overlaps(boxes, other) for n, other in enumerate(sets) if number and n != number
    }
    return [
        {
            "set": number,
            "name": boxes.names[i],
            "score": None if boxes.scores is None else round(float(boxes.scores[i]), 4),
            "size": np.round(boxes.boxes[i, 3:6], 2).tolist(),
            "corners": np.round(corners[i], 3).tolist(),
            "lines": [of_camera[i] for of_camera in lines],
            "distance": round(float(np.hypot(*boxes.boxes[i, :2])), 2),
            "inside": int(inside[i]),
            "overlaps": {str(n): rows[i] for n, rows in overlaps.items() if rows[i]},
        }
        for i in range(len(boxes))
    ]


def _image_lines(camera: Camera, boxes: np.ndarray) -> list[list[list[float]]]:
    """Edges of each box in the image, x1, y1, x2, y2 in pixels, to a tenth of one."""
    if camera.lidar2img is None:
        return [[] for _ in boxes]
    lines, visible = project_boxes(boxes, camera.lidar2img)
    height, width = camera.image.shape[:2]
    low, high = lines.min(axis=2), lines.max(axis=2)  # edges beside the image are left out
    visible = visible & (high >= -0.5).all(axis=2) & (low <= [width, height]).all(axis=2)
    flat = np.round(lines.reshape(*lines.shape[:2], 4), 1)
    return [ends[seen].tolist() for ends, seen in zip(flat, visible)]


def _overlaps(boxes: LabeledBoxes, others: LabeledBoxes | None) -> list[list[list[float]]]:
    """Boxes of another set that each box meets: index and IoU, the best first."""
    if others is None or len(others) == 0:
        return [[] for _ in boxes.boxes]
    rows = iou_3d(boxes.boxes, others.boxes)
    return [
        [[int(j), round(float(row[j]), 4)] for j in np.argsort(-row, kind="stable") if row[j] > 0]
        for row in rows
    ]


def _count_inside(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Number of points in each box, of all of the frame's."""
    step = max(_CHUNK // max(len(boxes), 1), 1)
    parts = [points[i : i + step] for i in range(0, len(points), step)]
    counts = [_inside(part, boxes).sum(axis=0) for part in parts]
    return np.sum(counts, axis=0) if counts else np.zeros(len(boxes))


def _inside(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """``(N, B)`` bool."""
    return points_in_boxes(torch.from_numpy(points[:, :3]), torch.from_numpy(boxes)).numpy()


def _camera(camera: Camera) -> dict[str, Any]:
    height, width = camera.image.shape[:2]
    uri = jpeg_uri(camera.image)
    pose = camera.pose()
    return {"name": camera.name, "uri": uri, "width": width, "height": height, "pose": pose}
