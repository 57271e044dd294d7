"""Rows of the benchmark as a table, goals, JSON and a plot."""

from __future__ import annotations

import os
import platform
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import torch

from gemini_det3d.apis.machine import num_cores
from gemini_det3d.formats.tables import markdown_table

__all__ = [
    "GOAL_HEAD",
    "Goal",
    "goal_lines",
    "machine_line",
    "plot_growth",
    "ratio_goals",
    "table_lines",
]

_FIELDS = ("case", "dtype", "mode", "opponent", "ours ms", "other ms", "ratio")
_HEAD = (*_FIELDS, "err ours", "err other", "peak MiB ours", "peak MiB other")
GOAL_HEAD = ("goal", "bound", "measured", "compiled", "reached")


class Goal(NamedTuple):
    """A bound on the ratio other / ours of one row."""

    case: str
    dtype: str
    mode: str
    opponent: str
    bound: float


# Where the operator must arrive on two quiet CPU cores.
GOALS = (
    Goal("BEV 32400x256", "float32", "inference", "released", 1.5),
    Goal("BEV 32400x256", "float32", "training", "released", 1.5),
    Goal("BEV 32400x256", "float32", "inference", "products", 1 / 1.10),
    Goal("BEV 32400x256", "bfloat16", "inference", "released_float32", 3.0),
    Goal("points 20k x128", "float32", "inference", "released", 1.9),
    Goal("points 20k x128", "float32", "training", "released", 1.6),
    Goal("points 20k x128", "bfloat16", "inference", "released_float32", 3.0),
    Goal("points 100k x128", "float32", "inference", "released", 1.9),
    Goal("points 100k x128", "float32", "training", "released", 1.6),
    Goal("points 100k x128", "bfloat16", "inference", "released_float32", 3.0),
    Goal("MiT-B3 first stage", "float32", "inference", "released", 2.4),
    Goal("MiT-B3, 28 sites", "float32", "inference", "released", 1.7),
    Goal("MiT-B3, 28 sites", "float32", "training", "released", 1.6),
    Goal("MiT-B3, 28 sites", "bfloat16", "inference", "released_float32", 3.0),
    Goal("tokens 4800x64", "float32", "inference", "cross_attention", 14.0),
)
# And on an H200, by the wall clock of one eager call: what the released form takes there over the
# time that was set (docs/design/operator_gpu.md has both, and times of the GPU alone).
GPU_GOALS = (
    Goal("BEV 32400x256", "bfloat16", "inference", "released", 1.575 / 0.30),
    Goal("BEV 32400x256", "bfloat16", "training", "released", 6.144 / 1.1),
    Goal("points 20k x128", "bfloat16", "inference", "released", 1.186 / 0.20),
    Goal("points 20k x128", "bfloat16", "training", "released", 5.028 / 0.80),
    Goal("MiT-B3, 28 sites", "bfloat16", "inference", "released", 44.6 / 5),
    Goal("MiT-B3, 28 sites", "bfloat16", "training", "released", 216.9 / 22),
)
_MOST_GROWTH, _LEAST_GRID, _MEAN_GRID = 4.2, 1.0, 1.7


def machine_line(device: str) -> str:
    """What the numbers were measured on."""
    where = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return (
        f"{where}, {num_cores()} cores, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.2f}, torch {torch.__version__}"
    )


def table_lines(rows: list[dict]) -> list[str]:
    """A Markdown table; times as median (20% - 80%)."""
    cells = []
    for row in rows:
        times = (
            f"{row[f'{who}_ms']:.2f} ({row[f'{who}_ms_q20']:.2f} - {row[f'{who}_ms_q80']:.2f})"
            for who in ("ours", "other")
        )
        errors = (
            "another function" if row[f"err_{who}"] is None else f"{row[f'err_{who}']:.1e}"
            for who in ("ours", "other")
        )
        peaks = (f"{row[f'peak_bytes_{who}'] / 2**20:.1f}" for who in ("ours", "other"))
        names = (row[name] for name in ("case", "dtype", "mode", "opponent"))
        cells.append([*names, *times, float(row["ratio"]), *errors, *peaks])
    return markdown_table(_HEAD, cells, left=4).splitlines()


