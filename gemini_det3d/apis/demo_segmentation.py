"""The segmentation pass on a synthetic four-modality world: scenes, trainings, tests, pictures.

Compared are RGB alone, RGB and depth, and all four modalities; then the last one trained further in
two ways, for as long: with sensors that fail, and as before. Training is mmdet3d's own script; as
many models train and are tested at a time as there are cores. Each step that is done is left alone
when the demo is started again, and training goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.side_by_side import side_by_side

CONFIG = "segformer_gemini-pixel_mit-toy_1xb4-12e_scenes-25class"
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
Writes table.md, summary.json (scores, seconds, versions, seed) and pictures into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    parser.add_argument("--config", default=CONFIG, help="a config, by path or name")
    parser.add_argument("--data", type=Path, default=Path("data/seg_scenes"), help="scenes")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo_segmentation"))
    parser.add_argument("--train", type=int, default=240, help="training scenes")
    parser.add_argument("--val", type=int, default=40, help="test scenes, of other seeds")
    parser.add_argument("--epochs", type=int, help="of each training, instead of the config's")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the tables."""
    from gemini_det3d.apis.demo import timed

    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    timed(seconds, "scenes", lambda: make_scenes(args))
    configs = write_configs(args, work_dir)
    timed(seconds, "training", lambda: train_all(configs))
    scores: dict[str, Any] = {}
    timed(seconds, "tests", lambda: scores.update(test(configs, args.seed)))
    timed(seconds, "pictures", lambda: draw(configs, work_dir))
    tables = "\n\n".join(scores["tables"])
    (work_dir / "table.md").write_text(tables + "\n", encoding="utf-8")
    summary = summarise(args, scores["mIoU"], seconds)
    (work_dir / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"\n{tables}\n")
    print(f"{sum(seconds.values()) / 60:.1f} minutes; everything is in {args.work_dir}")
    return 0


def make_scenes(args: argparse.Namespace) -> None:
    """Write the scenes in DeLiVER's layout; those that exist are kept."""
    from gemini_det3d.datasets.synthetic.generate_seg import make_seg_scenes

    workers = os.cpu_count() or 1
    make_seg_scenes(args.data, args.train, args.val, args.seed, "deliver", workers=workers)


