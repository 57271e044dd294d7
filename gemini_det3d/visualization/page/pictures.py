"""Aligned pictures of one moment: inputs, truth and predictions, laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gemini_det3d.visualization.page.html import render
from gemini_det3d.visualization.page.pixels import jpeg_uri, png_uri


@dataclass(frozen=True)
class Picture:
    """One picture of a frame.

    Attributes:
        title: What it shows; the same in every frame.
        pixels: ``(H, W, 3)`` uint8 RGB.
        is_drawing: Of few colours, such as labels: kept to the pixel.
    """

    title: str
    pixels: np.ndarray
    is_drawing: bool = False


@dataclass(frozen=True)
class PictureFrame:
    """Pictures of one moment.

    Attributes:
        name: Of the frame.
        pictures: Inputs, truth, predictions, in this order.
        rows: Lines of the table beside them.
        summary: One line above it.
        error: How wrong the first prediction is; frames can be put in its order. None: not known.
    """

    name: str
    pictures: Sequence[Picture]
    rows: Sequence[Sequence[str]] = ()
    summary: str = ""
    error: float | None = None


def picture_data(frame: PictureFrame) -> dict[str, Any]:
    """A frame as JSON's containers."""
    return {
        "name": frame.name,
        "pictures": [_picture(each) for each in frame.pictures],
        "summary": frame.summary,
        "rows": [list(row) for row in frame.rows],
        "error": None if frame.error is None else round(float(frame.error), 4),
    }


def render_pictures(
    frames: Sequence[dict[str, Any]],
    columns: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
    swatches: Mapping[str, str] | None = None,
) -> str:
    """The page of pictures.

    Args:
        frames: What :func:`picture_data` returns, in order.
        columns: Titles of the table's columns.
        title: Of the page.
        notes: What a reader should know of all frames.
        swatches: Colours of what the table's first column names.

    Returns:
        HTML.
    """
    data = {
        "frames": list(frames),
        "columns": list(columns),
        "notes": list(notes),
        "swatches": dict(swatches or {}),
    }
    return render("pictures", title, data, ("pictures.js",))


def _picture(picture: Picture) -> dict[str, Any]:
    height, width = picture.pixels.shape[:2]
    uri = png_uri(picture.pixels) if picture.is_drawing else jpeg_uri(picture.pixels)
    return {"title": picture.title, "uri": uri, "width": width, "height": height}
