"""What the translation demo shows: a table, a grid of pictures per task, and a summary."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from gemini_det3d.apis.translation_demo.runs import TASKS, Run

PACKAGES = ("torch", "numpy", "mmengine", "mmcv", "mmdet3d", "gemini_det3d")
NUM_ROWS = 4
_SHORT = {
    "GeminiFusion": "Gemini",
    "TokenExchangeFusion": "TokenExchange",
    "ConcatFusion": "Concat",
    "edge_occlusion": "edge",
    "reshading": "shade",
    "edge_texture": "texture",
    "depth_euclidean": "depth",
}


def table(runs: Sequence[Run], metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a row per training, its ensemble's errors on unseen views.

    Args:
        runs: Trainings.
        metrics: By folder name.

    Returns:
        The table, without a newline at the end.
    """
    lines = ["| task | sources | operator | L1 | MSE | KID x 100 |", "|---|---|---|---|---|---|"]
    for run in runs:
        found = metrics[run.folder.name]
        kid = next(value for name, value in found.items() if name.startswith("KID"))
        sources = " + ".join(map(short, run.sources))
        lines.append(
            f"| {TASKS[run.task].title} | {sources} | {short(run.operator or 'none')} "
            f"| {found['MAE']:.4f} | {found['MSE']:.4f} | {100 * kid:.3f} |"
        )
    names = {name[4:] for found in metrics.values() for name in found if name.startswith("KID")}
    lines += ["", f"L1 and MSE on images in -1 to 1; KID of {', '.join(sorted(names))} features."]
    return "\n".join(lines)


def draw_grid(runs: Sequence[Run], data: Path, path: Path) -> None:
    """Inputs, truth and the output of every training, for a few unseen views.

    Args:
        runs: Finished trainings of one task.
        data: Folder of the views.
        path: PNG to write.
    """
    from gemini_det3d.apis.translator import Translator
    from gemini_det3d.formats.taskonomy import domain_path, read_domain, read_list
    from gemini_det3d.visualization import draw_image_grid, save_png

    task = TASKS[runs[0].task]
    stems = read_list(data / "val.txt")
    stems = stems[:: max(1, len(stems) // NUM_ROWS)][:NUM_ROWS]
    domains = (*task.sources, task.target)
    rows = [[read_domain(domain_path(data, s, d), d) for d in domains] for s in stems]
    for run in runs:
        translator = Translator(run.config, run.checkpoint())
        for row, stem in zip(rows, stems):
            row.append(translator([domain_path(data, stem, d) for d in run.sources]))
    titles = [*map(short, task.sources), f"truth: {short(task.target)}"]
    titles += [short(run.operator) if run.operator else f"{short(run.sources[0])} only"
               for run in runs]  # fmt: skip
    save_png(path, draw_image_grid(rows, titles))


def short(name: str) -> str:
    """A name that fits over a picture."""
    return _SHORT.get(name, name)


def summarise(args: argparse.Namespace, metrics: Mapping, seconds: Mapping[str, float]) -> dict:
    """What a reader needs to repeat the run and to compare with it."""
    return {
        "metrics": dict(metrics),
        "seconds": dict(seconds),
        "seed": args.seed,
        "views": {"train": args.train, "val": args.val},
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
        "python": platform.python_version(),
    }
