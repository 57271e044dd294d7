"""The whole pass on a synthetic world: scenes, conversion, training, test, table, pictures.

Every step is what a user would run by hand; training and testing are mmdet3d's own scripts. Each
step that is done is left alone when the demo is started again, and training goes on where it was
cut off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError, find_config, mmdet3d_mim

CONFIG = "mvxnet_gemini-point_r18_1xb2-6e_scenes-3class"
PACKAGES = ("torch", "numpy", "mmengine", "mmcv", "mmdet", "mmdet3d", "spconv", "gemini_det3d")
NUM_PICTURES = 4
SHOWN = 0.3  # detections below this score are evaluated, but not drawn
RANGE_M = (0, -20, 45, 20)  # what the pictures show from above
# What mmengine prints: epoch, iteration, iterations per epoch, loss (no epoch and loss in a test).
TRAINING = r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*? loss: ([\d.]+|nan)"
TEST = r"Epoch\(test\)\s+()\[\s*(\d+)/(\d+)\]()"
EPILOG = """\
Writes summary.json (metrics, seconds, versions, seed), table.md, pictures and the detections as
KITTI text files into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    parser.add_argument("--config", default=CONFIG, help="a config, by path or name")
    parser.add_argument("--data", type=Path, default=Path("data/scenes"), help="where scenes go")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo"))
    parser.add_argument("--train", type=int, default=160, help="training scenes")
    parser.add_argument("--val", type=int, default=60, help="test scenes, of other seeds")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table."""
    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    timed(seconds, "scenes", lambda: make_scenes(args))
    timed(seconds, "conversion", lambda: convert(args.data))
    config = write_config(args, work_dir)
    timed(seconds, "training", lambda: train(config, work_dir))
    timed(seconds, "test", lambda: test(config, work_dir))
    evaluation = evaluate(args.data, work_dir)
    timed(seconds, "pictures", lambda: draw(args.data, work_dir))
    (work_dir / "table.md").write_text(evaluation.report(markdown=True) + "\n", encoding="utf-8")
    summary = summarise(args, evaluation.result.as_dict(), seconds)
    (work_dir / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"\n{evaluation.report()}\n")
    print(f"{sum(seconds.values()) / 60:.1f} minutes; everything is in {args.work_dir}")
    return 0


def timed(seconds: dict[str, float], name: str, step: Callable[[], object]) -> None:
    """Run a step, say so, and note how long it took."""
    print(f"demo: {name}", flush=True)
    started = time.perf_counter()
    step()
    seconds[name] = round(time.perf_counter() - started, 1)


def make_scenes(args: argparse.Namespace) -> None:
    """Write the scenes; those that exist are kept."""
    from gemini_det3d.datasets.synthetic import make_kitti_scenes

    make_kitti_scenes(
        args.data, args.train, args.val, args.seed, preset="toy", workers=os.cpu_count() or 1
    )


def convert(data: Path) -> None:
    """Check the scenes and write mmdet3d's info files.

    Raises:
        ConfigError: The check or the converter found faults; they are printed before.
    """
    from gemini_det3d.apis.prepare_kitti import Options, prepare_kitti

    if prepare_kitti(Options(root=data, workers=os.cpu_count() or 1)):
        raise ConfigError(f"{data}: the scenes have errors; they are listed above")


def write_config(args: argparse.Namespace, work_dir: Path) -> Path:
    """A config that inherits the chosen one and names the demo's folders."""
    root = f"{args.data.resolve().as_posix()}/"
    lines = [
        f"_base_ = [{find_config(args.config).as_posix()!r}]",
        f"train_dataloader = dict(dataset=dict(dataset=dict(data_root={root!r})))",
        f"val_dataloader = dict(dataset=dict(data_root={root!r}))",
        f"test_dataloader = dict(dataset=dict(data_root={root!r}))",
        f"val_evaluator = dict(ann_file={root + 'kitti_infos_val.pkl'!r}, "
        f"txt_dir={(work_dir / 'detections').as_posix()!r})",
        "test_evaluator = val_evaluator",
        f"randomness = dict(seed={args.seed})",
        "train_cfg = dict(val_interval=10**6)  # tested by tools/test.py afterwards",
    ]
    path = work_dir / "config.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train(config: Path, work_dir: Path) -> None:
    """mmdet3d's tools/train.py, going on where an earlier run of it was cut off."""
    from mmengine.config import Config

    follow(
        [script("train"), config, "--work-dir", work_dir / "train", "--resume", "auto"],
        work_dir / "train.log",
        TRAINING,
        epochs=Config.fromfile(config).train_cfg.max_epochs,
    )


