"""One picture of one frame: images with their boxes above, the scene from above below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gemini_det3d.visualization.bev import Range, draw_bev
from gemini_det3d.visualization.image import draw_boxes_on_image
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes

_GAP_PX = 4


def draw_detection_panel(
    image: np.ndarray,
    points: np.ndarray,
    lidar2img: np.ndarray,
    detections: LabeledBoxes,
    truth: LabeledBoxes | None = None,
    range_m: Range | None = None,
    width_px: int = 1242,
    colors: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw detections (and truth) on the image and from above, at the same width.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        points: ``(N, 3 or more)`` in the LiDAR frame, metres.
        lidar2img: ``(4, 4)`` or ``(3, 4)``, LiDAR frame to pixels of ``image``.
        detections: Boxes in class colours.
        truth: Boxes drawn white and dashed, or None.
        range_m: ``(x_min, y_min, x_max, y_max)`` seen from above; None fits it to the boxes.
        width_px: Width of the picture.
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave.

    Returns:
        ``(H', width_px, 3)`` uint8 RGB.
    """
    height, width = image.shape[:2]
    scale, view = width_px / width, (lidar2img, (width, height))
    above = draw_boxes_on_image(image, detections, lidar2img, truth, scale, colors)
    below = draw_bev(points, detections, truth, range_m, width_px, *view, colors)
    gap = np.full((_GAP_PX, width_px, 3), 255, dtype=np.uint8)
    return np.concatenate([above, gap, below])


def draw_surround_panel(
    images: Sequence[np.ndarray],
    points: np.ndarray,
    lidar2imgs: Sequence[np.ndarray],
    detections: LabeledBoxes,
    truth: LabeledBoxes | None = None,
    range_m: Range | None = None,
    width_px: int = 1500,
    columns: int = 3,
    colors: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw detections (and truth) on the images of several cameras and, below, from above.

    Args:
        images: V images ``(H, W, 3)`` uint8 RGB of one size, row by row.
        points: ``(N, 3 or more)`` in the LiDAR frame, metres.
        lidar2imgs: V matrices ``(4, 4)`` or ``(3, 4)``, LiDAR frame to pixels.
        detections: Boxes in class colours.
        truth: Boxes drawn white and dashed, or None.
        range_m: ``(x_min, y_min, x_max, y_max)`` seen from above; None fits it to the boxes.
        width_px: Width of the picture.
        columns: Images side by side.
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave.

    Returns:
        ``(H', width_px, 3)`` uint8 RGB.
    """
    each_px = (width_px - (columns - 1) * _GAP_PX) // columns
    drawn = [
        draw_boxes_on_image(image, detections, matrix, truth, each_px / image.shape[1], colors)
        for image, matrix in zip(images, lidar2imgs)
    ]
    height = drawn[0].shape[0]
    num_rows = -(-len(drawn) // columns)
    above = np.full((num_rows * (height + _GAP_PX), width_px, 3), 255, dtype=np.uint8)
    for i, picture in enumerate(drawn):
        top, left = i // columns * (height + _GAP_PX), i % columns * (each_px + _GAP_PX)
        above[top : top + height, left : left + picture.shape[1]] = picture
    below = draw_bev(points, detections, truth, range_m, width_px, colors=colors)
    return np.concatenate([above, below])
