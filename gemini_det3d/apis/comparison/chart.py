"""A picture of a comparison: every run a dot, and what the table says of each variant."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.comparison.rows import Row, score_title
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.text import split_words, without_shared_words

_HEIGHT = 0.5  # of a row's band of dots, in rows
_SIGNIFICANT = 0.05


def draw_chart(path: Path, rows: Sequence[Row]) -> None:
    """Every run as a dot, seed 0 on top; a bar to the mean, a line at the median.

    Args:
        path: PNG to write.
        rows: One band each; a star where the paired test, corrected for their number, says
            below 0.05.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.5 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        if not row.scores:
            axes.text(0, place, " failed", va="center")
            continue
        last = max(1, len(row.scores) - 1)
        heights = [place + _HEIGHT * (k / last - 0.5) * (last > 1) for k in range(len(row.scores))]
        axes.barh(place, row.mean, height=0.7, color="#cfe0ea")
        axes.plot(row.scores, heights, "o", color="#1f3b4d", markersize=4)
        axes.plot([row.median] * 2, [place - 0.35, place + 0.35], color="#c0392b", linewidth=1.5)
        axes.text(max(row.scores), place, f"   {_label(row)}", va="center")
    axes.set_yticks(range(len(rows)), short_names([row.name for row in rows]))
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{score_title(rows)}: every run a dot, bar: mean, red: median")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    write_whole(path, lambda file: figure.savefig(file, format="png"))


def _label(row: Row) -> str:
    text = f"{row.mean:.1f}"
    if row.learned_share is not None:
        text += f", {row.learned_share:.0%} learned"
    if row.paired:
        text += f", {row.paired.difference:+.1f}"
        text += "*" if row.paired.p_holm < _SIGNIFICANT else ""
    return text


def short_names(names: Sequence[str]) -> list[str]:
    """What tells variants apart: of several of one config the value, else the name; no two alike.

    Where values repeat (of two configs, or of two swaps) only words that all names begin with go.
    """
    ends = [split_words(name)[-1] for name in names]
    bases = [name.removesuffix(end) for name, end in zip(names, ends)]
    short = [
        end if base and bases.count(base) > 1 else name
        for name, base, end in zip(names, bases, ends)
    ]
    chosen = short if len(set(short)) == len(names) else without_shared_words(names)
    return [textwrap.fill(name, 30) for name in chosen]
