"""Boxes and LiDAR points on the camera image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gemini_det3d.geometry.boxes import (
    FRONT_EDGES,
    in_view,
    project_box_outlines,
    project_boxes,
    project_points,
)
from gemini_det3d.visualization.canvas import Canvas
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.palette import TRUTH_COLOR, class_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_HALO = (0.0, 0.0, 0.0, 0.55)
_MIN_DEPTH_M, _MAX_DEPTH_M = 3.0, 80.0  # where the colours of points end
# More names than this hide the picture; the best scores keep theirs.
_MAX_TAGS = 20


def draw_boxes_on_image(
    image: np.ndarray,
    detections: LabeledBoxes,
    lidar2img: np.ndarray,
    truth: LabeledBoxes | None = None,
    scale: float = 1.0,
    colors: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw 3D boxes: detections in class colours with the front face tinted, truth white, dashed.

    Edges are cut where they pass behind the camera, so a box beside it is drawn as far as it is
    seen. Detections carry a tag with name and score.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        detections: Boxes to draw in colour.
        lidar2img: ``(4, 4)`` or ``(3, 4)``, LiDAR frame to pixels of ``image``.
        truth: Boxes to draw dashed on top, or None.
        scale: Size of the picture over that of the image.
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave.

    Returns:
        ``(round(scale H), round(scale W), 3)`` uint8 RGB.
    """
    canvas, axes, unit = _image_canvas(image, scale)
    order, colors = _far_to_near(detections, lidar2img), class_colors(detections.names, colors)
    for index in order:
        box = detections.boxes[index : index + 1]
        color = colors[detections.names[index]]
        _draw_front(axes, box, lidar2img, color)
        _draw_edges(canvas, axes, box, lidar2img, color, 2.0 * unit, "solid")
    if truth is not None:
        _draw_edges(canvas, axes, truth.boxes, lidar2img, TRUTH_COLOR, 1.3 * unit, (0, (4, 3)))
    _draw_tags(canvas, axes, detections, order, colors, lidar2img, image.shape, unit)
    return canvas.to_array()


def draw_points_on_image(
    image: np.ndarray,
    points: np.ndarray,
    lidar2img: np.ndarray,
    scale: float = 1.0,
) -> np.ndarray:
    """Draw the LiDAR points that the camera sees, coloured by depth, on a greyed image.

    Colours follow the logarithm of the depth, as sizes in the image do.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        points: ``(N, 3 or more)``, metres; columns after z are not read.
        lidar2img: ``(4, 4)`` or ``(3, 4)``, LiDAR frame to pixels of ``image``.
        scale: Size of the picture over that of the image.

    Returns:
        ``(round(scale H), round(scale W), 3)`` uint8 RGB.
    """
    from matplotlib.colors import LogNorm

    grey = image.astype(np.float32).mean(axis=2, keepdims=True) * 0.55
    canvas, axes, unit = _image_canvas(np.repeat(grey, 3, axis=2).astype(np.uint8), scale)
    pixels, depth = project_points(np.asarray(points)[:, :3], lidar2img)
    seen = in_view(pixels, depth, *image.shape[:2])
    order = np.argsort(-depth[seen])  # near points on top
    x, y = pixels[seen][order].T
    marks = axes.scatter(
        x,
        y,
        c=depth[seen][order],
        s=canvas.points(2.4 * unit) ** 2,
        cmap="plasma_r",
        norm=LogNorm(_MIN_DEPTH_M, _MAX_DEPTH_M),
        linewidths=0,
    )
    _draw_depth_scale(canvas, marks, unit)
    return canvas.to_array()


