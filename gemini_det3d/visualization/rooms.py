"""Rooms: SUN RGB-D's depth frame shown by the pictures that were made for LiDAR frames.

Both frames have z up; x right and y front become x front and y left by a quarter turn.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.formats.sunrgbd import FROM_ZERO, RoomObjects
from gemini_det3d.visualization.bev import Range
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.panel import draw_detection_panel

# LiDAR axes (x front, y left) -> depth axes (x right, y front).
_TO_DEPTH = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_WIDTH_PX = 900
# Front and left of the camera, metres: what a room shows from above.
_ROOM_M: Range = (0.0, -3.2, 6.4, 3.2)


def draw_room_panel(
    image: np.ndarray,
    points: np.ndarray,
    depth2img: np.ndarray,
    detections: RoomObjects,
    truth: RoomObjects | None = None,
    range_m: Range | None = _ROOM_M,
    width_px: int = _WIDTH_PX,
) -> np.ndarray:
    """Draw detections (and truth) on the image and from above.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        points: ``(N, 3 or more)`` in the depth frame, metres.
        depth2img: ``(3, 3)``, depth frame -> pixel (counted from 1) times depth.
        detections: Boxes in class colours.
        truth: Boxes drawn white and dashed, or None.
        range_m: ``(front_min, left_min, front_max, left_max)`` seen from above; None fits
            it to the boxes, at a street's scale.
        width_px: Width of the picture.

    Returns:
        ``(H', width_px, 3)`` uint8 RGB.
    """
    projection = np.zeros((3, 4))
    projection[:, :3] = FROM_ZERO @ np.asarray(depth2img, dtype=np.float64)[:3, :3] @ _TO_DEPTH
    turned = np.asarray(points)[:, :3] @ _TO_DEPTH
    return draw_detection_panel(
        image,
        turned,
        projection,
        turned_boxes(detections),
        None if truth is None else turned_boxes(truth),
        range_m,
        width_px,
    )


def turned_boxes(objects: RoomObjects) -> LabeledBoxes:
    """Boxes of the depth frame as pictures take them: x front, y left, z at the bottom.

    Args:
        objects: Truth, or detections with scores.
    """
    boxes = objects.bottom_boxes
    centers = boxes[:, :3] @ _TO_DEPTH
    boxes = np.column_stack([centers, boxes[:, 3:6], boxes[:, 6] - np.pi / 2])
    return LabeledBoxes(boxes, objects.names.tolist(), objects.scores)
