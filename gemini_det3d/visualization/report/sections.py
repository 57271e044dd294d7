"""What a report is made of; all text in it is text, never markup."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from gemini_det3d.formats.tables import cell

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?(?=[\s%]|$)")


@dataclass(frozen=True)
class Spread:
    """Mean and deviation over seeds, as a cell.

    Attributes:
        mean: Over the values.
        deviation: Standard deviation (sample); None for a single value.
    """

    mean: float
    deviation: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Of the finite values over seeds; NaN where there are others only, None of none."""
        known = [value for value in values if math.isfinite(value)]
        if not known:
            return cls(math.nan) if values else None
        return cls(statistics.fmean(known), statistics.stdev(known) if known[1:] else None)


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: In the legend; lines of one name look the same in all charts of a section.
        x: Places.
        y: Values; None or NaN leaves a gap.
        deviation: Half the width of a band around the line, or None without a band.
        note: In the legend behind the name.
    """

    name: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    deviation: Sequence[float | None] | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """What the legend says."""
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True)
class Chart:
    """Lines over one axis.

    Attributes:
        title: Of the chart.
        series: Its lines.
        x_title: What x is, with its unit.
        y_title: What y is, with its unit.
        y_range: Ends of the axis; None: those of the values.
        with_marks: Show each point.
        with_lines: Join them.
    """

    title: str
    series: Sequence[Series]
    x_title: str = ""
    y_title: str = ""
    y_range: tuple[float, float] | None = None
    with_marks: bool = False
    with_lines: bool = True


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading.
        note: What a reader should know of it.
    """

    kind: ClassVar[str]
    title: str
    note: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Text(Section):
    """Lines, each a paragraph."""

    kind: ClassVar[str] = "text"
    lines: Sequence[str]


@dataclass(frozen=True)
class Table(Section):
    """A table that sorts by any column.

    Attributes:
        head: Names of the columns.
        rows: Cells: text, numbers, :class:`Spread`, None.
        left: Columns of names, at the left edge of theirs.
        digits: Of a float.
        is_folded: Shown when it is asked for.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1
    digits: int = 2
    is_folded: bool = False

    def cells(self) -> list[list[tuple[str, float | str]]]:
        """Each cell as its text and what it is sorted by."""
        return [[_cell(value, self.digits) for value in row] for row in self.rows]


@dataclass(frozen=True)
class Charts(Section):
    """Charts side by side."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Pictures(Section):
    """Image files, embedded; those that are not there are left out."""

    kind: ClassVar[str] = "pictures"
    files: Sequence[Path]


@dataclass(frozen=True)
class Listing(Section):
    """Lines of code or a diff.

    Attributes:
        lines: As they are; of a diff they begin with a plus or a minus.
        is_diff: Show those in colours.
        is_folded: Shown when it is asked for.
    """

    kind: ClassVar[str] = "listing"
    lines: Sequence[str]
    is_diff: bool = False
    is_folded: bool = False


@dataclass(frozen=True)
class Report:
    """A page.

    Attributes:
        title: Of the page.
        sections: Its parts, in order.
        lead: What comes first: a verdict, how far a training is.
    """

    title: str
    sections: Sequence[Section]
    lead: Sequence[str] = ()


def _cell(value: object, digits: int) -> tuple[str, float | str]:
    if isinstance(value, Spread):
        text = cell(value.mean, digits)
        deviation = "" if value.deviation is None else f" ± {cell(value.deviation, digits)}"
        return text + deviation, _sorted_by(value.mean)
    return cell(value, digits), _sorted_by(value)


def _sorted_by(value: object) -> float | str:
    """A number, also one that a text is or begins with (``2 of 10``), or the text itself."""
    if value is None or value == "-":
        return ""
    if isinstance(value, str):
        begins = _NUMBER.match(value)
        return float(begins[0]) if begins else value
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else ""
