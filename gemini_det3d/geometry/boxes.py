"""Corners and edges of LiDAR boxes, and where they fall in an image.

Boxes are ``(N, 7)``: x, y, z of the bottom centre, length, width, height (metres), yaw (radians,
from +x towards +y), in mmdet3d's LiDAR frame (x front, y left, z up). A pixel is the homogeneous
``lidar2img . point`` divided by its depth. Since a line stays a line before that division, an
edge that reaches behind the camera is cut there, at the near plane, and never mirrored.
"""

from __future__ import annotations

import numpy as np

# Nearer than this nothing is imaged; it keeps the division by depth bounded.
NEAR_M = 0.1
# Depth in metres from which a point counts as before the camera.
MIN_DEPTH_M = 1e-3

# Corners run counter-clockwise seen from above: front left, rear left, rear right, front right,
# first the bottom (0-3), then the top (4-7).
_LENGTHWISE = np.array([0.5, -0.5, -0.5, 0.5] * 2)
_SIDEWISE = np.array([0.5, 0.5, -0.5, -0.5] * 2)
_UPWARDS = np.array([0.0] * 4 + [1.0] * 4)

# (12, 2) pairs of corners: bottom ring, top ring, uprights.
EDGES = np.array(
    [(i, (i + 1) % 4) for i in range(4)]
    + [(4 + i, 4 + (i + 1) % 4) for i in range(4)]
    + [(i, i + 4) for i in range(4)]
)
# The same for one face: the front, walked around once.
FRONT_EDGES = np.array([(0, 3), (3, 7), (7, 4), (4, 0)])


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """Corners of boxes.

    Args:
        boxes: ``(N, 7)`` LiDAR boxes.

    Returns:
        ``(N, 8, 3)`` float64 in the boxes' frame, ordered as said at the top of this module.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 7)
    forward = boxes[:, 3:4] * _LENGTHWISE
    left = boxes[:, 4:5] * _SIDEWISE
    cos, sin = np.cos(boxes[:, 6:7]), np.sin(boxes[:, 6:7])
    x = boxes[:, 0:1] + cos * forward - sin * left
    y = boxes[:, 1:2] + sin * forward + cos * left
    z = boxes[:, 2:3] + boxes[:, 5:6] * _UPWARDS
    return np.stack([x, y, z], axis=-1)


def as_box_sees(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Points from a box's bottom centre: along its length, its width and its height.

    Args:
        points: ``(N, 3 or more)`` metres, in the box's frame.
        box: ``(7,)`` LiDAR box.

    Returns:
        ``(N, 3)`` metres.
    """
    x, y, z = (points[:, :3] - box[:3]).T
    cos, sin = np.cos(box[6]), np.sin(box[6])
    return np.column_stack([x * cos + y * sin, y * cos - x * sin, z])


