"""The viewer's pages: one file each, of this folder's templates, styles and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gemini_det3d.visualization.document import read_part, render_document
from gemini_det3d.visualization.palette import class_colors

_VIEW = ("vendor/three.min.js", "judge.js", "pace.js", "cloud.js", "images.js", "view.js")


def render_page(
    frames: Sequence[dict[str, Any]],
    sets: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
    colors: Mapping[str, str] | None = None,
) -> str:
    """The page of clouds, images and boxes.

    Args:
        frames: What :func:`~gemini_det3d.visualization.page.frame_data` returns, in order.
        sets: Names of the result sets.
        title: Of the page.
        notes: What a reader should know of all frames (a limit on their number, for example).
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave.

    Returns:
        HTML.
    """
    names = [box["name"] for frame in frames for box in frame["boxes"]]
    data = {
        "frames": list(frames),
        "sets": ["truth", *sets],
        "classes": class_colors(names, colors),
        "notes": list(notes),
    }
    return render("view", title, data, _VIEW)


def render(name: str, title: str, data: Any, scripts: Sequence[str]) -> str:
    """A page of this folder.

    Args:
        name: Of its template, which extends ``base.html``, and of its style.
        title: Of the page.
        data: What its scripts find as JSON in the element ``data``.
        scripts: Files in this folder, in the order in which they run.

    Returns:
        HTML.
    """
    styles = [read_part(__package__, style) for style in ("base.css", f"{name}.css")]
    texts = [read_part(__package__, script) for script in scripts]
    return render_document(__package__, f"{name}.html", title, data, styles, texts)
