"""Translation on the synthetic world: operators and single sources, trained alike, in one table.

All trainings of a task start from the same streams, which learned on both sources without fusion.
Every training is mmdet3d's own ``tools/train.py`` with one of this plug-in's configs; as many run
at once as there are cores. Started again, the demo goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.demo import timed
from gemini_det3d.apis.translation_demo.report import draw_grid, summarise, table
from gemini_det3d.apis.translation_demo.runs import OPERATORS, TASKS, Progress, Run, train

EPILOG = """\
Writes table.md, summary.json (metrics, seconds, versions, seed), a grid of pictures for each task,
and the folder of each training into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/views"), help="where views go (%(default)s)")
    add("--work-dir", type=Path, default=Path("work_dirs/demo_translation"))
    add("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="(all)")
    add("--operators", nargs="+", default=list(OPERATORS), metavar="TYPE",
        help=f"registered operators ({' '.join(OPERATORS)})")  # fmt: skip
    add("--train", type=int, default=280, help="training views (%(default)s)")
    add("--val", type=int, default=100, help="test views, of other scenes (%(default)s)")
    add("--start-epochs", type=int, default=10,
        help="of the training without fusion that the others of its task start from (%(default)s)"
        )  # fmt: skip
    add("--epochs", type=int, default=4, help="of each of the others (%(default)s)")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at once (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table.

    Raises:
        ConfigError: An argument is out of range.
    """
    for option in ("train", "val", "start_epochs", "epochs", "jobs"):
        if getattr(args, option) < 1:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} {getattr(args, option)}: must be 1 or more")
    work_dir: Path = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    timed(seconds, "views", lambda: make_views(args))
    starts = {task: start_of(args, work_dir, task) for task in args.tasks}
    runs = [run for start in starts.values() for run in runs_of(args, work_dir, start)]
    metrics: dict[str, dict] = {}
    timed(seconds, "start", lambda: train_all([*starts.values()], args.jobs, "streams"))
    timed(seconds, "training", lambda: metrics.update(train_all(runs, args.jobs)))
    timed(seconds, "pictures", lambda: [
        draw_grid([r for r in runs if r.task == task], args.data, work_dir / f"{task}.png")
        for task in args.tasks
    ])  # fmt: skip
    text = table(runs, metrics)
    (work_dir / "table.md").write_text(text + "\n", encoding="utf-8")
    summary = summarise(args, metrics, seconds)
    (work_dir / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"\n{text}\n")
    print(f"{sum(seconds.values()) / 60:.1f} minutes; everything is in {args.work_dir}")
    return 0


def make_views(args: argparse.Namespace) -> None:
    """Write the views; those that exist are kept."""
    from gemini_det3d.datasets.synthetic import Viewpoint, ViewSet, make_taskonomy_views

    views = ViewSet(args.train, args.val, args.seed, viewpoint=Viewpoint(size_px=96))
    make_taskonomy_views(args.data, views, workers=os.cpu_count() or 1)


def start_of(args: argparse.Namespace, work_dir: Path, task: str) -> Run:
    """The training that the others of a task start from: both sources, no fusion."""
    start = Run(task, TASKS[task].sources, None, args.data.resolve(), args.seed, args.start_epochs)
    start.prepare(work_dir / f"{task}_{start.name}")
    return start


def runs_of(args: argparse.Namespace, work_dir: Path, start: Run) -> list[Run]:
    """The trainings of a task: each operator on both sources, then each source alone."""
    task, sources = start.task, start.sources
    given = dict(task=task, data=start.data, seed=start.seed, epochs=args.epochs, start=start)
    both = [Run(sources=sources, operator=operator, **given) for operator in args.operators]
    alone = [Run(sources=(source,), operator=None, **given) for source in sources]
    for each in (*both, *alone):
        each.prepare(work_dir / f"{task}_{each.name}")
    return [*both, *alone]


def train_all(runs: Sequence[Run], jobs: int, title: str = "training") -> dict[str, dict]:
    """Train those that are not finished, several at once.

    Args:
        runs: Prepared trainings.
        jobs: How many at once; with more than one each computes on one thread.
        title: What the progress bar says.

    Returns:
        Metrics by folder name.

    Raises:
        ConfigError: A training failed; the message names its log.
    """
    with Progress(runs, title) as progress, ThreadPoolExecutor(jobs) as pool:
        # Those on both sources take longest: started first, they leave no core alone at the end.
        order = sorted(runs, key=lambda each: -len(each.sources))
        threads = max(1, (os.cpu_count() or 1) // jobs)
        found = list(pool.map(lambda each: train(each, progress, threads), order))
    return {each.folder.name: metrics for each, metrics in zip(order, found)}
