"""Checking the objects of one frame against its image, calibration and points.

KITTI's difficulties are those of its development kit: 2D height in pixels, occlusion level and
truncated share; an object beyond "hard" counts for nothing, and is the usual reason of an AP of 0.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.formats.kitti import NO_ANGLE, Calibration, Objects, to_lidar_boxes
from gemini_det3d.formats.kitti_boxes import wrap_angle
from gemini_det3d.formats.turned_cloud import check_mirrored_labels
from gemini_det3d.geometry.boxes import count_in_box, image_iou, project_box_outlines

DIFFICULTIES = ("easy", "moderate", "hard", "ignored")
_MIN_HEIGHT_PX = (40, 25, 25)
_MAX_OCCLUDED = (0, 1, 2)
_MAX_TRUNCATED = (0.15, 0.3, 0.5)

# Heights in metres beyond which a label is more likely wrong than rare.
_HEIGHT_RANGE_M = {"Car": (0.8, 3.5), "Pedestrian": (0.7, 2.6), "Cyclist": (0.7, 2.7)}
_DEFAULT_HEIGHT_RANGE_M = (0.3, 8.0)
_POOR_IOU = 0.3
_NEAR_M = 30.0
_OTHER_ANGLE_RAD = 0.2  # KITTI's own differ by less than 0.05

Faults = list  # of (level, fault)


def check_objects(
    objects: Objects,
    calibration: Calibration,
    image_size: tuple[int, int],
    points: np.ndarray | None,
) -> tuple[Faults, dict]:
    """Check values, and that 2D boxes, 3D boxes and points tell of the same objects.

    Args:
        objects: Labels of the frame.
        calibration: Its calibration.
        image_size: ``(width, height)`` in pixels.
        points: ``(N, 4)``, or None where they could not be read.

    Returns:
        ``(level, fault)`` pairs that name the object, counted from 1 in file order, and per
        class ``count``, ``difficulty`` (four counts), ``iou`` (list), ``points`` (list).
    """
    faults: Faults = []
    stats: dict = {}
    rows = np.flatnonzero(objects.name != "DontCare")
    sound = np.array([_check_values(objects, row, image_size, faults) for row in rows], bool)
    rows = rows[sound] if len(rows) else rows
    faults += _repeated(objects, rows)
    boxes = to_lidar_boxes(objects.select(rows), calibration)
    outlines = project_box_outlines(boxes, calibration.lidar2img, image_size)
    faults += check_mirrored_labels(outlines, objects.bbox[rows], image_size[0])
    ious = image_iou(outlines, objects.bbox[rows])
    for row, box, outline, iou in zip(rows, boxes, outlines, ious):
        name = str(objects.name[row])
        entry = stats.setdefault(
            name, {"count": 0, "difficulty": [0, 0, 0, 0], "iou": [], "points": []}
        )
        entry["count"] += 1
        entry["difficulty"][_difficulty(objects, row)] += 1
        entry["iou"].append(round(float(iou), 3))
        faults += _check_projection(_who(objects, row), outline, iou)
        if points is not None:
            count = count_in_box(points, box)
            entry["points"].append(count)
            if count == 0 and _should_be_hit(objects, row):
                faults.append(("warning", f"{_who(objects, row)} holds no points"))
    return faults, stats


def _check_values(objects: Objects, row: int, image_size: tuple[int, int], faults: Faults) -> bool:
    """Whether the object's numbers can be used at all; adds what is wrong with them."""
    before = len([1 for level, _ in faults if level == "error"])
    who = _who(objects, row)
    height, width, length = objects.dimensions[row]
    x1, y1, x2, y2 = objects.bbox[row]
    if min(height, width, length) <= 0:
        faults.append(("error", f"{who} has dimensions {height:g} {width:g} {length:g}"))
    else:
        low, high = _HEIGHT_RANGE_M.get(str(objects.name[row]), _DEFAULT_HEIGHT_RANGE_M)
        if not low <= height <= high:
            fault = f"{who} is {height:g} m high (KITTI's order is height width length)"
            faults.append(("warning", fault))
    if x2 <= x1 or y2 <= y1:
        faults.append(("error", f"{who} has the 2D box {x1:g} {y1:g} {x2:g} {y2:g}"))
    elif x2 < 0 or y2 < 0 or x1 > image_size[0] or y1 > image_size[1]:
        size = f"{image_size[0]} x {image_size[1]}"
        faults.append(("error", f"{who} lies outside the image ({size}) with its 2D box"))
    if not 0 <= objects.truncated[row] <= 1:
        faults.append(("warning", f"{who} is truncated by {objects.truncated[row]:g}, not 0 to 1"))
    if objects.occluded[row] not in (0, 1, 2, 3):
        fault = f"{who} is occluded by {objects.occluded[row]}, not 0, 1, 2 or 3"
        faults.append(("warning", fault))
    for angle in ("alpha", "rotation_y"):
        value = getattr(objects, angle)[row]
        if abs(value) > np.pi + 0.01 and value != NO_ANGLE:
            faults.append(("warning", f"{who} has {angle} {value:g}; KITTI's are radians"))
    turn = objects.rotation_y[row] - np.arctan2(objects.location[row, 0], objects.location[row, 2])
    alpha = objects.alpha[row]
    if alpha != NO_ANGLE and abs(wrap_angle(turn - alpha)) > _OTHER_ANGLE_RAD:
        fault = (
            f"{who} has alpha {alpha:g}; by its rotation_y and place it is {wrap_angle(turn):.2f}"
        )
        faults.append(("warning", fault))
    return len([1 for level, _ in faults if level == "error"]) == before


def _repeated(objects: Objects, rows: np.ndarray) -> Faults:
    """Objects that stand in the file twice: each counts, and one of them is never found."""
    seen: dict[tuple, int] = {}
    faults: Faults = []
    for row in rows:
        box = (*objects.location[row], *objects.dimensions[row], objects.rotation_y[row])
        first = seen.setdefault((objects.name[row], *box), row)
        if first != row:
            faults.append(("warning", f"{_who(objects, row)} is object {first + 1} once more"))
    return faults


def _check_projection(who: str, outline: np.ndarray, iou: float) -> Faults:
    """Whether the projected 3D box falls on the 2D box."""
    if outline[2] <= outline[0] or outline[3] <= outline[1]:
        return [("warning", f"{who} projects outside the image with its 3D box")]
    if iou < _POOR_IOU:
        fault = f"{who}: the projected 3D box overlaps the 2D box by an IoU of {iou:.2f} only"
        return [("warning", fault)]
    return []


def _difficulty(objects: Objects, row: int) -> int:
    """Index into ``DIFFICULTIES``."""
    height_px = objects.bbox[row, 3] - objects.bbox[row, 1]
    for index in range(3):
        if (
            height_px > _MIN_HEIGHT_PX[index]
            and objects.occluded[row] <= _MAX_OCCLUDED[index]
            and objects.truncated[row] <= _MAX_TRUNCATED[index]
        ):
            return index
    return 3


def _should_be_hit(objects: Objects, row: int) -> bool:
    """Near, in full view: a scanner cannot miss it."""
    distance = np.hypot(objects.location[row, 0], objects.location[row, 2])
    visible = objects.occluded[row] == 0 and objects.truncated[row] < 0.5
    return bool(visible and distance < _NEAR_M)


def _who(objects: Objects, row: int) -> str:
    return f"object {row + 1} ({objects.name[row]})"
