"""The segmentation pass on a synthetic four-modality world: scenes, trainings, tests, pictures.

Compared are RGB alone, RGB and depth, and all four modalities; then the last one trained further in
two ways, for as long: with sensors that fail, and as before. Training is mmdet3d's own script; as
many models train and are tested at a time as there are cores. Each step that is done is left alone
when the demo is started again, and training goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.demo_pass import (
    DemoPass,
    add_size_arguments,
    begin_of_fall,
    load_config,
    set_epochs,
)
from gemini_det3d.apis.machine import num_cores, num_threads
from gemini_det3d.apis.runs import Run, declare, run_or_fail
from gemini_det3d.visualization.report import Pictures, Table

CONFIG = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"
ALL = ("rgb", "depth", "event", "lidar")
DROPOUT = {
    "type": "SegModalityDropout",
    "prob": {"rgb": 0.2, "depth": 0.15, "event": 0.1, "lidar": 0.1},
    "noise_prob": 0.2,
}


@dataclass(frozen=True)
class Variant:
    """One model of the tables.

    Attributes:
        modalities: What it reads.
        after: The variant that it starts from, to train three quarters as long again. None: from
            nothing.
        has_dropout: Whether it trains with failing sensors.
    """

    modalities: tuple[str, ...]
    after: str | None = None
    has_dropout: bool = False


VARIANTS = {
    "RGB": Variant(("rgb",)),
    "RGB+depth": Variant(("rgb", "depth")),
    "all four": Variant(ALL),
    "all four, longer": Variant(ALL, after="all four"),
    "all four, dropout": Variant(ALL, after="all four", has_dropout=True),
}
NUM_PICTURES = 5
EPILOG = """\
Writes table.md, summary.json (scores, seconds, versions, seed), pictures and report.html, a page of
all of it, into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    parser.add_argument("--config", default=CONFIG, help="a config, by path or name")
    add_size_arguments(parser, "seg_scenes", "work_dirs/demo_segmentation", train=240, val=40)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the tables."""
    demo = DemoPass(args)
    runs = declare_runs(args, demo.work_dir)  # first: a wrong option is told before any work
    demo.step("scenes", make_scenes, args)
    demo.step("training", train_all, runs)
    scores = demo.step("tests", test, runs, args.seed)
    demo.step("pictures", draw, runs, demo.work_dir)
    sections = [*scores["sections"], Pictures("Pictures", [demo.work_dir / "pictures.png"])]
    table = "\n\n".join(scores["tables"])
    return demo.finish(scores["mIoU"], table, sections=sections, base=args.config)


def make_scenes(args: argparse.Namespace) -> None:
    """Write the scenes in DeLiVER's layout; those that exist are kept."""
    from gemini_det3d.worlds.generate_seg import make_seg_scenes

    make_seg_scenes(args.data, args.train, args.val, args.seed, "deliver", workers=num_cores())


def declare_runs(args: argparse.Namespace, work_dir: Path) -> dict[str, Run]:
    """Every variant, in a folder of its own.

    Raises:
        ConfigError: Too few epochs, or a folder of other settings.
    """
    from gemini_det3d.apis.seg_config import with_modalities, with_training_step

    base = load_config(args.config, args.data, args.seed)
    epochs = base.train_cfg.max_epochs if args.epochs is None else args.epochs
    _check_epochs(epochs, begin_of_fall(base))
    if args.epochs is not None:
        set_epochs(base, epochs)
    runs: dict[str, Run] = {}
    for name, variant in VARIANTS.items():
        config = with_modalities(base, variant.modalities)
        if variant.has_dropout:
            config = with_training_step(config, DROPOUT)
        if variant.after is not None:
            set_epochs(config, _epochs_after(epochs))
            config.load_from = str(runs[variant.after].checkpoint)
        folder = work_dir / name.replace(" ", "_").replace(",", "").replace("+", "_")
        # tested here, under failures too
        runs[name] = declare(name, config, folder, with_test=False)
    return runs


