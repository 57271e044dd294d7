"""Whole commands under test: how each is called, and which of its files are spoilt."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gemini_det3d.cli import main
from tests.fuzz.harness import LONGEST_S, MOST_BYTES, peak_bytes


@dataclass(frozen=True)
class Command:
    """A command and the files that it reads.

    Attributes:
        line: Its arguments; paths are relative to the folder of good inputs, ``{out}`` is a fresh
            one for results.
        files: Those of the folder that are spoilt, one at a time.
        usual: Exit code with good inputs.
    """

    line: str
    files: tuple[str, ...]
    usual: int = 0


_FRAME = ("training/image_2/000001.png", "training/velodyne/000001.bin",
          "training/calib/000001.txt")  # fmt: skip
_KITTI = tuple(f"tree/{name}" for name in _FRAME)
_ROOMS = "rooms/sunrgbd_trainval"
COMMANDS = {
    "infer": Command(
        "infer --config detector.py --checkpoint detector.pth --image {0} --points {1} --calib {2} "
        "--out {out}".format(*_KITTI, out="{out}"),
        (*_KITTI, "detector.pth", "detector.py"),
    ),
    "prepare kitti": Command(
        "prepare kitti tree --check-only --workers 1",
        (*_KITTI, "tree/training/label_2/000001.txt", "tree/ImageSets/train.txt"),
    ),
    "prepare sunrgbd": Command(
        "prepare sunrgbd rooms --out {out} --workers 1",
        tuple(f"{_ROOMS}/{name}" for name in ("image/000001.jpg", "depth/000001.mat",
              "calib/000001.txt", "label/000001.txt", "train_data_idx.txt")),
    ),
    "prepare segmentation": Command(
        "prepare segmentation nyu --kind nyudv2 --workers 1",
        ("nyu/rgb/0.png", "nyu/labels/0.png", "nyu/depth/0.png", "nyu/train.txt"),
    ),
    "eval-kitti": Command("eval-kitti found truth --split split.txt",
                          ("found/000001.txt", "truth/000001.txt", "split.txt")),
    "eval-kitti of infos": Command("eval-kitti found tree/kitti_infos_train.pkl",
                                   ("tree/kitti_infos_train.pkl",)),
    "eval-sunrgbd": Command("eval-sunrgbd rooms_found rooms/sunrgbd_infos_train.pkl",
                            ("rooms_found/000001.txt", "rooms/sunrgbd_infos_train.pkl")),
    "convert-checkpoint": Command("convert-checkpoint segmentor.pth {out}/o.pth",
                                  ("segmentor.pth",), usual=1),  # ours needs no conversion
    "convert-infos": Command("convert-infos copy.pkl", ("copy.pkl",)),
    "draw": Command(
        "draw detector.py detector.pth --frames 1 --out {out}",
        ("tree/training/velodyne_reduced/000002.bin", "tree/training/image_2/000002.png",
         "tree/kitti_infos_val.pkl", "detector.pth", "detector.py"),
    ),
    "view": Command(
        "view tree --results found --max-frames 1 --out {out}/v.html",
        (*_KITTI, "tree/training/label_2/000001.txt", "found/000001.txt"),
    ),
    "view of infos": Command("view tree/kitti_infos_train.pkl --max-frames 1 --out {out}/v.html",
                             ("tree/kitti_infos_train.pkl",)),
    "view of a config": Command(
        "view detector.py --max-frames 1 --out {out}/v.html",
        ("tree/training/velodyne_reduced/000002.bin", "tree/training/image_2/000002.png",
         "tree/kitti_infos_val.pkl", "detector.py"),
    ),
    "view of rooms": Command("view rooms --max-frames 1 --out {out}/v.html",
                             tuple(f"{_ROOMS}/{n}" for n in ("image/000001.jpg", "depth/000001.mat",
                                   "calib/000001.txt", "label/000001.txt"))),
    "view of labels": Command("view nyu --max-frames 1 --out {out}/v.html",
                              ("nyu/rgb/0.png", "nyu/labels/0.png", "nyu/depth/0.png",
                               "nyu/train.txt")),
    "check-alignment": Command(
        "check-alignment detector.py --samples 1 --pictures 0",
        ("tree/training/velodyne_reduced/000001.bin", "tree/training/image_2/000001.png",
         "tree/kitti_infos_train.pkl", "detector.py"),
    ),
    "translate": Command("translate translator.py translator.pth views/a.png views/b.png "
                         "--out {out}",
                         ("views/a.png", "views/b.png", "translator.pth", "translator.py")),
    "report": Command("report work --out {out}", ("work/20260101/vis_data/scalars.json",
                      "work/20260101/vis_data/config.py", "work/20260101/20260101.log")),
    "train": Command(
        "train trained.py --work-dir {out}",
        ("tree/training/velodyne_reduced/000001.bin", "tree/training/image_2/000001.png",
         "tree/kitti_infos_train.pkl", "detector.pth", "trained.py"),
    ),
    "train --resume": Command(
        "train resumable.py --work-dir resumed --resume",
        ("resumed/iter_1.pth", "resumed/iter_1.pth.json", "resumed/last_checkpoint",
         "resumable.py"),
    ),
    "prepare kitti and convert": Command(
        "prepare kitti raw --workers 1 --force",
        tuple(f"raw/{name}" for name in (*_FRAME, "training/label_2/000001.txt",
              "ImageSets/train.txt", "kitti_infos_train.pkl")),
    ),
    "test": Command(
        "test detector.py detector.pth --work-dir {out}",
        ("tree/training/velodyne_reduced/000002.bin", "tree/training/image_2/000002.png",
         "tree/kitti_infos_val.pkl", "detector.pth"),
    ),
    "eval-robustness": Command(
        "eval-robustness detector.py detector.pth --corruptions fog --severities 1 --frames 1 "
        "--out {out} --baseline baseline.json",
        ("baseline.json", "detector.pth"),
    ),
}  # fmt: skip


def faults_of(
    name: str, folder: Path, file: str, contents: Iterable[tuple[str, bytes]], out: Path
) -> list[str]:
    """Run a command once for every content of one of its files.

    Args:
        name: One of ``COMMANDS``.
        folder: Good inputs; they are good again afterwards.
        file: Which file.
        contents: What was done to it, and the content.
        out: Where results go.

    Returns:
        A line for each run that ended in anything but a known exit code with, where it is 2, one
        line that says why, within a second and a gibibyte more than on good inputs.
    """
    path = folder / file
    good = path.read_bytes()
    usual = _usual_seconds(name, folder, out)
    faults = []
    try:
        for what, content in contents:
            path.write_bytes(content)
            before = peak_bytes()
            fault, _, seconds = _run(name, folder, out)
            if seconds > usual + LONGEST_S:
                fault = f"{fault}; took {seconds:.1f} s, usually {usual:.1f}"
            if peak_bytes() - before > MOST_BYTES:
                fault = f"{fault}; took {(peak_bytes() - before) >> 20} MiB"
            if fault:
                faults.append(f"{name}, {file}, {what}: {fault}")
    finally:
        path.write_bytes(good)
    return faults


@cache
def _usual_seconds(name: str, folder: Path, out: Path) -> float:
    """CPU time of a run on good inputs, which must end well."""
    fault, code, seconds = _run(name, folder, out)
    assert not fault and code == COMMANDS[name].usual, f"good inputs: {fault or code}"
    return seconds


def _run(name: str, folder: Path, out: Path) -> tuple[str, int, float]:
    """What is wrong with a run, its exit code, and its CPU time in seconds."""
    _forget_runs()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    words = [word.replace("{out}", str(out)) for word in COMMANDS[name].line.split()]
    words = [str(folder / word) if (folder / word).exists() else word for word in words]
    said, told = io.StringIO(), io.StringIO()
    started = time.process_time()
    fault, code = "", -1
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(told),
    ):
        warnings.simplefilter("ignore")
        try:
            code = main(words)
        except (Exception, SystemExit) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    seconds = time.process_time() - started
    return fault or _judged(words[0], code, told.getvalue()), code, seconds


def _forget_runs() -> None:
    """mmengine keeps a run's logger and pictures by its name, which has the second in it."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer

    kinds = [MMLogger, MessageHub, Visualizer]
    for kind in kinds:
        kind._instance_dict.clear()
        kinds += kind.__subclasses__()


def _judged(name: str, code: int, told: str) -> str:
    if "Traceback (most recent" in told:
        return f"a traceback: {told[-300:]}"
    if code not in (0, 1, 2):
        return f"exit code {code}: {told[-300:]}"
    if code == 2:
        _, found, reason = told.rpartition(f"gemini-det3d {name}: ")
        if not found or "\n" in reason.rstrip("\n") or not reason.strip():
            return f"no one line: {told[-300:]!r}"
    return ""


def restructured_infos(path: Path, number: int, seed: int) -> Iterable[tuple[str, bytes]]:
    """Info files in which one value is of another kind, or gone."""
    from tests.fuzz.mutations import restructured

    for what, content in restructured(pickle.loads(path.read_bytes()), number, seed):
        yield what, pickle.dumps(content)
