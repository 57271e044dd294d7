"""Label maps in colour, and panels of inputs, truth and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gemini_det3d.visualization.palette import BACKGROUND, LABEL_COLORS, TEXT_COLOR

# The colours that street scenes are usually drawn in.
_STREET = {
    "Building": (70, 70, 70), "Fence": (190, 153, 153), "Other": (55, 90, 80),
    "Pedestrian": (220, 20, 60), "Pole": (200, 200, 200), "RoadLine": (157, 234, 50),
    "Road": (128, 64, 128), "SideWalk": (244, 35, 232), "Vegetation": (107, 142, 35),
    "Cars": (30, 60, 200), "Wall": (102, 102, 156), "TrafficSign": (220, 220, 0),
    "Sky": (70, 130, 180), "Ground": (81, 0, 81), "Bridge": (150, 100, 100),
    "RailTrack": (230, 150, 140), "GroundRail": (180, 165, 180), "TrafficLight": (250, 170, 30),
    "Static": (110, 190, 160), "Dynamic": (170, 120, 50), "Water": (45, 60, 150),
    "Terrain": (152, 251, 152), "TwoWheeler": (255, 120, 0), "Bus": (0, 160, 200),
    "Truck": (0, 220, 255),
}  # fmt: skip
_UNLABELLED = (0, 0, 0)
_TITLE_PX = 16
_GAP_PX = 2


def class_palette(classes: Sequence[str]) -> np.ndarray:
    """``(256, 3)`` uint8 colours by class id; 255 and what is no class is black."""
    palette = np.tile(np.array(_UNLABELLED, dtype=np.uint8), (256, 1))
    for k, name in enumerate(classes):
        other = bytes.fromhex(LABEL_COLORS[k % len(LABEL_COLORS)][1:])
        palette[k] = _STREET.get(name, tuple(other))
    return palette


def color_labels(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """``(H, W)`` class ids -> ``(H, W, 3)`` uint8."""
    return palette[np.asarray(labels).astype(np.uint8)]


def draw_label_panel(rows: Sequence[Mapping[str, np.ndarray]], scale: int = 1) -> np.ndarray:
    """Pictures side by side under their titles.

    Args:
        rows: Titles to ``(H, W, 3)`` uint8 pictures of one size; titles of the first row count.
        scale: Every pixel becomes so many.

    Returns:
        ``(H', W', 3)`` uint8.
    """
    from PIL import Image, ImageDraw, ImageFont

    first = next(iter(rows[0].values()))
    height, width = first.shape[0] * scale, first.shape[1] * scale
    columns = len(rows[0])
    size = (
        columns * width + (columns - 1) * _GAP_PX,
        _TITLE_PX + len(rows) * height + (len(rows) - 1) * _GAP_PX,
    )
    panel = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(panel)
    for column, title in enumerate(rows[0]):
        place = (column * (width + _GAP_PX) + 4, 2)
        draw.text(place, title, fill=TEXT_COLOR, font=ImageFont.load_default())
    for line, row in enumerate(rows):
        for column, picture in enumerate(row.values()):
            enlarged = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            top = _TITLE_PX + line * (height + _GAP_PX)
            panel.paste(Image.fromarray(enlarged), (column * (width + _GAP_PX), top))
    return np.asarray(panel)
