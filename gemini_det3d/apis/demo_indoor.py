"""The whole pass in synthetic rooms: points alone against points and colour.

Tables and desks, and dressers and night stands, share their shapes and differ in colour, so the
image is worth what it adds there. Training and testing are mmdet3d's own scripts; the two
detectors train side by side, each on half of the cores. Each step that is done is left alone when
the demo is started again, and training goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.side_by_side import side_by_side

CONFIGS = {
    "points": "votenet_1xb4-30e_rooms-6class",
    "points + image": "votenet_gemini-point_r18_1xb4-30e_rooms-6class",
}
FUSED = "points + image"
CLASSES = ("bed", "chair", "table", "desk", "dresser", "night_stand")
NUM_PICTURES = 4
SHOWN = 0.3  # detections below this score are evaluated, but not drawn
_FREEZE_AT = 5 / 6  # share of the epochs after which statistics are frozen, as in the configs
EPILOG = """\
Writes summary.json (metrics, seconds, versions, seed), table.md, pictures and the detections as
text files into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    parser.add_argument("--data", type=Path, default=Path("data/rooms"), help="where rooms go")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo_indoor"))
    parser.add_argument("--train", type=int, default=200, help="training rooms")
    parser.add_argument("--val", type=int, default=50, help="test rooms, of other seeds")
    parser.add_argument("--epochs", type=int, default=24, help="of each training")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table."""
    from gemini_det3d.apis.demo import timed

    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    timed(seconds, "rooms", lambda: make_data(args))
    configs = write_configs(args, work_dir)
    timed(seconds, "training", lambda: side_by_side(train, configs))
    timed(seconds, "test", lambda: side_by_side(test, configs))
    evaluations = evaluate(args.data, work_dir)
    timed(seconds, "pictures", lambda: draw(args.data, work_dir))
    figures = {name: e.result.as_dict() for name, e in evaluations.items()}
    (work_dir / "table.md").write_text(table(figures, markdown=True) + "\n", encoding="utf-8")
    summary = summarise(args, figures, seconds)
    (work_dir / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(figures)}\n")
    print(f"{sum(seconds.values()) / 60:.1f} minutes; everything is in {args.work_dir}")
    return 0


def make_data(args: argparse.Namespace) -> None:
    """Write the rooms and mmdet3d's info files; what exists is kept.

    Raises:
        ConfigError: The check found faults; they are printed before.
    """
    from gemini_det3d.apis.prepare_sunrgbd import RoomOptions, prepare_sunrgbd
    from gemini_det3d.datasets.synthetic import make_rooms

    workers = os.cpu_count() or 1
    make_rooms(args.data, args.train, args.val, args.seed, preset="toy", workers=workers)
    if prepare_sunrgbd(RoomOptions(root=args.data, workers=workers)):
        raise ConfigError(f"{args.data}: the rooms have errors; they are listed above")


def folder_of(work_dir: Path, name: str) -> Path:
    """Where one detector's files go."""
    return work_dir / name.replace(" + ", "_")


def write_configs(args: argparse.Namespace, work_dir: Path) -> dict[str, Path]:
    """For each detector a config that inherits ours and names the demo's folders."""
    from mmengine.config import Config

    root = f"{args.data.resolve().as_posix()}/"
    paths = {}
    for name, base in CONFIGS.items():
        folder = folder_of(work_dir, name)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"_base_ = [{find_config(base).as_posix()!r}]",
            f"train_dataloader = dict(dataset=dict(dataset=dict(data_root={root!r})))",
            f"val_dataloader = dict(dataset=dict(data_root={root!r}))",
            f"test_dataloader = dict(dataset=dict(data_root={root!r}))",
            f"val_evaluator = dict(txt_dir={(folder / 'detections').as_posix()!r})",
            "test_evaluator = val_evaluator",
            f"randomness = dict(seed={args.seed})",
            "train_cfg = dict(val_interval=10**6)  # tested by tools/test.py afterwards",
        ]
        paths[name] = folder / "config.py"
        paths[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
        if args.epochs:
            config = Config.fromfile(paths[name])
            config.train_cfg.max_epochs = args.epochs
            config.param_scheduler[-1].update(end=args.epochs, T_max=max(1, args.epochs - 1))
            config.custom_hooks[0].begin = int(args.epochs * _FREEZE_AT)
            config.dump(paths[name])
    return paths


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


def test(name: str, config: Path, position: int, environment: dict[str, str]) -> None:
    """mmdet3d's tools/test.py on the last checkpoint."""
    from gemini_det3d.apis.demo import TEST, follow, script

    last = config.parent / "train" / "last_checkpoint"
    follow(
        [script("test"), config, last.read_text().strip(), "--work-dir", config.parent / "test"],
        config.parent / "test.log",
        TEST,
        title=name,
        position=position,
        **environment,
    )


def evaluate(data: Path, work_dir: Path) -> dict[str, Any]:
    """The figures of the written result files, as ``gemini-det3d eval-sunrgbd`` computes them."""
    from gemini_det3d.apis.eval_sunrgbd import evaluate_room_files

    truth = data / "sunrgbd_infos_val.pkl"
    return {
        name: evaluate_room_files(folder_of(work_dir, name) / "detections", truth, CLASSES)
        for name in CONFIGS
    }


def table(figures: Mapping[str, Mapping[str, float]], markdown: bool = False) -> str:
    """AP by class, detector beside detector, and the means.

    Args:
        figures: Percent by detector and key.
        markdown: Write a Markdown table.
    """
    columns = [(name, overlap) for overlap in ("0.25", "0.50") for name in figures]
    rows = [["AP", *(f"{name} @{overlap}" for name, overlap in columns)]]
    for label in (*CLASSES, "mean"):
        keys = {o: f"mAP_{o}" if label == "mean" else f"{label}_AP_{o}" for _, o in columns}
        rows.append([label, *(f"{figures[name][keys[o]]:.1f}" for name, o in columns)])
    if markdown:
        rows.insert(1, ["---", *["---:"] * len(columns)])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows
    )


def draw(data: Path, work_dir: Path) -> None:
    """Pictures of a few test rooms with truth and the fused detector's boxes."""
    import numpy as np

    from gemini_det3d.formats.kitti_sensors import read_image, read_points
    from gemini_det3d.formats.sunrgbd import SunInfos, read_results
    from gemini_det3d.visualization import draw_room_panel, save_png

    infos = SunInfos(data / "sunrgbd_infos_val.pkl")
    for frame in infos.frames[:NUM_PICTURES]:
        found = read_results(folder_of(work_dir, FUSED) / "detections" / f"{frame}.txt")
        shown = np.ones(len(found)) if found.scores is None else found.scores
        panel = draw_room_panel(
            read_image(data / "sunrgbd_trainval" / "image" / infos.image_name(frame)),
            read_points(data / "points" / f"{frame}.bin", num_features=6),
            infos.depth2img(frame),
            found.select(shown >= SHOWN),
            infos.objects(frame),
        )
        save_png(work_dir / "pictures" / f"{frame}.png", panel)


def summarise(args: argparse.Namespace, figures: dict, seconds: dict[str, float]) -> dict:
    """What a reader needs to repeat the run and to compare with it."""
    import platform
    from importlib import metadata

    from gemini_det3d.apis.demo import PACKAGES

    return {
        "metrics": figures,
        "seconds": seconds,
        "seed": args.seed,
        "configs": CONFIGS,
        "rooms": {"train": args.train, "val": args.val},
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
        "python": platform.python_version(),
    }
