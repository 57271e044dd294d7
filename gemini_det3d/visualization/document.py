"""HTML documents of one file: template, styles, scripts and the data.

Nothing is loaded from elsewhere, and the document's own security policy forbids it. Text goes
through Jinja2's escaping. Data of users (names of files and classes) are JSON in an element that is
no script, with every character escaped that could end it; scripts write them as text, never as
markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_SKELETON = "document.html"


def render_document(
    package: str,
    template: str,
    title: str,
    data: Any,
    styles: Sequence[str],
    scripts: Sequence[str],
    helpers: Mapping[str, Callable] | None = None,
    **values: Any,
) -> str:
    """A document.

    Args:
        package: Whose files the template and those that it extends are; the skeleton of all is
            ``document.html``, with the blocks ``body`` and ``noscript``.
        template: Name of the file.
        title: Of the document.
        data: What its scripts find as JSON in the element ``data``.
        styles: CSS texts.
        scripts: JavaScript texts, in the order in which they run.
        helpers: Functions that the template calls.
        **values: What else the template takes. Text is escaped; nothing else is.

    Returns:
        HTML.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def load(name: str) -> str:
        return read_part(__package__ if name == _SKELETON else package, name)

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(helpers or {})
    return environment.get_template(template).render(
        title=title,
        data=Markup(embed_json(data)),
        styles=[Markup(style) for style in styles],
        scripts=[Markup(script) for script in scripts],
        **values,
    )


def read_part(package: str, name: str) -> str:
    """The text of a file of a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def embed_json(data: Any) -> str:
    """JSON that may stand inside a ``<script>`` element, whatever its strings hold.

    Args:
        data: Containers, numbers and strings.

    Returns:
        The same JSON value without ``<``, ``>``, ``&`` and JavaScript's two other line ends.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)
