"""Translation on the synthetic world: operators and single sources, trained alike, in one table.

The protocol's encoders start from ImageNet's weights. Here the streams of a task first learn by
themselves, on both sources and without fusion, and every training that is compared starts from
that. Training and testing are mmdet3d's own scripts; as many run at once as there are cores.
Started again, the demo goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.demo_pass import DemoPass, add_size_arguments, load_config
from gemini_det3d.apis.machine import num_cores
from gemini_det3d.apis.runs import Run, declare, run_or_fail
from gemini_det3d.formats.tables import markdown_table
from gemini_det3d.visualization.report import Pictures, Table

_OPERATOR_OF_CONFIG = "GeminiFusion"
OPERATORS = (_OPERATOR_OF_CONFIG, "TokenExchangeFusion", "ConcatFusion")
_LEARNING_RATE = 2e-3  # of the generator, after the common start: half of the config's
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
EPILOG = """\
Writes table.md, summary.json (metrics, seconds, versions, seed), a grid of pictures for each task,
the folder of each training and report.html, a page of all of it, into --work-dir."""


@dataclass(frozen=True)
class Task:
    """What is translated into what.

    Attributes:
        title: For people.
        config: Bare name of the toy config.
        sources: Domains in.
        target: Domain out.
    """

    title: str
    config: str
    sources: tuple[str, ...]
    target: str


TASKS = {
    "rgb-edge2depth": Task(
        "RGB + Edge -> Depth",
        "translator_gemini_mit-toy_views-rgb-edge2depth",
        ("rgb", "edge_occlusion"),
        "depth_euclidean",
    ),
    "shade-texture2rgb": Task(
        "Shade + Texture -> RGB",
        "translator_gemini_mit-toy_views-shade-texture2rgb",
        ("reshading", "edge_texture"),
        "rgb",
    ),
}


@dataclass(frozen=True)
class Trained:
    """One row of the table.

    Attributes:
        task: One of ``TASKS``.
        sources: Domains in: all of the task's, or one.
        operator: Registered name; None: no fusion.
        run: Its training.
    """

    task: str
    sources: tuple[str, ...]
    operator: str | None
    run: Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    add_size_arguments(parser, "views", "work_dirs/demo_translation", train=280, val=100, epochs=4)
    add = parser.add_argument
    add("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="(all)")
    add("--operators", nargs="+", default=list(OPERATORS), metavar="TYPE",
        help=f"registered operators ({' '.join(OPERATORS)})")  # fmt: skip
    add("--start-epochs", type=int, default=10,
        help="of the training without fusion that the others of its task start from (%(default)s)"
        )  # fmt: skip
    add("--jobs", type=int, default=num_cores(), help="trainings at once (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table.

    Raises:
        ConfigError: An argument is out of range.
    """
    for option in ("train", "val", "start_epochs", "epochs", "jobs"):
        if getattr(args, option) < 1:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} {getattr(args, option)}: must be 1 or more")
    demo = DemoPass(args)
    starts = {task: declare_start(args, demo.work_dir, task) for task in args.tasks}
    rows = [row for task, run in starts.items() for row in declare_rows(args, task, run)]
    demo.step("views", make_views, args)
    demo.step("start", run_or_fail, [*starts.values()], args.jobs)
    metrics = demo.step("training and test", train_all, rows, args.jobs)
    demo.step("pictures", draw_all, rows, args.data, demo.work_dir)
    head, found, note = cells(rows, metrics)
    grids = [demo.work_dir / f"{task}.png" for task in args.tasks]
    sections = [Table("Errors on unseen views", head, found, left=3, note=note),
                Pictures("Pictures", grids)]  # fmt: skip
    base = TASKS[min(args.tasks)].config
    return demo.finish(metrics, table(rows, metrics), sections=sections, base=base)


def make_views(args: argparse.Namespace) -> None:
    """Write the views; those that exist are kept."""
    from gemini_det3d.worlds import Viewpoint, ViewSet, make_taskonomy_views

    views = ViewSet(args.train, args.val, args.seed, viewpoint=Viewpoint(size_px=96))
    make_taskonomy_views(args.data, views, workers=num_cores())


def declare_start(args: argparse.Namespace, work_dir: Path, task: str) -> Run:
    """The training that the others of a task start from: both sources, no fusion."""
    config = _config(args, task, TASKS[task].sources, args.start_epochs)
    config.model.generator.last_k = 0
    return declare(f"{task}, streams", config, work_dir / f"{task}_start", with_test=False)


