"""One training of the demo: its config, its process, its metrics.

The protocol's encoders start from ImageNet's weights. Here the streams of a task first learn by
themselves, both sources and no fusion; every training that is compared starts from that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.demo import TRAINING, script

_OPERATOR_OF_CONFIG = "GeminiFusion"
OPERATORS = (_OPERATOR_OF_CONFIG, "TokenExchangeFusion", "ConcatFusion")
_RESULT = "metrics.json"
# Of the generator, after the common start: half of the config's.
_LEARNING_RATE = 2e-3
_SCHEDULE = """\
train_cfg = dict(max_epochs={epochs}, val_interval={val_interval})
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=40),
    dict(type="CosineAnnealingLR", end={epochs}, T_max={epochs}, eta_min=1e-5,
         convert_to_iter_based=True),
]"""


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


@dataclass
class Run:
    """A training.

    Attributes:
        task: One of ``TASKS``.
        sources: Domains in: all of the task's, or one.
        operator: Registered name; None: no fusion.
        data: Folder of the views.
        seed: Of the training.
        epochs: How long it trains.
        start: Where it starts from; None: from nothing, and it is not tested.
        folder: Where it goes; set by `prepare`.
    """

    task: str
    sources: tuple[str, ...]
    operator: str | None
    data: Path
    seed: int
    epochs: int
    start: Run | None = None
    folder: Path = Path()

    @property
    def name(self) -> str:
        """For folders and headings."""
        if self.start is None:
            return "start"
        return self.operator or f"only-{self.sources[0]}"

    @property
    def config(self) -> Path:
        """The written config; beside the folder, where the training leaves a copy of its own."""
        return self.folder.parent / f"{self.folder.name}.py"

    def prepare(self, folder: Path) -> None:
        """Write the config, or see that the one that is there says the same.

        Raises:
            ConfigError: The folder was used with other options.
        """
        self.folder = folder
        text = config_text(self)
        if self.config.exists() and self.config.read_text(encoding="utf-8") != text:
            raise ConfigError(f"{folder} was made with other options; use another --work-dir")
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text, encoding="utf-8")

    def metrics(self) -> dict | None:
        """What the finished training measured, or None."""
        path = self.folder / _RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def checkpoint(self) -> Path:
        """The last one, which need not be there yet."""
        return self.folder / f"epoch_{self.epochs}.pth"


class Progress:
    """One bar for all trainings, in epochs."""

    def __init__(self, runs: Sequence[Run], title: str) -> None:
        self._lock = threading.Lock()
        self._done: dict[Path, float] = {}
        form = "{l_bar}{bar}| {n:.1f}/{total} [{elapsed}{postfix}]"
        total = sum(run.epochs for run in runs)
        self._bar = tqdm(total=total, unit="epoch", desc=title, bar_format=form)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, run: Run, epochs: float, note: str = "") -> None:
        """Say how far a training is."""
        with self._lock:
            self._done[run.folder] = epochs
            self._bar.n = sum(self._done.values())
            if note:
                self._bar.set_postfix_str(f"{run.folder.name}: {note}", refresh=False)
            self._bar.refresh()


def config_text(run: Run) -> str:
    """A config that inherits the task's and says what is different."""
    lines = [
        f"_base_ = [{find_config(TASKS[run.task].config).as_posix()!r}]",
        f"task = dict(data_root={run.data.as_posix() + '/'!r}, sources={list(run.sources)!r})",
        "train_dataloader = dict(dataset=task)",
        "val_dataloader = dict(dataset=task)",
        "test_dataloader = val_dataloader",
        f"randomness = dict(seed={run.seed})",
    ]
    generator, init = "", None
    if len(run.sources) == 1:
        generator = "num_sources=1"
    elif run.operator is None:
        generator = "last_k=0"
    elif run.operator != _OPERATOR_OF_CONFIG:
        generator = f"operator=dict(_delete_=True, type={run.operator!r}, num_heads=4)"
    if run.start is not None:
        streams = [run.start.sources.index(source) for source in run.sources]
        checkpoint = run.start.checkpoint().as_posix()
        init = dict(type="PretrainedStreams", checkpoint=checkpoint, streams=streams)
        rate = f"generator=dict(optimizer=dict(lr={_LEARNING_RATE}))"
        lines.append(f"optim_wrapper = dict(modules=dict({rate}))")
    lines.append(f"model = dict(generator=dict({generator}), init_cfg={init!r})")
    val_interval = run.epochs + (run.start is None)
    lines.append(_SCHEDULE.format(epochs=run.epochs, val_interval=val_interval))
    return "\n".join(lines) + "\n"


def train(run: Run, progress: Progress, threads: int = 1) -> dict:
    """mmdet3d's tools/train.py, going on where an earlier run of it was cut off.

    Args:
        run: A prepared training; a finished one is left alone.
        progress: Told how far it is.
        threads: For torch.

    Returns:
        The metrics of its last validation; none of a start.

    Raises:
        ConfigError: It failed; the message holds its last line and names the log.
    """
    if run.metrics() is None:
        command = [script("train"), run.config, "--work-dir", run.folder, "--resume", "auto"]
        log = run.folder / "train.log"
        _follow(command, log, threads, lambda done, loss: progress.show(run, done, f"loss {loss}"))
        found = _last_metrics(run.folder) if run.start else {}
        (run.folder / _RESULT).write_text(json.dumps(found) + "\n", encoding="utf-8")
    progress.show(run, run.epochs)
    return run.metrics() or {}


def _follow(command: Sequence[object], log: Path, threads: int, show) -> None:
    last = ""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(os.environ, PYTHONUNBUFFERED="1", PYTHONWARNINGS="ignore",
                     OMP_NUM_THREADS=str(threads)),
        )  # fmt: skip
        for line in process.stdout or ():
            file.write(line)
            last = line.strip() or last
            match = re.search(TRAINING, line)
            if match:
                epoch, iteration, per_epoch, loss = match.groups()
                show(int(epoch) - 1 + int(iteration) / int(per_epoch), loss)
    if process.wait():
        raise ConfigError(f"{Path(str(command[0])).name} failed: {last} (all of it: {log})")


def _last_metrics(folder: Path) -> dict:
    """The newest line of mmengine's logs that a validation wrote."""
    logs = sorted(folder.glob("*/vis_data/scalars.json"), key=lambda path: path.parts[-3])
    for log in reversed(logs):
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        found = [line for line in lines if "translation/MAE" in line]
        if found:
            return {k.split("/", 1)[1]: v for k, v in found[-1].items() if "/" in k}
    raise ConfigError(f"{folder}: training ended without a validation")
