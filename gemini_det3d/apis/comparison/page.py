"""The comparison's page: its table, every run a dot, pairs, and the curves of all trainings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.comparison.chart import short_names
from gemini_det3d.apis.comparison.paired import Threshold
from gemini_det3d.apis.comparison.rows import Row, counts_errors, score_title
from gemini_det3d.apis.comparison.table import PAIRS_NOTE, paired_cells, variant_cells
from gemini_det3d.apis.reports import facts_section, find_trainings, write_report
from gemini_det3d.apis.reports.training_report import training_sections
from gemini_det3d.visualization.report import (
    Chart,
    Charts,
    Section,
    Series,
    Spread,
    Table,
    Text,
)


def write_page(
    out: Path, rows: Sequence[Row], threshold: Threshold | None = None, seeds: int = 1
) -> Path:
    """Write `report.html`."""
    sections = comparison_sections(rows, threshold)
    trainings = find_trainings(out)
    sections += training_sections(trainings) if trainings else []
    repeat = facts_section({"seeds": ", ".join(map(str, range(seeds)))})
    return write_report(out, out.name, [*sections, repeat])


def comparison_sections(rows: Sequence[Row], threshold: Threshold | None = None) -> list[Section]:
    """Table, dots, pairs and faults."""
    head, cells = variant_cells(rows, threshold)
    scored = [
        [name, Spread(row.mean, row.spread if len(row.scores) > 1 else None), *rest]
        if row.scores else [name, score, *rest]
        for row, (name, score, *rest) in zip(rows, cells)
    ]  # fmt: skip
    note = f"{score_title(rows)}: mean ± standard deviation over seeds."
    note += f" {threshold.note(counts_errors(rows))}." if threshold else ""
    sections: list[Section] = [
        Table("Variants", head, scored, note=note),
        Charts("Every run", [_dots(rows)]),
    ]
    head, cells = paired_cells(rows)
    if cells:
        sections.append(Table("Pairs of the same seed", head, cells, left=2, note=PAIRS_NOTE))
    faults = [f"{row.name}: {fault}" for row in rows for fault in row.faults]
    return [*sections, *([Text("What failed", faults)] if faults else [])]


def _dots(rows: Sequence[Row]) -> Chart:
    """A dot for each run and each mean, over the variants."""
    names = [name.replace("\n", " ") for name in short_names([row.name for row in rows])]
    runs = [(name, score) for name, row in zip(names, rows) for score in row.scores]
    series = [
        Series("runs", [name for name, _ in runs], [score for _, score in runs]),
        Series("mean", names, [row.mean for row in rows]),
        Series("median", names, [row.median for row in rows]),
    ]
    return Chart(
        "score of every run",
        series,
        "",
        score_title(rows),
        with_lines=False,
        with_marks=True,
    )
