"""Is the cloud turned, or the image mirrored, against the labels? The matrices do not say.

3D boxes hold the points of their objects, and project onto the 2D boxes that were drawn beside
them. Where they do not, but would if the cloud were turned or the 2D boxes mirrored, that is the
fault: no chance makes several boxes fit at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gemini_det3d.formats.calibration_check import Fault
from gemini_det3d.geometry.boxes import count_in_box, image_iou


def _about_z(degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).round(9)


TURNS: dict[str, np.ndarray] = {
    "turned by 90 degrees about z": _about_z(90),
    "turned by 180 degrees about z": _about_z(180),
    "turned by -90 degrees about z": _about_z(-90),
    "mirrored (y negated)": np.diag([1.0, -1.0, 1.0]),
    "mirrored (x negated)": np.diag([-1.0, 1.0, 1.0]),
    "given with x and y swapped": np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]),
    "taken from camera axes (x right, y down, z ahead)": np.array(
        [[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    ),
}
"""What would mend a cloud -> the matrix that does it, ``points @ matrix.T``."""
AS_IS = "as it is"
# Points that make a box full, the ground left out, which is near every box.
_FULL, _GROUND_M = 5, 0.35
# So many boxes must be empty as it is and full after a turn, and times those that are full as it
# is: in a street a box or two may be so by chance.
_LEAST_BOXES, _CLEARLY_MORE = 3, 2
# Overlap of projected and labelled 2D boxes that do not, and do, mean one object.
_OTHER_IOU, _SAME_IOU = 0.3, 0.7


def count_full(boxes: np.ndarray, points: np.ndarray) -> dict[str, int]:
    """How many boxes hold points, with the cloud as it is and turned.

    Args:
        boxes: ``(G, 7)`` LiDAR boxes, bottom centre, metres.
        points: ``(N, 3 or more)`` in their frame.

    Returns:
        For ``AS_IS`` the number of full boxes, and for each of ``TURNS`` how many of the others it
        fills.
    """
    cloud = np.asarray(points)[:, :3]
    squares = np.einsum("ij,ij->i", cloud, cloud)
    found = dict.fromkeys((AS_IS, *TURNS), 0)
    for box in boxes:
        # no turn changes how far a point is away, so few can come to lie in the box
        away, reach = np.linalg.norm(box[:3] + [0, 0, box[5] / 2]), np.linalg.norm(box[3:6]) / 2
        near = cloud[(squares >= max(away - reach, 0) ** 2) & (squares <= (away + reach) ** 2)]
        if _is_full(near, box):
            found[AS_IS] += 1
            continue
        for name, turn in TURNS.items():
            found[name] += int(_is_full(near @ turn.T, box))
    return found


def check_full(counts: Sequence[Mapping[str, int]], num_boxes: int) -> list[Fault]:
    """Whether boxes hold points, or would if the cloud were turned.

    Args:
        counts: Of :func:`count_full`, of one frame or many.
        num_boxes: All boxes of these frames.

    Returns:
        A warning with the numbers where a turn clearly fits better.
    """
    total = {name: sum(count.get(name, 0) for count in counts) for name in (AS_IS, *TURNS)}
    best = max(TURNS, key=lambda name: total[name])
    if total[best] < _LEAST_BOXES or total[best] <= _CLEARLY_MORE * total[AS_IS]:
        return []
    fault = f"{total[AS_IS]} of {num_boxes} labelled boxes hold points of the cloud"
    return [Fault("warning", f"{fault}; of the others {total[best]} do if it is {best}")]


def check_mirrored_labels(outlines: np.ndarray, labels: np.ndarray, width: int) -> list[Fault]:
    """Whether 3D boxes fall on their 2D boxes, or on those of the mirrored image.

    Args:
        outlines: ``(G, 4)`` of projected 3D boxes, pixels.
        labels: ``(G, 4)`` 2D boxes of the same objects.
        width: Of the image.

    Returns:
        A warning where an object fits mirrored alone, and none as it is alone.
    """
    mirrored = labels.copy()
    mirrored[:, [0, 2]] = width - 1 - labels[:, [2, 0]]
    straight, other = image_iou(outlines, labels), image_iou(outlines, mirrored)
    only_mirrored = int(((other > _SAME_IOU) & (straight < _OTHER_IOU)).sum())
    only_straight = int(((straight > _SAME_IOU) & (other < _OTHER_IOU)).sum())
    if not only_mirrored or only_straight:
        return []
    fault = f"projected 3D boxes fall on 0 of {only_mirrored} 2D boxes beside the middle, but on "
    hint = "were image and 2D boxes flipped, and not the calibration?"
    return [Fault("warning", f"{fault}{only_mirrored} if these are mirrored left-right; {hint}")]


def _is_full(cloud: np.ndarray, box: np.ndarray) -> bool:
    return count_in_box(cloud, box, min(_GROUND_M, box[5] / 2)) >= _FULL
