"""The page's text: template, style, scripts and the data, in one file.

Nothing is loaded from elsewhere, and the page's own security policy forbids it. Data of users
(names of files and classes) are JSON in an element that is no script, with every character escaped
that could end it; scripts write them as text, never as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from gemini_det3d.visualization.palette import class_color

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_VIEW = ("vendor/three.min.js", "judge.js", "cloud.js", "images.js", "view.js")


def render_page(
    frames: Sequence[dict[str, Any]],
    sets: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The page of clouds, images and boxes.

    Args:
        frames: What :func:`~gemini_det3d.visualization.page.frame_data` returns, in order.
        sets: Names of the result sets.
        title: Of the page.
        notes: What a reader should know of all frames (a limit on their number, for example).

    Returns:
        HTML.
    """
    names = sorted({box["name"] for frame in frames for box in frame["boxes"]})
    data = {
        "frames": list(frames),
        "sets": ["truth", *sets],
        "classes": {name: class_color(name) for name in names},
        "notes": list(notes),
    }
    return render("view.html", title, data, _VIEW)


def render(template: str, title: str, data: Any, scripts: Sequence[str] = (), **values: Any) -> str:
    """A page of one of the templates in this folder.

    Args:
        template: A file that extends ``base.html``.
        title: Of the page.
        data: What its scripts find as JSON in the element ``data``.
        scripts: Files in this folder, in the order in which they run.
        **values: What else the template takes. Text is escaped; nothing else is.

    Returns:
        HTML.
    """
    from jinja2 import Environment, FunctionLoader
    from markupsafe import Markup

    environment = Environment(autoescape=True, loader=FunctionLoader(_part))
    given: Mapping[str, Any] = {
        "style": Markup(_part("base.css")),
        "scripts": [Markup(_part(name)) for name in scripts],
        "data": Markup(embed_json(data)),
    }
    return environment.get_template(template).render(
        title=title, part=lambda name: Markup(_part(name)), **given, **values
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