def _image_canvas(image: np.ndarray, scale: float) -> tuple[Canvas, Axes, float]:
    """A canvas showing the image, its axes in image pixels, and how big one line unit is."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    height, width = image.shape[:2]
    canvas = Canvas(max(1, round(width * scale)), max(1, round(height * scale)))
    axes = canvas.add_axes((-0.5, width - 0.5, height - 0.5, -0.5))
    axes.imshow(
        image,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        aspect="auto",
        interpolation="nearest" if scale == 1 else "lanczos",
    )
    return canvas, axes, max(0.5, canvas.size[0] / 1242)


def _far_to_near(boxes: LabeledBoxes, lidar2img: np.ndarray) -> np.ndarray:
    return np.argsort(-project_points(boxes.boxes[:, :3], lidar2img)[1], kind="stable")


def _draw_edges(
    canvas: Canvas,
    axes: Axes,
    boxes: np.ndarray,
    lidar2img: np.ndarray,
    color: str,
    width_px: float,
    style: str | tuple,
) -> None:
    from matplotlib.collections import LineCollection

    lines, visible = project_boxes(boxes, lidar2img)
    segments = lines[visible]
    halo = canvas.points(width_px + 1.6)
    axes.add_collection(LineCollection(segments, colors=[_HALO], linewidths=halo, linestyles=style,
                                       capstyle='round'))  # fmt: skip
    axes.add_collection(LineCollection(segments, colors=[color], linestyles=style,
                                       linewidths=canvas.points(width_px),
                                       capstyle='round'))  # fmt: skip


def _draw_front(axes: Axes, box: np.ndarray, lidar2img: np.ndarray, color: str) -> None:
    """Tint the front face. Walking its edges in order walks the outline of what is left of it."""
    from matplotlib.patches import Polygon

    lines, visible = project_boxes(box, lidar2img, FRONT_EDGES)
    if visible.any():
        outline = lines[0][visible[0]].reshape(-1, 2)
        axes.add_patch(Polygon(outline, closed=True, facecolor=color, alpha=0.28, linewidth=0))


def _draw_tags(
    canvas: Canvas,
    axes: Axes,
    boxes: LabeledBoxes,
    order: np.ndarray,
    colors: Mapping[str, str],
    lidar2img: np.ndarray,
    image_shape: tuple[int, ...],
    unit: float,
) -> None:
    """Name and score above each box, moved up where another tag is in the way."""
    height, width = image_shape[:2]
    outlines = project_box_outlines(boxes.boxes, lidar2img, (width, height))
    font_px = 13.0 * unit
    image_px = width / canvas.size[0]  # image pixels per picture pixel
    tag_height = 1.5 * font_px * image_px
    placed: list[tuple[float, float, float]] = []
    scores = np.zeros(len(boxes)) if boxes.scores is None else boxes.scores
    tagged = set(np.argsort(-scores, kind="stable")[:_MAX_TAGS].tolist())
    for index in order[::-1]:
        if index not in tagged:
            continue
        x1, y1, x2, y2 = outlines[index]
        if x2 <= x1 or y2 <= y1:
            continue
        text = boxes.names[index]
        if boxes.scores is not None:
            text += f" {boxes.scores[index]:.2f}"
        tag_width = 0.7 * font_px * image_px * len(text)
        x = min(max(x1, 2.0), max(2.0, width - tag_width - 2.0))
        bottom = _free_place(x, max(y1 - 2.0, tag_height), tag_width, tag_height, placed)
        placed.append((x, bottom, tag_width))
        axes.text(x, bottom, text, fontsize=canvas.points(font_px), color='#10151A',
                  va='bottom', ha='left', weight='bold', clip_on=True,
                  bbox=dict(boxstyle='round,pad=0.15', linewidth=0, alpha=0.88,
                            facecolor=colors[boxes.names[index]]))  # fmt: skip


def _free_place(
    x: float, bottom: float, width: float, height: float, placed: list[tuple[float, float, float]]
) -> float:
    """The lowest bottom edge at or above ``bottom`` where no placed tag overlaps, if in sight."""
    candidate = bottom
    for _ in range(len(placed) + 1):
        blocking = [
            other_bottom
            for other_x, other_bottom, other_width in placed
            if x < other_x + other_width
            and other_x < x + width
            and abs(candidate - other_bottom) < 0.99 * height
        ]
        if not blocking:
            return candidate if candidate >= height else bottom
        candidate = min(blocking) - height
    return bottom


def _draw_depth_scale(canvas: Canvas, marks: ScalarMappable, unit: float) -> None:
    """A small bar with metres in the lower right corner, on a dark ground."""
    from matplotlib.patches import Rectangle

    canvas.figure.add_artist(Rectangle((0.785, 0.0), 0.215, 0.17, facecolor='black', alpha=0.65,
                                       transform=canvas.figure.transFigure))  # fmt: skip
    inset = canvas.figure.add_axes((0.80, 0.115, 0.175, 0.03), zorder=3)
    bar = canvas.figure.colorbar(marks, cax=inset, orientation="horizontal")
    bar.outline.set_visible(False)
    ticks = [depth for depth in (5, 10, 20, 40, 80) if depth <= marks.norm.vmax]
    bar.set_ticks(ticks, labels=[f"{depth} m" for depth in ticks])
    bar.ax.minorticks_off()
    inset.tick_params(colors='white', labelsize=canvas.points(12 * unit), length=0,
                      pad=canvas.points(4 * unit))  # fmt: skip
