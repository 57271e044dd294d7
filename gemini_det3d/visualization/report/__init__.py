"""A report: a title and sections (tables, charts, pictures, text) in one HTML file."""

from __future__ import annotations

from gemini_det3d.visualization.report.html import render_report
from gemini_det3d.visualization.report.sections import (
    Chart,
    Charts,
    Listing,
    Pictures,
    Report,
    Section,
    Series,
    Spread,
    Table,
    Text,
)

__all__ = [
    "Chart",
    "Charts",
    "Listing",
    "Pictures",
    "Report",
    "Section",
    "Series",
    "Spread",
    "Table",
    "Text",
    "render_report",
]