def goal_lines(rows: list[dict], device: str = "cpu") -> list[str]:
    """Every goal of a device that was measured, with its bound; those that were not are left out.

    A ratio counts only where the accuracy was measured, and where ours is as good. `compiled` is
    the same ratio with our operator under `torch.compile`; the other stays as it is.
    """
    cells = ratio_goals(rows, GPU_GOALS if device.startswith("cuda") else GOALS)
    if not device.startswith("cuda"):
        cells += _growth_goals(rows)
    return markdown_table(GOAL_HEAD, cells).splitlines()


def ratio_goals(rows: list[dict], goals: tuple[Goal, ...]) -> list[list[object]]:
    """Cells of the goals whose rows are there."""
    cells = []
    for goal in goals:
        row = _find(rows, *goal[:4])
        if row is not None:
            name = f"{goal.case}, {goal.dtype}, {goal.mode}, {goal.opponent} / ours"
            compared = [row]
            if compiled := _find(rows, *goal[:3], "itself_compiled"):
                ratio = row["other_ms"] / compiled["other_ms"]
                compared.append(row | {"ratio": ratio, "err_ours": compiled["err_other"]})
            ratios = (r["ratio"] if _is_accurate(r) else float("nan") for r in compared)
            cells.append(_goal(name, f">= {goal.bound:.2f}", goal.bound, *ratios))
    return cells


def _growth_goals(rows: list[dict]) -> list[list[object]]:
    cells: list[list[object]] = []
    for mode in ("inference", "training"):
        growth = _growth(rows, mode)
        if growth:
            worst = max(growth)
            is_reached = "yes" if worst <= _MOST_GROWTH else "no"
            bound = f"<= {_MOST_GROWTH}"
            cells.append([f"growth t(4N)/t(N), {mode}", bound, worst, "", is_reached])
        grid = [row for row in rows if row["case"].startswith("grid") and row["mode"] == mode]
        ratios = [row["ratio"] for row in grid if row["err_ours"] is not None]
        if ratios:
            name, least = f"grid of {len(ratios)}, {mode}", min(ratios)
            cells.append(_goal(f"{name}, least", f">= {_LEAST_GRID:.2f}", _LEAST_GRID, least))
            mean = exp(sum(map(log, ratios)) / len(ratios))
            if mode == "inference":
                bound = f">= {_MEAN_GRID:.2f}"
                cells.append(_goal(f"{name}, geometric mean", bound, _MEAN_GRID, mean))
    return cells


def _find(rows: list[dict], *names: str) -> dict | None:
    """The row of a case, dtype, mode and opponent."""
    fields = Goal._fields[:4]
    return next((row for row in rows if all(row[f] == n for f, n in zip(fields, names))), None)


def _is_accurate(row: dict) -> bool:
    """Whether our error is known and within the released form's, where that runs in our dtype."""
    ours, other = row["err_ours"], row["err_other"]
    if ours is None or row["opponent"] != "released":
        return ours is not None
    slack = 1.5 if row["dtype"] != "float32" else 1.1  # one draw of inputs: noise of a few percent
    return ours <= slack * other


def _goal(
    name: str, bound: str, least: float, value: float, compiled: float | None = None
) -> list[object]:
    is_reached = "yes" if value >= least else "no"
    if is_reached == "no" and compiled is not None and compiled >= least:
        is_reached = "compiled"
    return [name, bound, f"{value:.2f}", "" if compiled is None else f"{compiled:.2f}", is_reached]


def _growth(rows: list[dict], mode: str) -> list[float]:
    """t(4N) / t(N) along the growth cases."""
    times = [
        row["ours_ms"] for row in rows if row["case"].startswith("growth") and row["mode"] == mode
    ]
    return [after / before for before, after in zip(times, times[1:])]


def plot_growth(rows: list[dict], file: str | Path) -> None:
    """Time against the number of tokens, log-log, ours and the released form, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for mode, line in (("inference", "-"), ("training", "--")):
        chosen = [r for r in rows if r["case"].startswith("growth") and r["mode"] == mode]
        tokens = [int(row["shape"].split("x")[1]) for row in chosen]
        for who, label, colour in (("other", "released form", "C3"), ("ours", "ours", "C0")):
            values, low, high = (
                [row[f"{who}_{name}"] for row in chosen] for name in ("ms", "ms_q20", "ms_q80")
            )
            axes.plot(tokens, values, line, color=colour, marker="o", label=f"{label}, {mode}")
            axes.fill_between(tokens, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="token pairs", ylabel="ms (median, 20-80%)")
    axes.set_title("GeminiFusion, 64 channels, float32")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