def test(config: Path, work_dir: Path) -> None:
    """mmdet3d's tools/test.py on the last checkpoint."""
    checkpoint = Path((work_dir / "train" / "last_checkpoint").read_text().strip())
    follow(
        [script("test"), config, checkpoint, "--work-dir", work_dir / "test"],
        work_dir / "test.log",
        TEST,
    )


def script(name: str) -> Path:
    """One of mmdet3d's own scripts."""
    return mmdet3d_mim() / "tools" / f"{name}.py"


def follow(
    command: Sequence[object],
    log: Path,
    pattern: str,
    epochs: int = 1,
    title: str | None = None,
    position: int | None = None,
    **environment: str,
) -> None:
    """Run a script with its output in a file and its progress on the screen.

    Args:
        command: The script and its arguments.
        log: Where all of its output goes.
        pattern: Groups: epoch, iteration, iterations per epoch, loss.
        epochs: How many there will be.
        title: What the progress display says, for several side by side.
        position: Line of the display, for several side by side.
        **environment: Variables for the script.

    Raises:
        ConfigError: The script failed; the message holds its last line and names the log.
    """
    last = ""
    bar = tqdm(desc=title, position=position, unit="it", leave=True)
    with log.open("w", encoding="utf-8") as file, bar:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", **environment},
        )
        for line in process.stdout:
            file.write(line)
            last = line.strip() or last
            match = re.search(pattern, line)
            if match:
                show(bar, *match.groups(), epochs=epochs)
    if process.wait():
        raise ConfigError(f"{Path(str(command[0])).name} failed: {last} (all of it: {log})")


def show(bar: tqdm, epoch: str, iteration: str, per_epoch: str, loss: str, epochs: int = 1) -> None:
    """Move the bar to where the script says it is."""
    bar.total = epochs * int(per_epoch)
    bar.n = int(iteration) + (int(epoch or 1) - 1) * int(per_epoch)
    if epoch:
        bar.set_postfix_str(f"epoch {epoch} of {epochs}, loss {loss}")
    bar.refresh()


def evaluate(data: Path, work_dir: Path):
    """KITTI's table from the written result files, as ``gemini-det3d eval-kitti`` computes it."""
    from gemini_det3d.apis.eval_kitti import evaluate_files

    return evaluate_files(
        work_dir / "detections",
        data / "training" / "label_2",
        classes=("Pedestrian", "Cyclist", "Car"),
        split=data / "ImageSets" / "val.txt",
    )


def draw(data: Path, work_dir: Path) -> None:
    """Pictures of a few test scenes with truth and detections."""
    from gemini_det3d.formats.kitti import (
        read_calibration,
        read_image,
        read_objects,
        read_points,
        to_lidar_boxes,
    )
    from gemini_det3d.visualization import LabeledBoxes, draw_detection_panel, save_png

    frames = (data / "ImageSets" / "val.txt").read_text().split()
    folder = data / "training"
    for frame in frames[:NUM_PICTURES]:
        calibration = read_calibration(folder / "calib" / f"{frame}.txt")
        truth = read_objects(folder / "label_2" / f"{frame}.txt")
        truth = truth.select(truth.name != "DontCare")
        found = read_objects(work_dir / "detections" / f"{frame}.txt")
        panel = draw_detection_panel(
            read_image(folder / "image_2" / f"{frame}.png"),
            read_points(folder / "velodyne" / f"{frame}.bin"),
            calibration.lidar2img,
            LabeledBoxes(to_lidar_boxes(found, calibration), found.name, found.score).above(SHOWN),
            LabeledBoxes(to_lidar_boxes(truth, calibration), truth.name),
            range_m=RANGE_M,
        )
        save_png(work_dir / "pictures" / f"{frame}.png", panel)


def summarise(args: argparse.Namespace, metrics: dict, seconds: dict[str, float]) -> dict:
    """What a reader needs to repeat the run and to compare with it."""
    return {
        "metrics": metrics,
        "seconds": seconds,
        "seed": args.seed,
        "config": args.config,
        "scenes": {"train": args.train, "val": args.val},
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
        "python": platform.python_version(),
    }
