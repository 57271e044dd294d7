"""A report's HTML in one file; plotly's bundle (4.7 MB) only where there is something to plot."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.tables import cell
from gemini_det3d.visualization.document import read_part, render_document
from gemini_det3d.visualization.palette import SERIES_ON_DARK, SERIES_ON_LIGHT
from gemini_det3d.visualization.report.sections import Chart, Charts, Pictures, Report, Series

_MAX_IMAGE_PX = 1400
_MOST_PICTURES = 24  # of folders
_SMALL_BYTES = 200_000  # pictures above are embedded as JPEG
_JPEG_QUALITY = 85
_FEW_POINTS = 12  # lines of so many or fewer show each
_DIGITS = 6  # significant, of values in charts


def render_report(report: Report) -> str:
    """The whole page.

    Args:
        report: What it shows.

    Returns:
        HTML.

    Raises:
        FormatError: A picture cannot be read.
    """
    sections = [section for section in report.sections if isinstance(section, Charts)]
    charts = [chart for section in sections for chart in section.charts]
    data = {
        "charts": [drawn for section in sections for drawn in _charts(section)],
        "colors": {"dark": SERIES_ON_DARK, "light": SERIES_ON_LIGHT},
    }
    numbers = {id(chart): number for number, chart in enumerate(charts)}
    script = read_part(__package__, "report.js")
    return render_document(
        __package__,
        "report.html",
        report.title,
        data,
        styles=[read_part(__package__, "report.css")],
        scripts=[_plotly(), script] if charts else [script],
        helpers={
            "uri": _embed,
            "figures": _figures,
            "files_of": _present,
            "number_of": lambda chart: numbers[id(chart)],
        },
        report=report,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z"),
    )


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _charts(section: Charts) -> list[dict[str, Any]]:
    """Its charts; a line of one name looks the same in all of them."""
    names = dict.fromkeys(series.name for chart in section.charts for series in chart.series)
    places = {name: place for place, name in enumerate(names)}
    return [_chart(chart, places) for chart in section.charts]


def _chart(chart: Chart, places: Mapping[str, int]) -> dict[str, Any]:
    fewest = min((len(series.x) for series in chart.series), default=0)
    with_marks = chart.with_marks or fewest <= _FEW_POINTS
    return {
        "x_title": chart.x_title,
        "y_title": chart.y_title,
        "y_range": chart.y_range,
        "categories": _categories(chart),
        "mode": "+".join(["lines"] * chart.with_lines + ["markers"] * with_marks),
        "series": [{**_series(series), "place": places[series.name]} for series in chart.series],
    }


def _categories(chart: Chart) -> list[str]:
    """Places that are names, in the order of the line that has most of them."""
    lines = sorted(chart.series, key=lambda series: len(set(series.x)), reverse=True)
    return list(dict.fromkeys(x for line in lines for x in line.x if isinstance(x, str)))


def _series(series: Series) -> dict[str, Any]:
    return {
        "name": series.label,
        "x": [x if isinstance(x, str) else _number(x) for x in series.x],
        "y": [_number(y) for y in series.y],
        "deviation": None if series.deviation is None else [_number(d) for d in series.deviation],
    }


def _number(value: float | None) -> float | None:
    """A finite number with the digits that a chart can show, else None."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _figures(chart: Chart) -> list[list[str]]:
    """A chart in words: each line's points, its first and last value, lowest and highest."""
    rows = []
    for series in chart.series:
        known = [y for y in map(_number, series.y) if y is not None]
        ends = [known[0], known[-1], min(known), max(known)] if known else [None] * 4
        rows.append([series.label, str(len(known)), *(cell(_short(value), 0) for value in ends)])
    return rows


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _present(section: Pictures) -> list[Path]:
    return [path for path in section.files if path.is_file()]


def _embed(path: Path) -> str:
    """A picture as a data URI; a large one as a JPEG of fewer pixels, its gaps white."""
    from PIL import Image, UnidentifiedImageError

    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            kind = str(picture.format)
            if len(content) > _SMALL_BYTES or kind not in ("PNG", "JPEG"):
                shrunk = Image.new("RGB", picture.size, "white")
                whole = picture.convert("RGBA")
                shrunk.paste(whole, mask=whole)
                shrunk.thumbnail((_MAX_IMAGE_PX, 4 * _MAX_IMAGE_PX))
                buffer = io.BytesIO()
                shrunk.save(buffer, "JPEG", quality=_JPEG_QUALITY)
                content, kind = buffer.getvalue(), "JPEG"
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise FormatError(path, "is no picture") from None
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode('ascii')}"


def pictures_in(folders: Iterable[Path]) -> Sequence[Path]:
    """PNG files of folders, and of none below, sorted by name; the first few of many."""
    return [path for folder in folders for path in sorted(folder.glob("*.png"))][:_MOST_PICTURES]
