"""The comparison's table: one row a variant, as Markdown, CSV, JSON and a bar chart."""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.tables import cell, markdown_table

_KITTI = re.compile(r"KITTI/([^/]+)/3d_AP40_moderate_([\d.]+)$")
_MEANS = re.compile(r"(^|[/_ ])(mAP|mIoU|NDS)$")


@dataclass(frozen=True)
class Row:
    """One variant over its seeds.

    Attributes:
        name: The variant.
        scores: The metric of each finished seed, percent.
        per_part: Mean over seeds of what the metric averages (KITTI: the classes).
        parameters: Of the model, millions.
        multiply_adds: Of one frame, billions; sparse convolutions are not counted.
        latency_ms: Of one frame, median.
        peak_mb: Peak memory of one training step beyond the built model.
        train_minutes: Mean over seeds.
        faults: Why runs failed or a figure is missing, one line each.
    """

    name: str
    scores: tuple[float, ...]
    per_part: Mapping[str, float]
    parameters: float | None
    multiply_adds: float | None
    latency_ms: float | None
    peak_mb: float | None
    train_minutes: float | None
    faults: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN without any."""
        return statistics.fmean(self.scores) if self.scores else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (sample); 0 for one seed, NaN for none."""
        if not self.scores:
            return math.nan
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


def headline(metrics: Mapping[str, float], pattern: str | None = None) -> dict[str, float]:
    """The values whose mean is the score of a run.

    Args:
        metrics: All that a test gave.
        pattern: Regular expression that keys must hold. None: KITTI's moderate 3D AP at 40
            points, each class at its strictest overlap; else mAP, mIoU or NDS.

    Returns:
        Value by class, or by key.

    Raises:
        ConfigError: Nothing fits; the message names some keys.
    """
    if pattern is not None:
        found = {key: value for key, value in metrics.items() if re.search(pattern, key)}
    else:
        strictest: dict[str, tuple[float, float]] = {}
        for key, value in metrics.items():
            match = _KITTI.search(key)
            if match:
                entry = float(match[2]), value
                strictest[match[1]] = max(strictest.get(match[1], entry), entry)
        found = {name: value for name, (_, value) in strictest.items()}
        found = found or {key: value for key, value in metrics.items() if _MEANS.search(key)}
    if not found:
        raise ConfigError(f"--metric: nothing fits; a test gave {', '.join(list(metrics)[:8])}")
    return found


def build_rows(
    results: Mapping[str, Sequence[dict | str]],
    figures: Mapping[str, dict | str],
    pattern: str | None = None,
) -> list[Row]:
    """Rows of a table.

    Args:
        results: By variant, what each seed gave: its result, or why there is none.
        figures: By variant, ``parameters``, ``multiply_adds``, ``latency_ms``, ``peak_mb``, or
            why there are none.
        pattern: See `headline`.
    """
    rows = []
    for name, seeds in results.items():
        done = [seed for seed in seeds if not isinstance(seed, str)]
        parts = [headline(seed["metrics"], pattern) for seed in done]
        figure = figures.get(name, {})
        faults = [seed for seed in seeds if isinstance(seed, str)]
        if isinstance(figure, str):
            faults, figure = [*faults, f"not measured: {figure}"], {}
        minutes = [seed["train_minutes"] for seed in done]
        rows.append(
            Row(
                name=name,
                scores=tuple(statistics.fmean(part.values()) for part in parts),
                per_part={k: statistics.fmean(p[k] for p in parts) for k in (parts or [{}])[0]},
                parameters=figure.get("parameters"),
                multiply_adds=figure.get("multiply_adds"),
                latency_ms=figure.get("latency_ms"),
                peak_mb=figure.get("peak_mb"),
                train_minutes=statistics.fmean(minutes) if minutes else None,
                faults=tuple(faults),
            )
        )
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, faults below it."""
    parts = list(dict.fromkeys(part for row in rows for part in row.per_part))
    shown = parts if len(parts) > 1 else []
    head = ["variant", "AP", "seeds", *shown, "parameters (M)", "multiply-adds (G)",
            "latency (ms)", "peak memory (MB)", "training (min)"]  # fmt: skip
    cells = []
    for row in rows:
        score = f"{row.mean:.2f} ± {row.spread:.2f}" if row.scores else "failed"
        figures = (
            cell(row.parameters, 3),
            cell(row.multiply_adds, 3),
            cell(row.latency_ms, 1),
            cell(row.peak_mb, 0),
            cell(row.train_minutes, 1),
        )
        cells.append([row.name, score, len(row.scores), *map(row.per_part.get, shown), *figures])
    faults = [f"- {row.name}: {fault}" for row in rows for fault in row.faults]
    return "\n".join([markdown_table(head, cells), *(["", *faults] if faults else [])])


def write_tables(folder: Path, rows: Sequence[Row], facts: Mapping[str, object]) -> None:
    """Write `table.md`, `table.csv`, `table.json` and `chart.png`.

    Args:
        folder: Where to.
        rows: The rows.
        facts: Command, seeds, machine and versions, for the JSON file.
    """
    (folder / "table.md").write_text(markdown(rows) + "\n", encoding="utf-8")
    records = [{**asdict(row), "mean": row.mean, "spread": row.spread} for row in rows]
    text = json.dumps(_without_nan({**facts, "rows": records}), indent=1)
    (folder / "table.json").write_text(text + "\n", encoding="utf-8")
    columns = ("name", "mean", "spread", "parameters", "multiply_adds", "latency_ms", "peak_mb",
               "train_minutes")  # fmt: skip
    parts = list(dict.fromkeys(part for row in rows for part in row.per_part))
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "seeds", *parts])
        for row, record in zip(rows, records):
            values = ["" if _is_missing(record[c]) else record[c] for c in columns]
            writer.writerow([*values, len(row.scores), *(row.per_part.get(p, "") for p in parts)])
    draw_chart(folder / "chart.png", rows)


def draw_chart(path: Path, rows: Sequence[Row]) -> None:
    """Bars of the mean score with its spread, and every seed as a dot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 1.2 + 0.45 * len(rows)
    figure = Figure(figsize=(9, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(rows))
    means = [0.0 if math.isnan(row.mean) else row.mean for row in rows]
    spreads = [0.0 if math.isnan(row.spread) else row.spread for row in rows]
    axes.barh(places, means, xerr=spreads, color="#7aa6c2", ecolor="#333333", capsize=3)
    for place, row in zip(places, rows):
        axes.plot(row.scores, [place] * len(row.scores), "o", color="#1f3b4d", markersize=4)
        label = f" {row.mean:.1f}" if row.scores else " failed"
        axes.text(max([means[place] + spreads[place], *row.scores]), place, label, va="center")
    axes.set_yticks(places, short_names([row.name for row in rows]))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("AP in percent: mean, standard deviation, seeds")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


def short_names(names: Sequence[str]) -> list[str]:
    """What tells variants apart: of several variants of one config the value, else the name."""
    bases = [name.rpartition("-")[0] for name in names]
    return [
        name.rpartition("-")[2] if base and bases.count(base) > 1 else textwrap.fill(name, 30)
        for name, base in zip(names, bases)
    ]


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _without_nan(value):
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
