"""A matplotlib figure of an exact number of pixels, and the way from it to an array and a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from gemini_det3d.formats.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100


class Canvas:
    """One picture in the making. Sizes are given in pixels of the picture.

    Args:
        width_px: Width.
        height_px: Height.
        background: Colour behind everything.
    """

    def __init__(self, width_px: int, height_px: int, background: str = "black") -> None:
        """Make an empty figure; the arguments are the class's."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.size = (int(width_px), int(height_px))
        self.figure: Figure = Figure(
            figsize=(self.size[0] / _DPI, self.size[1] / _DPI), dpi=_DPI, facecolor=background
        )
        self._agg = FigureCanvasAgg(self.figure)

    def add_axes(self, limits: tuple[float, float, float, float]) -> Axes:
        """Axes that fill the whole picture, without frame and ticks.

        Args:
            limits: Left, right, bottom, top in data units.

        Returns:
            The axes.
        """
        axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(limits[0], limits[1])
        axes.set_ylim(limits[2], limits[3])
        axes.set_autoscale_on(False)
        return axes

    def points(self, pixels: float) -> float:
        """A length in pixels as matplotlib wants line widths and font sizes.

        Args:
            pixels: Length in pixels of the picture.

        Returns:
            Typographic points.
        """
        return pixels * 72.0 / _DPI

    def to_array(self) -> np.ndarray:
        """Draw.

        Returns:
            ``(H, W, 3)`` uint8 RGB.
        """
        self._agg.draw()
        return np.asarray(self._agg.buffer_rgba())[..., :3].copy()


def save_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture, making its folder when there is none.

    Args:
        path: File to write.
        picture: ``(H, W, 3)`` uint8 RGB.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    write_whole(path, lambda file: image.save(file, format="PNG"))