def _epochs_after(epochs: int) -> int:
    """Of a model that starts from one trained so long."""
    return max(2, 3 * epochs // 4)


def _check_epochs(epochs: int, begin: int) -> None:
    least = next(number for number in count(1) if min(number, _epochs_after(number)) > begin)
    if epochs < least:
        more = "; models that train on take three quarters" if least > begin + 1 else ""
        raise ConfigError(
            f"--epochs {epochs}: must be {least} or more, {begin} of them to rise{more}"
        )


def train_all(runs: Mapping[str, Run]) -> None:
    """Train those that start from nothing, then those that start from one of them."""
    for is_first in (True, False):
        names = [n for n in longest_first(runs) if is_first == (VARIANTS[n].after is None)]
        run_or_fail([runs[name] for name in names])


def longest_first(names: Mapping[str, object]) -> list[str]:
    """Most modalities first, so that no core is left alone at the end."""
    return sorted(names, key=lambda name: -len(VARIANTS[name].modalities))


def test(runs: Mapping[str, Run], seed: int) -> dict[str, Any]:
    """Tables of all models, and of the four-modality ones under failing sensors."""
    from gemini_det3d.apis.sensor_failures import (
        failure_cases,
        failure_cells,
        failure_table,
        summarise_failures,
    )
    from gemini_det3d.formats.tables import markdown_table

    cases = failure_cases(ALL, seed)
    jobs = min(num_cores(), len(runs))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        order = longest_first(runs)
        running = {name: pool.submit(test_one, name, runs[name], seed, jobs) for name in order}
        found = {name: running[name].result() for name in runs}
    rows, failures, summary = [], {}, {}
    for name, by_case in found.items():
        clean = by_case[cases[0].name]
        summary[name] = {"clean": clean["ensemble"].mean_iou}
        if len(by_case) > 1:
            failures[name], summary[name] = by_case, summarise_failures(by_case, cases)
        for stream, scores in clean.items():
            values = (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iou)
            rows.append([name, stream, *values])
    head = ["modalities", "stream", "pAcc", "mAcc", "mIoU"]
    table = markdown_table(head, rows, left=2)
    sections = [Table("All sensors", head, rows, left=2),
                Table("Failing sensors", *failure_cells(failures, cases), left=2)]  # fmt: skip
    tables = [table, failure_table(failures, cases)]
    return {"tables": tables, "sections": sections, "mIoU": summary}


def test_one(name: str, run: Run, seed: int, jobs: int) -> dict[str, dict]:
    """Scores of one model by failure case and stream; of one without all modalities, unfailing.

    Args:
        name: Of ``VARIANTS``.
        run: Its training.
        seed: Of the failures.
        jobs: Processes that share the cores.
    """
    import torch

    from gemini_det3d.apis.sensor_failures import evaluate_failures, evaluate_model, failure_cases

    torch.set_num_threads(num_threads(jobs))
    config, model = _load(run)
    # loaders of a spawned process would spawn theirs, seconds each
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    cases = failure_cases(ALL, seed)
    if VARIANTS[name].modalities == ALL:
        return evaluate_failures(model, config, cases)
    return {cases[0].name: evaluate_model(model, config)}


def draw(runs: Mapping[str, Run], work_dir: Path) -> None:
    """A picture of a few test scenes: inputs, truth, predictions."""
    from mmengine.registry import DATASETS

    from gemini_det3d.apis.trained_model import predict
    from gemini_det3d.visualization import (
        class_palette,
        color_labels,
        draw_label_panel,
        save_png,
    )

    config, _ = _load(runs["all four"])
    inputs = DATASETS.build(config.test_dataloader.dataset)
    palette = class_palette(inputs.metainfo["classes"])
    step = max(1, len(inputs) // NUM_PICTURES)
    numbers = range(0, len(inputs), step)[:NUM_PICTURES]
    rows: list[dict] = []
    for number in numbers:
        sample = inputs[number]
        row = {name: x.numpy().transpose(1, 2, 0) for name, x in sample["inputs"].items()}
        labels = sample["data_samples"].gt_sem_seg.data[0].numpy()
        rows.append({**row, "truth": color_labels(labels, palette)})
    for name, run in runs.items():
        config, model = _load(run)
        dataset = DATASETS.build(config.test_dataloader.dataset)
        for row, number in zip(rows, numbers):
            found = predict(model, [dataset[number]])[0].pred_sem_seg
            row[f"predicted: {name}"] = color_labels(found.ensemble[0].numpy(), palette)
    save_png(work_dir / "pictures.png", draw_label_panel(rows))


def _load(run: Run) -> tuple[Any, Any]:
    from gemini_det3d.apis.config import read_config
    from gemini_det3d.apis.trained_model import build_for_test

    config = read_config(run.config)
    return config, build_for_test(config, run.checkpoint).model
