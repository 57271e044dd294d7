"""What all demos do alike: timed steps, a table, and a summary to repeat the pass by."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.machine import facts
from gemini_det3d.apis.reports import REPORT, facts_section, find_trainings, write_report
from gemini_det3d.apis.reports.training_report import training_sections
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.formats.files import make_folder
from gemini_det3d.formats.text import write_json, write_text
from gemini_det3d.visualization.report import Section, Table

SHOWN = 0.3  # detections below this score are evaluated, but not drawn
NUM_PICTURES = 4


class DemoPass:
    """One pass of a demo.

    Args:
        args: Its arguments; ``work_dir`` is where everything goes.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.work_dir = make_folder(args.work_dir.resolve())
        self.seconds: dict[str, float] = {}

    def step(self, name: str, do: Callable[..., Any], *arguments: Any) -> Any:
        """Do one step, say so, and note how long it took; what it returns."""
        print(f"demo: {name}", flush=True)
        started = time.perf_counter()
        result = do(*arguments)
        self.seconds[name] = round(time.perf_counter() - started, 1)
        return result

    def finish(
        self,
        metrics: Mapping,
        table: str,
        shown: str | None = None,
        sections: Sequence[Section] = (),
        base: str | None = None,
    ) -> int:
        """Write table, summary and report, and print the table.

        Args:
            metrics: For the summary.
            table: Markdown.
            shown: What is printed; None: the table.
            sections: Of the report, before its trainings.
            base: Config that the first of these comes from.

        Returns:
            The command's exit code.
        """
        write_text(self.work_dir / "table.md", table + "\n")
        given = {name: _plain(value) for name, value in vars(self.args).items()}
        content = {"metrics": metrics, "seconds": self.seconds, "arguments": given, **facts()}
        write_json(self.work_dir / "summary.json", content)
        print(f"\n{shown or table}\n")
        minutes = sum(self.seconds.values()) / 60
        print(f"{minutes:.1f} minutes; everything is in {self.args.work_dir}")
        self._report(sections, base)
        print(f"report: {self.args.work_dir / REPORT}")
        return 0

    def _report(self, sections: Sequence[Section], base: str | None) -> None:
        trainings = find_trainings(self.work_dir)
        own = training_sections(trainings, base) if trainings else []
        times = Table("Steps", ["step", "seconds"], list(self.seconds.items()), digits=1)
        repeat = facts_section({"seed": getattr(self.args, "seed", None)})
        write_report(self.work_dir, self.work_dir.name, [*sections, *own, times, repeat])


def add_size_arguments(
    parser: argparse.ArgumentParser,
    things: str,
    work_dir: str,
    train: int,
    val: int,
    epochs: int | None = None,
) -> None:
    """Sizes and places that every demo has; the defaults are the demo.

    Args:
        parser: The command's.
        things: What the data set is made of; it goes to ``data/`` by this name.
        work_dir: Where results go.
        train: Of them for training.
        val: For tests.
        epochs: Of each training; None: the config's.
    """
    add, named = parser.add_argument, things.replace("seg_", "")
    add("--data", type=Path, default=Path("data", things), help=f"{named} (%(default)s)")
    add("--work-dir", type=Path, default=Path(work_dir), help="(%(default)s)")
    add("--train", type=int, default=train, help=f"training {named} (%(default)s)")
    add("--val", type=int, default=val, help=f"test {named}, of other seeds (%(default)s)")
    of = "the config's" if epochs is None else epochs
    add("--epochs", type=int, default=epochs, help=f"of each training ({of})")
    add("--seed", type=int, default=0, help="(%(default)s)")


def load_config(name: str, root: Path, seed: int, epochs: int | None = None) -> Any:
    """A config on the demo's data.

    Args:
        name: Path or name.
        root: Of the data set.
        seed: Of the training.
        epochs: Of the training; the fall of the learning rate ends with it. None: the config's.

    Raises:
        ConfigError: There is no such config, or too few epochs.
    """
    config = read_config(name)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        for dataset in leaf_configs(loader.dataset):
            dataset.data_root = f"{root.resolve().as_posix()}/"
    config.randomness = {"seed": seed}
    if epochs is not None:
        set_epochs(config, epochs)
    return config


def begin_of_fall(config: Any) -> int:
    """Epochs before the learning rate begins to fall."""
    return config.param_scheduler[-1].get("begin", 0)


def set_epochs(config: Any, epochs: int) -> None:
    """Let a training and the fall of its learning rate end after so many epochs.

    Raises:
        ConfigError: They are over before the fall begins.
    """
    last, begin = config.param_scheduler[-1], begin_of_fall(config)
    if epochs <= begin:
        raise ConfigError(
            f"--epochs {epochs}: must be {begin + 1} or more, {begin} of them to rise"
        )
    config.train_cfg.max_epochs = epochs
    last.update(end=epochs, T_max=epochs - begin)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