def project_points(points: np.ndarray, lidar2img: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and depths of points; a depth of 0 or less means that there is no pixel.

    Args:
        points: ``(..., 3)`` in metres, the frame that ``lidar2img`` reads.
        lidar2img: ``(4, 4)`` or ``(3, 4)``.

    Returns:
        ``(..., 2)`` pixels (x, y), NaN where depth is not positive, and ``(...,)`` depths, metres.
    """
    homogeneous = _to_homogeneous_pixels(points, lidar2img)
    depth = homogeneous[..., 2]
    in_front = depth > 0
    pixels = homogeneous[..., :2] / np.where(in_front, depth, 1.0)[..., None]
    return np.where(in_front[..., None], pixels, np.nan), depth


def in_view(pixels: np.ndarray, depth: np.ndarray, height_px: float, width_px: float) -> np.ndarray:
    """Which points the camera really sees: ``gemini_det3d.geometry.in_view`` for arrays.

    Args:
        pixels: ``(..., 2)``; NaN is not seen.
        depth: ``(...)`` metres.
        height_px: Image height.
        width_px: Image width.

    Returns:
        ``(...)`` bool.
    """
    u, v = pixels[..., 0], pixels[..., 1]
    inside = (u >= 0) & (u < width_px) & (v >= 0) & (v < height_px)
    return (depth > MIN_DEPTH_M) & inside


def project_segments(
    start: np.ndarray, end: np.ndarray, lidar2img: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Image lines of 3D line segments, cut at the near plane.

    Args:
        start: ``(..., 3)`` first ends in metres.
        end: ``(..., 3)`` second ends.
        lidar2img: ``(4, 4)`` or ``(3, 4)``.

    Returns:
        ``(..., 2, 2)`` pixels of both ends after the cut (NaN where nothing is left) and
        ``(...,)`` bool, whether something is left.
    """
    first = _to_homogeneous_pixels(start, lidar2img)
    second = _to_homogeneous_pixels(end, lidar2img)
    first_in = first[..., 2] >= NEAR_M
    second_in = second[..., 2] >= NEAR_M
    change = second[..., 2] - first[..., 2]
    share = (NEAR_M - first[..., 2]) / np.where(first_in == second_in, 1.0, change)
    cut = first + share[..., None] * (second - first)
    ends = np.stack(
        [
            np.where(first_in[..., None], first, cut),
            np.where(second_in[..., None], second, cut),
        ],
        axis=-2,
    )
    visible = first_in | second_in
    depth = np.where(visible[..., None], np.maximum(ends[..., 2], NEAR_M), np.nan)
    return ends[..., :2] / depth[..., None], visible


def project_boxes(
    boxes: np.ndarray, lidar2img: np.ndarray, edges: np.ndarray = EDGES
) -> tuple[np.ndarray, np.ndarray]:
    """Image lines of the edges of boxes; see :func:`project_segments`.

    Args:
        boxes: ``(N, 7)`` LiDAR boxes.
        lidar2img: ``(4, 4)`` or ``(3, 4)``.
        edges: ``(E, 2)`` pairs of corners.

    Returns:
        ``(N, E, 2, 2)`` pixels and ``(N, E)`` bool, whether something of the edge is visible.
    """
    corners = box_corners(boxes)
    return project_segments(corners[:, edges[:, 0]], corners[:, edges[:, 1]], lidar2img)


def project_box_outlines(
    boxes: np.ndarray, lidar2img: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """Upright 2D boxes around the visible parts of 3D boxes.

    Args:
        boxes: ``(N, 7)`` LiDAR boxes.
        lidar2img: ``(4, 4)`` or ``(3, 4)``.
        image_size: ``(width, height)`` in pixels.

    Returns:
        ``(N, 4)`` x1, y1, x2, y2, clipped to ``[0, width - 1] x [0, height - 1]`` as KITTI's
        labels are. A box beside the image is left without area, one behind the camera all 0.
    """
    lines, visible = project_boxes(boxes, lidar2img)
    pixels = lines.reshape(len(lines), 2 * len(EDGES), 2)
    seen = visible.any(axis=1)
    outlines = np.zeros((len(lines), 4))
    if seen.any():
        outlines[seen, :2] = np.nanmin(pixels[seen], axis=1)
        outlines[seen, 2:] = np.nanmax(pixels[seen], axis=1)
    width, height = image_size
    limit = np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float64)
    return np.clip(outlines, 0.0, limit)


def image_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of image boxes ``(N, 4)``, pair by pair; 0 where both are empty."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    total = areas[0] + areas[1] - common
    return np.divide(common, total, out=np.zeros(len(total)), where=total > 0)


def count_in_box(points: np.ndarray, box: np.ndarray, above: float = 0.0) -> int:
    """How many points a box holds, its faces included.

    Args:
        points: ``(N, 3 or more)`` metres.
        box: ``(7,)`` in their frame, z at the bottom.
        above: What is lower above its bottom than this, metres, does not count.
    """
    beside = np.abs(points[:, :2] - box[:2].astype(points.dtype))
    near = (beside < np.hypot(box[3], box[4]) / 2).all(axis=1)
    places = as_box_sees(points[near], box)
    inside = (np.abs(places[:, :2]) <= box[3:5] / 2).all(axis=1)
    return int((inside & (places[:, 2] >= above) & (places[:, 2] <= box[5])).sum())


def _to_homogeneous_pixels(points: np.ndarray, lidar2img: np.ndarray) -> np.ndarray:
    """``(..., 3)`` points as ``(..., 3)`` of pixel x depth and depth."""
    matrix = np.asarray(lidar2img, dtype=np.float64)[:3]
    return np.asarray(points, dtype=np.float64)[..., :3] @ matrix[:, :3].T + matrix[:, 3]
