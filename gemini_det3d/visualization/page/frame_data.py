"""What the page knows of one frame, as JSON: everything geometric is computed here, in Python.

The page only draws. Pixels come from :mod:`gemini_det3d.geometry.boxes`, overlaps from
:mod:`gemini_det3d.ops`, so that the page cannot disagree with the evaluation.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gemini_det3d.geometry.boxes import box_corners, in_view, project_boxes, project_points
from gemini_det3d.ops.points import points_in_boxes
from gemini_det3d.ops.rotated_iou import iou_3d
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.page.quantize import encode, quantize

# Two of these over the grid of int16 are steps of 9 mm, however far a stray return lies.
MAX_RANGE_M = 300.0
_MAX_IMAGE_PX = 1600
_JPEG_QUALITY = 82
_CHUNK = 200_000  # points at a time: each meets every box
_UNSEEN = 128  # grey level of points that the camera does not see


@dataclass(frozen=True)
class ViewFrame:
    """One frame to show.

    Attributes:
        name: Of the frame.
        points: ``(N, 3 or more)`` x, y, z (metres, LiDAR frame), intensity where there is one.
        image: ``(H, W, 3)`` uint8 RGB, or None.
        lidar2cam: ``(4, 4)`` LiDAR frame to camera frame, or None.
        cam2img: ``(4, 4)`` camera frame to pixels, or None.
        truth: Labelled boxes, or None where there are no labels.
        results: Detections of each result set; None where a set has no file of this frame.
    """

    name: str
    points: np.ndarray
    image: np.ndarray | None = None
    lidar2cam: np.ndarray | None = None
    cam2img: np.ndarray | None = None
    truth: LabeledBoxes | None = None
    results: Sequence[LabeledBoxes | None] = ()

    @property
    def lidar2img(self) -> np.ndarray | None:
        """``(4, 4)`` LiDAR frame to pixels, or None without a camera."""
        if self.lidar2cam is None or self.cam2img is None:
            return None
        return self.cam2img @ self.lidar2cam


def frame_data(frame: ViewFrame, max_points: int = 30000) -> dict[str, Any]:
    """A frame as JSON's containers.

    Args:
        frame: The frame.
        max_points: More points than these are thinned out at random, always alike.

    Returns:
        ``name``, ``image`` (JPEG as a data URI, width, height; or None), ``camera`` (position and
        viewing direction in the LiDAR frame; or None), ``points``, ``boxes`` of the truth (set 0)
        and the result sets (from 1), ``has_truth`` and ``missing`` (sets without a file).
    """
    points = np.asarray(frame.points)
    boxes = [] if frame.truth is None else _boxes(frame, frame.truth, 0)
    for number, found in enumerate(frame.results, start=1):
        boxes += [] if found is None else _boxes(frame, found, number)
    return {
        "name": frame.name,
        "image": None if frame.image is None else _image(frame.image),
        "camera": _camera(frame.lidar2cam),
        "points": _points(frame, points, max_points),
        "boxes": boxes,
        "has_truth": frame.truth is not None,
        "missing": [n for n, found in enumerate(frame.results, start=1) if found is None],
    }


def _points(frame: ViewFrame, points: np.ndarray, max_points: int) -> dict[str, Any]:
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
        "colors": _colors(frame, shown),
    }


def _intensity(points: np.ndarray) -> str | None:
    """Share of the frame's largest intensity, in 255 steps."""
    if points.shape[1] < 4 or len(points) == 0:
        return None
    values = np.maximum(points[:, 3].astype(np.float64), 0)
    return encode(np.rint(255 * values / max(values.max(), 1e-9)).astype(np.uint8))


def _colors(frame: ViewFrame, points: np.ndarray) -> str | None:
    """Colour of the pixel that each point falls on."""
    if frame.image is None or frame.lidar2img is None:
        return None
    height, width = frame.image.shape[:2]
    pixels, depth = project_points(points[:, :3], frame.lidar2img)
    seen = in_view(pixels, depth, height, width)
    x, y = np.rint(pixels[seen]).astype(np.int64).T  # whole numbers are the middles of pixels
    colors = np.full((len(points), 3), _UNSEEN, dtype=np.uint8)
    colors[seen] = frame.image[np.minimum(y, height - 1), np.minimum(x, width - 1)]
    return encode(colors)


def _boxes(frame: ViewFrame, boxes: LabeledBoxes, number: int) -> list[dict[str, Any]]:
    if len(boxes) == 0:
        return []
    corners = box_corners(boxes.boxes)
    inside = _count_inside(frame.points, boxes.boxes)
    lines = _image_lines(frame, boxes.boxes)
    overlaps = _overlaps(boxes.boxes, frame.truth) if number else [[] for _ in corners]
    return [
        {
            "set": number,
            "name": boxes.names[i],
            "score": None if boxes.scores is None else round(float(boxes.scores[i]), 4),
            "size": np.round(boxes.boxes[i, 3:6], 2).tolist(),
            "corners": np.round(corners[i], 3).tolist(),
            "lines": lines[i],
            "distance": round(float(np.hypot(*boxes.boxes[i, :2])), 2),
            "inside": int(inside[i]),
            "overlaps": overlaps[i],
        }
        for i in range(len(boxes))
    ]


def _image_lines(frame: ViewFrame, boxes: np.ndarray) -> list[list[list[float]]]:
    """Edges of each box in the image, x1, y1, x2, y2 in pixels, to a tenth of one."""
    if frame.lidar2img is None:
        return [[] for _ in boxes]
    lines, visible = project_boxes(boxes, frame.lidar2img)
    flat = np.round(lines.reshape(*lines.shape[:2], 4), 1)
    return [ends[seen].tolist() for ends, seen in zip(flat, visible)]


def _overlaps(boxes: np.ndarray, truth: LabeledBoxes | None) -> list[list[list[float]]]:
    """Labelled boxes that each box meets: index and IoU, the best first."""
    if truth is None or len(truth) == 0:
        return [[] for _ in boxes]
    rows = iou_3d(boxes, truth.boxes)
    return [
        [[int(j), round(float(row[j]), 4)] for j in np.argsort(-row, kind="stable") if row[j] > 0]
        for row in rows
    ]


def _count_inside(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Number of points in each box, of all of the frame's."""
    targets = torch.from_numpy(boxes)
    parts = [torch.from_numpy(points[i : i + _CHUNK, :3]) for i in range(0, len(points), _CHUNK)]
    counts = [points_in_boxes(part, targets).sum(dim=0).numpy() for part in parts]
    return np.sum(counts, axis=0) if counts else np.zeros(len(boxes))


def _camera(lidar2cam: np.ndarray | None) -> dict[str, list[float]] | None:
    if lidar2cam is None:
        return None
    cam2lidar = np.linalg.inv(lidar2cam)
    return {"position": cam2lidar[:3, 3].tolist(), "forward": cam2lidar[:3, 2].tolist()}


def _image(image: np.ndarray) -> dict[str, Any]:
    """JPEG as a data URI; a large image gets fewer pixels, its size stays that of the camera."""
    from PIL import Image

    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    picture.thumbnail((_MAX_IMAGE_PX, _MAX_IMAGE_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"uri": f"data:image/jpeg;base64,{content}", "width": width, "height": height}
