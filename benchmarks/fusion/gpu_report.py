"""Rows of a GPU: wall, GPU and graph apart, floors, goals by the GPU's own time, and a picture."""

from __future__ import annotations

from pathlib import Path

from gemini_det3d.formats.tables import markdown_table

from .report import GOAL_HEAD, Goal, ratio_goals

__all__ = ["GPU_TIME_GOALS", "gpu_goal_lines", "gpu_table_lines", "plot_gpu"]

KINDS = ("ms", "gpu_ms", "graph_ms")
_LABELS = ("wall", "GPU", "graph")
_HEAD = ("case", "dtype", "mode", "form", "wall, ms", "GPU, ms", "graph, ms", "floor: memory",
         "floor: products", "error", "peak MiB")  # fmt: skip
# On an H200: what the released form takes of the GPU alone over the time that was set.
GPU_TIME_GOALS = (
    Goal("BEV 32400x256", "bfloat16", "inference", "released", 1.453 / 0.20),
    Goal("BEV 32400x256", "bfloat16", "training", "released", 5.81 / 0.80),
    Goal("BEV 32400x256", "tf32", "inference", "released", 2.21 / 0.45),
    Goal("points 20k x128", "bfloat16", "inference", "released", 0.677 / 0.06),
    Goal("points 20k x128", "bfloat16", "training", "released", 2.63 / 0.25),
    Goal("points 100k x128", "bfloat16", "inference", "released", 3.14 / 0.30),
    Goal("points 100k x128", "bfloat16", "training", "released", 11.2 / 1.2),
    Goal("tokens 1M x64", "bfloat16", "inference", "released", 24.8 / 1.0),
    Goal("MiT-B3, 28 sites", "bfloat16", "inference", "released", 25.6 / 1.5),
    Goal("MiT-B3, 28 sites", "bfloat16", "training", "released", 199 / 6),
)


def gpu_goal_lines(rows: list[dict]) -> list[str]:
    """The goals by the GPU's own time, of those cases whose times are known."""
    known = [
        row | {"ratio": row["other_gpu_ms"] / row["ours_gpu_ms"]}
        for row in rows
        if row["other_gpu_ms"] and row["ours_gpu_ms"]
    ]
    return markdown_table(("GPU time: goal", *GOAL_HEAD[1:]), ratio_goals(known, GPU_TIME_GOALS)
                          ).splitlines()  # fmt: skip


def gpu_table_lines(rows: list[dict]) -> list[str]:
    """A Markdown table, a form a line; empty cells could not be measured."""
    return markdown_table(_HEAD, [_cells(*form) for form in _forms(rows)], left=4).splitlines()


def _forms(rows: list[dict]) -> list[tuple[dict, str, str]]:
    """Each row's opponent, and ours once a case: row, "ours" or "other", name."""
    forms, seen = [], set()
    for row in rows:
        case = row["case"], row["dtype"], row["mode"]
        if case not in seen:
            seen.add(case)
            forms.append((row, "ours", "ours"))
        forms.append((row, "other", row["opponent"]))
    return forms


def _cells(row: dict, who: str, name: str) -> list[object]:
    times = (row[f"{who}_{kind}"] for kind in KINDS)
    error = row[f"err_{who}"]
    return [
        *(row["case"], row["dtype"], row["mode"], name),
        *("" if ms is None else f"{ms:.3f}" for ms in times),
        *(f"{row[f'floor_{kind}_ms']:.3f}" for kind in ("memory", "products")),
        "another function" if error is None else f"{error:.1e}",
        f"{row[f'peak_bytes_{who}'] / 2**20:.0f}",
    ]


def plot_gpu(rows: list[dict], file: str | Path) -> None:
    """Wall, GPU and graph of each form as bars, a panel a case, floors as lines, as PNG."""
    from matplotlib.figure import Figure

    cases = list(dict.fromkeys((row["case"], row["dtype"], row["mode"]) for row in rows))
    figure = Figure(figsize=(9, 2.2 * len(cases)), layout="constrained")
    panels = figure.subplots(len(cases), squeeze=False)[:, 0]
    for case, axes in zip(cases, panels):
        mine = [row for row in rows if (row["case"], row["dtype"], row["mode"]) == case]
        forms = _forms(mine)
        for place, (kind, label) in enumerate(zip(KINDS, _LABELS)):
            values = [row[f"{who}_{kind}"] or float("nan") for row, who, _ in forms]
            where = [index + 0.27 * (place - 1) for index in range(len(forms))]
            axes.barh(where, values, 0.25, label=label)
        for kind, colour in (("memory", "C3"), ("products", "k")):
            floor = mine[0][f"floor_{kind}_ms"]
            axes.axvline(floor, color=colour, linestyle="--", label=f"floor: {kind}")
        axes.set_yticks(range(len(forms)), [name for *_, name in forms])
        axes.invert_yaxis()
        axes.set(xscale="log", xlabel="ms", title=", ".join(case))
    panels[0].legend(fontsize="small")
    figure.savefig(file, dpi=120)