def declare_rows(args: argparse.Namespace, task: str, start: Run) -> list[Trained]:
    """The trainings of a task: each operator on both sources, then each source alone."""
    sources, rows = TASKS[task].sources, []
    chosen = [*((sources, operator) for operator in args.operators),
              *(((source,), None) for source in sources)]  # fmt: skip
    for own, operator in chosen:
        config = _config(args, task, own, args.epochs)
        config.optim_wrapper.modules.generator.optimizer.lr = _LEARNING_RATE
        if operator is None:
            config.model.generator.num_sources = len(own)
        elif operator != _OPERATOR_OF_CONFIG:
            config.model.generator.operator = {"type": operator, "num_heads": 4}
        streams = [sources.index(source) for source in own]
        config.model.init_cfg = {
            "type": "PretrainedStreams", "checkpoint": str(start.checkpoint), "streams": streams
        }  # fmt: skip
        name = operator or f"only-{own[0]}"
        folder = start.folder.parent / f"{task}_{name}"
        rows.append(Trained(task, own, operator, declare(f"{task}, {name}", config, folder)))
    return rows


def _config(args: argparse.Namespace, task: str, sources: tuple[str, ...], epochs: int):
    config = load_config(TASKS[task].config, args.data, args.seed)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.sources = list(sources)
    config.train_cfg.max_epochs = epochs
    config.param_scheduler = [
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=40),
        dict(type="CosineAnnealingLR", end=epochs, T_max=epochs, eta_min=1e-5,
             convert_to_iter_based=True),
    ]  # fmt: skip
    return config


def train_all(rows: Sequence[Trained], jobs: int) -> dict[str, dict]:
    """Train and test those that are not finished; metrics by folder name."""
    # Those on both sources take longest: started first, they leave no core alone at the end.
    runs = [row.run for row in sorted(rows, key=lambda row: -len(row.sources))]
    return {
        run.folder.name: {k.split("/", 1)[1]: v for k, v in found["metrics"].items() if "/" in k}
        for run, found in zip(runs, run_or_fail(runs, jobs))
    }


def table(rows: Sequence[Trained], metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a row per training, its ensemble's errors on unseen views."""
    head, found, note = cells(rows, metrics)
    return f"{markdown_table(head, found, left=3)}\n\n{note}"


def cells(
    rows: Sequence[Trained], metrics: Mapping[str, Mapping[str, float]]
) -> tuple[list[str], list[list[str]], str]:
    """Names and rows of that table, and what to know of it."""
    table: list[list[str]] = []
    features = set()
    for row in rows:
        found = metrics[row.run.folder.name]
        kid = next(name for name in found if name.startswith("KID"))
        features.add(kid[4:])
        sources = " + ".join(map(short, row.sources))
        figures = f"{found['MAE']:.4f}", f"{found['MSE']:.4f}", f"{100 * found[kid]:.3f}"
        table.append([TASKS[row.task].title, sources, short(row.operator or "none"), *figures])
    head = ["task", "sources", "operator", "L1", "MSE", "KID x 100"]
    note = f"L1 and MSE on images in -1 to 1; KID of {', '.join(sorted(features))} features."
    return head, table, note


def draw_all(rows: Sequence[Trained], data: Path, work_dir: Path) -> None:
    """A grid for each task."""
    for task in dict.fromkeys(row.task for row in rows):
        draw_grid([row for row in rows if row.task == task], data, work_dir / f"{task}.png")


def draw_grid(trained: Sequence[Trained], data: Path, path: Path) -> None:
    """Inputs, truth and the output of every training, for a few unseen views."""
    from gemini_det3d.apis.translator import Translator
    from gemini_det3d.formats.taskonomy import domain_path, read_domain, read_list
    from gemini_det3d.visualization import draw_image_grid, save_png

    task = TASKS[trained[0].task]
    stems = read_list(data / "val.txt")
    stems = stems[:: max(1, len(stems) // NUM_ROWS)][:NUM_ROWS]
    domains = (*task.sources, task.target)
    rows = [[read_domain(domain_path(data, s, d), d) for d in domains] for s in stems]
    for one in trained:
        translator = Translator(one.run.config, one.run.checkpoint)
        for row, stem in zip(rows, stems):
            row.append(translator([domain_path(data, stem, d) for d in one.sources]))
    titles = [*map(short, task.sources), f"truth: {short(task.target)}"]
    titles += [short(one.operator) if one.operator else f"{short(one.sources[0])} only"
               for one in trained]  # fmt: skip
    save_png(path, draw_image_grid(rows, titles))


def short(name: str) -> str:
    """A name that fits over a picture."""
    return _SHORT.get(name, name)
