"""Tables as text: Markdown for files, aligned columns for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """A Markdown table.

    Args:
        head: Names of the columns.
        rows: Cells: text, or numbers, of which floats are shown with two decimals and NaN and None
            as a dash.
        left: Columns of names, at the left edge of theirs; the others are figures, at the right.
    """
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    body = [[cell(value).replace("|", "\\|") for value in row] for row in rows]
    lines = (head, rule, *body)
    return "\n".join("|" + "".join(f" {text}".rstrip() + " |" for text in row) for row in lines)


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """The same in aligned columns, a line each."""
    table = [list(head), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for row in table:
        names = [text.ljust(width) for text, width in zip(row[:left], widths)]
        figures = [text.rjust(width) for text, width in zip(row[left:], widths[left:])]
        lines.append("  ".join([*names, *figures]).rstrip())
    return "\n".join(lines)


def cell(value: object, digits: int = 2) -> str:
    """One value as text: floats with so many decimals, NaN and None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):  # NumPy's float64 is one
        return "-" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value)
