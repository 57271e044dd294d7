"""The scene from above: x forward to the right, y left to the top, metres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gemini_det3d.geometry.boxes import box_corners
from gemini_det3d.visualization import palette
from gemini_det3d.visualization.canvas import Canvas
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Range = tuple  # x_min, y_min, x_max, y_max in metres

# Heights (LiDAR frame, sensor about 1.7 m above the road) between which points change colour.
_LOW_M, _HIGH_M = -2.0, 1.2
_RING_STEP_M = 10


def draw_bev(
    points: np.ndarray,
    detections: LabeledBoxes,
    truth: LabeledBoxes | None = None,
    range_m: Range | None = None,
    width_px: int = 1242,
    lidar2img: np.ndarray | None = None,
    image_size: tuple[int, int] | None = None,
    colors: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw points, detections (class colours, arrow to the front) and truth (white, dashed).

    Args:
        points: ``(N, 3 or more)`` in the LiDAR frame, metres; brighter is higher.
        detections: Boxes in colour.
        truth: Boxes to draw dashed, or None.
        range_m: ``(x_min, y_min, x_max, y_max)`` shown; None fits it to the boxes.
        width_px: Width of the picture; the height follows from the range.
        lidar2img: With ``image_size``, the camera's field of view is marked.
        image_size: ``(width, height)`` of the image in pixels.
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave.

    Returns:
        ``(H, width_px, 3)`` uint8 RGB.
    """
    if range_m is None:
        range_m = fit_range(detections, truth)
    x_min, y_min, x_max, y_max = range_m
    if not (x_min < x_max and y_min < y_max):
        raise ValueError(f"range_m {range_m} is empty; it reads x_min, y_min, x_max, y_max")
    height_px = max(1, round(width_px * (y_max - y_min) / (x_max - x_min)))
    canvas = Canvas(width_px, height_px, palette.BACKGROUND)
    axes = canvas.add_axes((x_min, x_max, y_min, y_max))
    unit = max(0.5, width_px / 1242)
    _draw_rings(canvas, axes, range_m, unit)
    _draw_points(canvas, axes, np.asarray(points), range_m, unit)
    if lidar2img is not None and image_size is not None:
        _draw_field_of_view(canvas, axes, np.asarray(lidar2img), image_size, range_m, unit)
    _draw_sensor(canvas, axes, unit)
    colors = palette.class_colors(detections.names, colors)
    for name, color in colors.items():
        rows = [i for i, other in enumerate(detections.names) if other == name]
        _draw_boxes(canvas, axes, detections.boxes[rows], color, unit)
    if truth is not None:
        _draw_truth(canvas, axes, truth.boxes, unit)
    _draw_legend(canvas, axes, detections, colors, truth, unit)
    return canvas.to_array()


def fit_range(detections: LabeledBoxes, truth: LabeledBoxes | None = None) -> Range:
    """A range that shows the sensor and all boxes, with some of the street around them.

    Args:
        detections: Boxes to show.
        truth: More boxes, or None.

    Returns:
        ``(x_min, y_min, x_max, y_max)`` in metres, whole fives: at least 40 m ahead and 15 m to
        either side, at most 100 m and 50 m.
    """
    boxes = np.concatenate([detections.boxes, np.zeros((0, 7)) if truth is None else truth.boxes])
    x_max, y_side, x_min = 40.0, 15.0, 0.0
    if len(boxes):
        corners = box_corners(boxes)[..., :2]
        x_max = float(np.clip(corners[..., 0].max() + 8.0, x_max, 100.0))
        x_min = float(np.clip(corners[..., 0].min() - 3.0, -40.0, 0.0))
        y_side = float(np.clip(np.abs(corners[..., 1]).max() + 4.0, y_side, 50.0))
    y_side, x_max = 5.0 * np.ceil(y_side / 5.0), 5.0 * np.ceil(x_max / 5.0)
    return (5.0 * np.floor((x_min - 2.0) / 5.0), -y_side, x_max, y_side)


def _draw_rings(canvas: Canvas, axes: Axes, range_m: Range, unit: float) -> None:
    from matplotlib.patches import Circle

    x_min, y_min, x_max, y_max = range_m
    farthest = int(np.hypot(max(abs(x_min), abs(x_max)), max(abs(y_min), abs(y_max))))
    for radius in range(_RING_STEP_M, farthest + _RING_STEP_M, _RING_STEP_M):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=palette.GRID_COLOR,
                              linewidth=canvas.points(1.0 * unit)))  # fmt: skip
        if radius < x_max:
            axes.text(radius, y_min + 0.012 * (x_max - x_min), f'{radius} m', ha='center',
                      va='bottom', color=palette.TEXT_COLOR, zorder=6,
                      fontsize=canvas.points(12 * unit))  # fmt: skip