def write_configs(args: argparse.Namespace, work_dir: Path) -> dict[str, Path]:
    """One config for each variant, in a folder of its own."""
    from mmengine.config import Config

    from gemini_det3d.apis.seg_config import with_data_root, with_modalities, with_training_step

    base = Config.fromfile(find_config(args.config))
    base = with_data_root(base, f"{args.data.resolve().as_posix()}/")
    base.randomness = {"seed": args.seed}
    base.train_cfg.val_interval = 10**6  # tested afterwards
    epochs = base.train_cfg.max_epochs if args.epochs is None else args.epochs
    if epochs < 2:
        raise ConfigError(f"--epochs {epochs}: must be 2 or more, one of them to rise")
    paths: dict[str, Path] = {}
    for name, variant in VARIANTS.items():
        config = with_modalities(base, variant.modalities)
        if variant.has_dropout:
            config = with_training_step(config, DROPOUT)
        set_epochs(config, epochs if variant.after is None else max(2, 3 * epochs // 4))
        if variant.after is not None:
            # not load_from: resuming, which the script is told to try, would overrule it
            start = paths[variant.after].parent / "train" / f"epoch_{epochs}.pth"
            config.model.init_cfg = {"type": "Pretrained", "checkpoint": str(start)}
        folder = work_dir / name.replace(" ", "_").replace(",", "").replace("+", "_")
        folder.mkdir(exist_ok=True)
        paths[name] = folder / "config.py"
        config.dump(paths[name])
    return paths


def set_epochs(config: Any, epochs: int) -> None:
    """Let a config's training and the fall of its learning rate end after so many epochs."""
    config.train_cfg.max_epochs = epochs
    config.param_scheduler[-1].update(end=epochs, T_max=epochs - 1)


def train_all(configs: Mapping[str, Path]) -> None:
    """Train those that start from nothing, then those that start from one of them."""
    order = longest_first(configs)
    for is_first in (True, False):
        side_by_side(
            train,
            {name: path for name, path in order.items() if is_first == (not VARIANTS[name].after)},
        )


def longest_first(configs: Mapping[str, Path]) -> dict[str, Path]:
    """The same, most modalities first, so that no core is left alone at the end."""
    return dict(sorted(configs.items(), key=lambda item: -len(VARIANTS[item[0]].modalities)))


def train(name: str, config: Path, position: int, environment: dict[str, str]) -> None:
    """mmdet3d's tools/train.py, going on where an earlier run of it was cut off."""
    from mmengine.config import Config

    from gemini_det3d.apis.demo import TRAINING, follow, script

    follow(
        [script("train"), config, "--work-dir", config.parent / "train", "--resume", "auto"],
        config.parent / "train.log",
        TRAINING,
        epochs=Config.fromfile(config).train_cfg.max_epochs,
        title=name,
        position=position,
        **environment,
    )


def test(configs: Mapping[str, Path], seed: int) -> dict[str, Any]:
    """Tables of all models, and of the four-modality ones under failing sensors."""
    from gemini_det3d.apis.sensor_failures import failure_cases, failure_table, summarise_failures
    from gemini_det3d.evaluation.functional.segmentation import format_table

    cases = failure_cases(ALL, seed)
    jobs = min(os.cpu_count() or 1, len(configs))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        order = longest_first(configs)
        running = {name: pool.submit(test_one, name, order[name], seed, jobs) for name in order}
        found = {name: running[name].result() for name in configs}
    rows, failures, summary = [], {}, {}
    for name, by_case in found.items():
        clean = by_case[cases[0].name]
        summary[name] = {"clean": clean["ensemble"].mean_iou}
        if len(by_case) > 1:
            failures[name], summary[name] = by_case, summarise_failures(by_case, cases)
        for stream, scores in clean.items():
            values = (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iou)
            rows.append([name, stream, *values])
    table = format_table(rows, ["modalities", "stream", "pAcc", "mAcc", "mIoU"])
    return {"tables": [table, failure_table(failures, cases)], "mIoU": summary}


def test_one(name: str, path: Path, seed: int, jobs: int) -> dict[str, dict]:
    """Scores of one model by failure case and stream; of one without all modalities, unfailing.

    Args:
        name: Of ``VARIANTS``.
        path: Its config.
        seed: Of the failures.
        jobs: Processes that share the cores.
    """
    import torch

    from gemini_det3d.apis.sensor_failures import evaluate_failures, evaluate_model, failure_cases

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    config, model = _load(path)
    # loaders of a spawned process would spawn theirs, seconds each
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    cases = failure_cases(ALL, seed)
    if VARIANTS[name].modalities == ALL:
        return evaluate_failures(model, config, cases)
    return {cases[0].name: evaluate_model(model, config)}


def draw(configs: Mapping[str, Path], work_dir: Path) -> None:
    """A picture of a few test scenes: inputs, truth, predictions."""
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import DATASETS

    from gemini_det3d.visualization import (
        class_palette,
        color_labels,
        draw_label_panel,
        save_png,
    )

    config, _ = _load(configs["all four"])
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
    for name, path in configs.items():
        config, model = _load(path)
        dataset = DATASETS.build(config.test_dataloader.dataset)
        for row, number in zip(rows, numbers):
            found = model.test_step(pseudo_collate([dataset[number]]))[0].pred_sem_seg
            row[f"predicted: {name}"] = color_labels(found.ensemble[0].numpy(), palette)
    save_png(work_dir / "pictures.png", draw_label_panel(rows))


def summarise(args: argparse.Namespace, scores: dict, seconds: dict[str, float]) -> dict:
    """What a reader needs to repeat the run and to compare with it."""
    from gemini_det3d.apis import demo

    common = demo.summarise(args, scores, seconds)
    return {**common, "scenes": {"train": args.train, "val": args.val}}


def _load(path: Path) -> tuple[Any, Any]:
    from mmengine.config import Config

    from gemini_det3d.apis.eval_sensors import load_segmentor

    config = Config.fromfile(path)
    checkpoint = Path((path.parent / "train" / "last_checkpoint").read_text().strip())
    return config, load_segmentor(config, checkpoint)
