"""Where a report goes, and what every report says of its machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gemini_det3d.apis.machine import facts
from gemini_det3d.formats.files import write_whole
from gemini_det3d.visualization.report import Report, Section, Table, render_report

REPORT = "report.html"


def write_report(
    folder: Path, title: str, sections: Sequence[Section], lead: Sequence[str] = ()
) -> Path:
    """Write ``report.html``, whole or not at all, so that it may be reloaded meanwhile.

    Raises:
        FormatError: It cannot be written, or a picture cannot be read.
    """
    path = Path(folder) / REPORT
    write_whole(path, render_report(Report(title, sections, lead)))
    return path


def facts_section(more: Mapping[str, object] | None = None, title: str = "To repeat it") -> Table:
    """Command, machine and versions of this process."""
    known = facts()
    rows: list[tuple[str, object]] = [("command", known["command"])]
    rows += [(name, str(value)) for name, value in (more or {}).items() if value is not None]
    rows += [(name, str(value)) for name, value in known["machine"].items()]
    rows += [("Python", known["python"]), *sorted(known["versions"].items())]
    return Table(title, ["what", "value"], rows, left=2)
