"""Pictures in rows and columns, with a heading over each column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gemini_det3d.visualization.canvas import Canvas

_GAP_PX = 4
_HEAD_PX = 28


def draw_image_grid(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], cell_px: int = 128
) -> np.ndarray:
    """Put pictures of one size side by side.

    Args:
        rows: R rows of C pictures, ``(H, W, 3)`` uint8 RGB; square pixels are kept square.
        titles: C headings.
        cell_px: Width of a picture in the grid; enlarged pixels stay sharp.

    Returns:
        RGB picture, uint8.

    Raises:
        ValueError: A row has another number of pictures than there are titles.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        counts = sorted({len(row) for row in rows})
        raise ValueError(f"rows of {counts} pictures for {len(titles)} titles")
    height, width = rows[0][0].shape[:2]
    cell = (cell_px, round(cell_px * height / width))
    step = (cell[0] + _GAP_PX, cell[1] + _GAP_PX)
    size = (step[0] * len(titles) + _GAP_PX, step[1] * len(rows) + _GAP_PX + _HEAD_PX)
    canvas = Canvas(*size, background="white")
    axes = canvas.add_axes((0, size[0], size[1], 0))
    for column, title in enumerate(titles):
        left = _GAP_PX + column * step[0]
        axes.text(left + cell[0] / 2, _HEAD_PX / 2, title, ha="center", va="center",
                  fontsize=canvas.points(12))  # fmt: skip
        for row, pictures in enumerate(rows):
            top = _HEAD_PX + row * step[1]
            axes.imshow(pictures[column], extent=(left, left + cell[0], top + cell[1], top),
                        interpolation="nearest", aspect="auto")  # fmt: skip
    return canvas.to_array()
