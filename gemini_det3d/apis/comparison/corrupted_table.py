"""Runs under corrupted sensors as Markdown, CSV, JSON and a page with every run a dot."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gemini_det3d.apis.comparison.chart import short_names
from gemini_det3d.apis.comparison.corrupted import Condition, CorruptedRuns
from gemini_det3d.apis.comparison.paired import FEW_PAIRS
from gemini_det3d.apis.machine import facts
from gemini_det3d.apis.reports import facts_section, write_report
from gemini_det3d.corruptions import CORRUPTIONS
from gemini_det3d.formats.tables import cell, markdown_table
from gemini_det3d.formats.text import without_nan, write_json, write_text
from gemini_det3d.visualization.report import Chart, Charts, Section, Series, Table, Text

_NOTE = "Percent: median over seeds (lowest to highest); of a corruption the mean of its severities"
_PAIRS = (
    f"Runs of the same seed. {FEW_PAIRS}. p is not corrected for the number of conditions, "
    "p (Holm) is, within a variant."
)


def markdown(found: CorruptedRuns) -> str:
    """Scores, pairs and faults."""
    paragraphs = [markdown_table(*score_cells(found.conditions), left=2), f"{_NOTE}."]
    head, rows = pair_cells(found.conditions)
    if rows:
        paragraphs += [markdown_table(head, rows, left=3), _PAIRS]
    faults = [f"- {fault}" for fault in found.faults]
    return "\n\n".join([*paragraphs, *(["\n".join(faults)] if faults else [])])


def score_cells(conditions: Sequence[Condition]) -> tuple[list[str], list[list[object]]]:
    """Names of the columns, and a row for each condition with a cell for each variant."""
    variants = list(conditions[0].scores)
    rows: list[list[object]] = [
        [each.family, each.name, *(_spread(list(each.scores[name].values())) for name in variants)]
        for each in conditions
    ]
    return ["family", "condition", *_short(variants)], rows


def pair_cells(conditions: Sequence[Condition]) -> tuple[list[str], list[list[object]]]:
    """The same of the differences; no rows where no two variants share two seeds."""
    variants = list(conditions[0].scores)
    short = dict(zip(variants, _short(variants)))
    rows: list[list[object]] = [
        [
            each.name,
            short[name],
            short[pair.against],
            pair.pairs,
            f"{pair.difference:+.2f}",
            f"{pair.low:+.2f} to {pair.high:+.2f}",
            cell(pair.p_value, 4),
            cell(each.corrected.get(name), 4),
        ]
        for name in variants
        for each in conditions
        if (pair := each.paired.get(name))
    ]
    head = ["condition", "variant", "against", "pairs", "difference", "95 % (bootstrap)",
            "p (permutation)", "p (Holm)"]  # fmt: skip
    return head, rows


def write_corrupted(folder: Path, found: CorruptedRuns, settings: Mapping[str, object]) -> Path:
    """Write `table.md`, `table.csv` (a line for each run and severity), `table.json` and the page.

    Returns:
        The page.
    """
    write_text(folder / "table.md", markdown(found) + "\n")
    write_text(folder / "table.csv", _csv(found))
    records = [asdict(condition) for condition in found.conditions]
    content = {**settings, **facts(), "conditions": records, "faults": list(found.faults)}
    write_json(folder / "table.json", without_nan(content))
    sections = [*corrupted_sections(found), facts_section(settings)]
    return write_report(folder, "Runs of a comparison, sensors corrupted", sections)


def corrupted_sections(found: CorruptedRuns) -> list[Section]:
    """Tables, every run a dot, faults."""
    sections: list[Section] = [
        Table("Conditions", *score_cells(found.conditions), left=2, note=f"{_NOTE}."),
        Charts("Every run", [_dots(found.conditions)]),
    ]
    head, rows = pair_cells(found.conditions)
    if rows:
        sections.append(Table("Pairs of the same seed", head, rows, left=3, note=_PAIRS))
    return [*sections, *([Text("What failed", found.faults)] if found.faults else [])]


def _dots(conditions: Sequence[Condition]) -> Chart:
    """A dot for each run, over the conditions."""
    variants = list(conditions[0].scores)
    series = []
    for name, short in zip(variants, _short(variants)):
        dots = [(each.name, score) for each in conditions for score in each.scores[name].values()]
        series.append(Series(short, [where for where, _ in dots], [score for _, score in dots]))
    return Chart(
        "score of every run", series, "", "score, percent", with_lines=False, with_marks=True
    )


def _short(variants: Sequence[str]) -> list[str]:
    return [name.replace("\n", " ") for name in short_names(variants)]


def _spread(scores: Sequence[float]) -> str | None:
    if not scores:
        return None
    middle = f"{statistics.median(scores):.1f}"
    return middle if len(scores) < 2 else f"{middle} ({min(scores):.1f} to {max(scores):.1f})"


def _csv(found: CorruptedRuns) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["variant", "seed", "family", "corruption", "severity", "score"])
    for variant, seeds in found.runs.items():
        for seed, run in seeds.items():
            writer.writerow([variant, seed, "", "none", 0, run.clean])
            for name, scores in run.corrupted.items():
                for severity, score in scores.items():
                    family = CORRUPTIONS[name].family
                    writer.writerow([variant, seed, family, name, severity, score])
    return text.getvalue()