def _draw_points(
    canvas: Canvas, axes: Axes, points: np.ndarray, range_m: Range, unit: float
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    x_min, y_min, x_max, y_max = range_m
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    shown = (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)
    order = np.argsort(z[shown], kind="stable")  # high points on top
    ramp = LinearSegmentedColormap.from_list("height", palette.HEIGHT_RAMP)
    axes.scatter(x[shown][order], y[shown][order], c=z[shown][order], cmap=ramp, vmin=_LOW_M,
                 vmax=_HIGH_M, s=canvas.points(1.5 * unit) ** 2, linewidths=0,
                 zorder=2)  # fmt: skip


def _draw_field_of_view(
    canvas: Canvas,
    axes: Axes,
    lidar2img: np.ndarray,
    image_size: tuple[int, int],
    range_m: Range,
    unit: float,
) -> None:
    """Two thin lines from the camera along the left and right border of the image."""
    inverse = np.linalg.inv(lidar2img[:3, :3].astype(np.float64))
    center = -inverse @ lidar2img[:3, 3]
    width, height = image_size
    length = 2.0 * max(abs(value) for value in range_m)
    for column in (-0.5, width - 0.5):
        ray = inverse @ np.array([column, (height - 1) / 2, 1.0])
        end = center + length * ray / np.linalg.norm(ray)
        axes.plot([center[0], end[0]], [center[1], end[1]], color=palette.TEXT_COLOR, alpha=0.35,
                  linewidth=canvas.points(1.0 * unit), zorder=3)  # fmt: skip


def _draw_sensor(canvas: Canvas, axes: Axes, unit: float) -> None:
    axes.plot([0], [0], marker='>', color=palette.TEXT_COLOR, zorder=5,
              markersize=canvas.points(11 * unit), markeredgewidth=0)  # fmt: skip


def _draw_boxes(canvas: Canvas, axes: Axes, boxes: np.ndarray, color: str, unit: float) -> None:
    """Tinted footprints with a line from the centre through the middle of the front."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgba

    footprints = box_corners(boxes)[:, :4, :2]
    axes.add_collection(PolyCollection(footprints, facecolors=[to_rgba(color, 0.28)], zorder=4,
                                       edgecolors=[color], joinstyle='round',
                                       linewidths=canvas.points(2.2 * unit)))  # fmt: skip
    axes.add_collection(LineCollection(_heading_marks(boxes), colors=[color], zorder=4,
                                       linewidths=canvas.points(2.2 * unit)))  # fmt: skip


def _draw_truth(canvas: Canvas, axes: Axes, boxes: np.ndarray, unit: float) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    footprints = box_corners(boxes)[:, :4, :2]
    width = canvas.points(1.5 * unit)
    axes.add_collection(PolyCollection(footprints, facecolors='none', zorder=5, linewidths=width,
                                       edgecolors=[palette.TRUTH_COLOR],
                                       linestyles=[(0, (3, 2))]))  # fmt: skip
    axes.add_collection(LineCollection(_heading_marks(boxes), colors=[palette.TRUTH_COLOR],
                                       zorder=5, linewidths=width,
                                       linestyles=[(0, (3, 2))]))  # fmt: skip


def _heading_marks(boxes: np.ndarray) -> np.ndarray:
    """``(N, 2, 2)`` lines from each centre to 0.8 m beyond the front."""
    forward = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], axis=1)
    reach = boxes[:, 3:4] / 2 + 0.8
    return np.stack([boxes[:, :2], boxes[:, :2] + reach * forward], axis=1)


def _draw_legend(
    canvas: Canvas,
    axes: Axes,
    detections: LabeledBoxes,
    colors: Mapping[str, str],
    truth: LabeledBoxes | None,
    unit: float,
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name, color in colors.items():
        count = detections.names.count(name)
        handles.append(Line2D([], [], color=color, label=f'{name} ({count})',
                              linewidth=canvas.points(4 * unit)))  # fmt: skip
    if truth is not None:
        handles.append(Line2D([], [], color=palette.TRUTH_COLOR, linestyle=(0, (3, 2)),
                              linewidth=canvas.points(1.8 * unit),
                              label=f'ground truth ({len(truth)})'))  # fmt: skip
    if handles:
        legend = axes.legend(handles=handles, loc='upper left', frameon=True, borderpad=0.7,
                             fontsize=canvas.points(14 * unit), labelcolor=palette.TEXT_COLOR,
                             facecolor=palette.BACKGROUND, edgecolor=palette.GRID_COLOR,
                             framealpha=0.85)  # fmt: skip
        legend.set_zorder(8)
