"""The page's text: template, style, script, plotly's bundle and the data, in one file.

Nothing is loaded from elsewhere, and the page's own security policy forbids it. Data of users
(names of files and classes) are JSON in an element that is no script, with every character escaped
that could end it; the script writes them as text, never as markup.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from gemini_det3d.visualization.palette import class_color

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render_page(
    frames: Sequence[dict[str, Any]],
    sets: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The whole page.

    Args:
        frames: What :func:`~gemini_det3d.visualization.page.frame_data` returns, in order.
        sets: Names of the result sets.
        title: Of the page.
        notes: What a reader should know of all frames (a limit on their number, for example).

    Returns:
        HTML.
    """
    from jinja2 import Environment
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    names = sorted({box["name"] for frame in frames for box in frame["boxes"]})
    data = {
        "frames": list(frames),
        "sets": ["truth", *sets],
        "classes": {name: class_color(name) for name in names},
        "notes": list(notes),
    }
    template = Environment(autoescape=True).from_string(_part("view.html"))
    return template.render(
        title=title,
        style=Markup(_part("view.css")),
        script=Markup(_part("view.js")),
        plotly=Markup(get_plotlyjs()),
        data=Markup(embed_json(data)),
    )


def embed_json(data: Any) -> str:
    """JSON that may stand inside a ``<script>`` element, whatever its strings hold.

    Args:
        data: Containers, numbers and strings.

    Returns:
        The same JSON value without ``<``, ``>``, ``&`` and JavaScript's two other line ends.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
