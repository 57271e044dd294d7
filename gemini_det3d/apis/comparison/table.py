"""The comparison's table: one row a variant, as Markdown, CSV, JSON and a picture of every run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gemini_det3d.apis.comparison.chart import draw_chart
from gemini_det3d.apis.comparison.paired import FEW_PAIRS, Threshold
from gemini_det3d.apis.comparison.rows import Row, counts_errors, score_name
from gemini_det3d.formats.tables import cell, markdown_table
from gemini_det3d.formats.text import without_nan, write_json, write_text

# Properties of a row that its record holds beside its fields.
_DERIVED = ("scores", "mean", "spread", "median", "learned_share", "learned_epoch")
_COLUMNS = ("name", "mean", "spread", "median", "learned_share", "learned_epoch", "parameters",
            "multiply_adds", "latency_ms", "peak_mb", "train_minutes")  # fmt: skip
PAIRS_NOTE = (
    f"Runs of the same seed. {FEW_PAIRS}; p (Holm) is corrected for the number of variants."
)
_PAIRED = ("against", "pairs", "difference", "low", "high", "p_value", "p_holm")


def markdown(rows: Sequence[Row], threshold: Threshold | None = None) -> str:
    """The table as Markdown; pairs, the threshold and faults below it."""
    paragraphs = [markdown_table(*variant_cells(rows, threshold))]
    if threshold:
        paragraphs.append(f"{threshold.note(counts_errors(rows))}.")
    head, cells = paired_cells(rows)
    paragraphs += [markdown_table(head, cells, left=2), PAIRS_NOTE] if cells else []
    faults = [f"- {row.name}: {fault}" for row in rows for fault in row.faults]
    return "\n\n".join([*paragraphs, *(["\n".join(faults)] if faults else [])])


def variant_cells(
    rows: Sequence[Row], threshold: Threshold | None = None
) -> tuple[list[str], list[list[object]]]:
    """Names of the columns and a row for each variant: its name, its score, and the rest."""
    parts = list(dict.fromkeys(part for row in rows for part in row.per_part))
    shown = parts if len(parts) > 1 else []
    learning = ["learned", "in epoch"] if threshold else []
    head = ["variant", score_name(rows), "median", "seeds", *learning, *shown, "parameters (M)",
            "multiply-adds (G)", "latency (ms)", "peak memory (MB)", "training (min)"]  # fmt: skip
    cells: list[list[object]] = []
    for row in rows:
        score = f"{row.mean:.2f} ± {row.spread:.2f}" if row.scores else "failed"
        figures = (
            cell(row.parameters, 3),
            cell(row.multiply_adds, 3),
            cell(row.latency_ms, 1),
            cell(row.peak_mb, 0),
            cell(row.train_minutes, 1),
        )
        learned = [_share(row), cell(row.learned_epoch, 1)] if threshold else []
        start = [row.name, score, row.median, len(row.scores), *learned]
        cells.append([*start, *map(row.per_part.get, shown), *figures])
    return head, cells


def paired_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[object]]]:
    """The same of the variants that are compared with another; no rows where none is."""
    cells: list[list[object]] = [
        [
            row.name,
            row.paired.against,
            row.paired.pairs,
            f"{row.paired.difference:+.2f}",
            f"{row.paired.low:+.2f} to {row.paired.high:+.2f}",
            cell(row.paired.p_value, 4),
            cell(row.paired.p_holm, 4),
        ]
        for row in rows
        if row.paired
    ]
    head = ["variant", "against", "pairs", "difference", "95 % (bootstrap)", "p (permutation)",
            "p (Holm)"]  # fmt: skip
    return head, cells


def _share(row: Row) -> str:
    learned = sum(epoch is not None for epoch in row.learned.values())
    return f"{learned} of {len(row.learned)}"


def write_tables(
    folder: Path,
    rows: Sequence[Row],
    facts: Mapping[str, object],
    threshold: Threshold | None = None,
) -> None:
    """Write `table.md`, `table.csv`, `table.json` and `chart.png`."""
    write_text(folder / "table.md", markdown(rows, threshold) + "\n")
    records = [{**asdict(row), **{name: getattr(row, name) for name in _DERIVED}} for row in rows]
    learned = threshold.note(counts_errors(rows)) if threshold else None
    content = {**facts, "learned": learned, "rows": records}
    write_json(folder / "table.json", without_nan(content))
    parts = list(dict.fromkeys(part for row in rows for part in row.per_part))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *_PAIRED, "seeds", *parts])
    for row, record in zip(rows, records):
        pair = record["paired"] or {}
        values = [*(record[name] for name in _COLUMNS), *(pair.get(name) for name in _PAIRED)]
        values = ["" if value is None else value for value in without_nan(values)]
        writer.writerow([*values, len(row.scores), *(row.per_part.get(p, "") for p in parts)])
    write_text(folder / "table.csv", text.getvalue())
    draw_chart(folder / "chart.png", rows)
