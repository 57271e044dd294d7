"""Trainings and tests by mmdet3d's own scripts, several at a time, that go on where they stopped.

A run's folder holds its logs, mmdet3d's work directories and, when it is done, `result.json`. That
file is written last: a run that has it is finished and is only read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError, mmdet3d_mim
from gemini_det3d.apis.devices import DevicePool, visible_gpus
from gemini_det3d.apis.doctor_speed import busy_line
from gemini_det3d.apis.machine import num_cores, num_threads
from gemini_det3d.apis.process import Programs
from gemini_det3d.apis.run_progress import Progress
from gemini_det3d.apis.work_dir import last_checkpoint, read_losses, read_metrics
from gemini_det3d.formats.files import make_folder
from gemini_det3d.formats.locks import alone
from gemini_det3d.formats.text import read_json, write_json, write_text

# What mmengine prints: epoch, iteration, iterations per epoch, loss (a test has iterations alone).
TRAINING = r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\](?:.*? loss: ([\d.]+|nan))?"
TEST = r"Epoch\(test\)\s+\[\s*(\d+)/(\d+)\]"
_TEST_SHARE = 0.1  # of a run's time, for the progress bar only
_UNTESTED = {f"val_{name}": None for name in ("cfg", "dataloader", "evaluator")}  # the test is next


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        name: For people.
        config: Path of the config.
        folder: Where everything goes.
        epochs: How long it trains.
        fingerprint: Of all that decides its result.
        options: What differs from the config, dotted key -> value.
        with_test: False: it is trained only, for others to start from.
    """

    name: str
    config: Path
    folder: Path
    epochs: int
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    with_test: bool = True

    @property
    def result_file(self) -> Path:
        """Written when the run is done."""
        return self.folder / "result.json"

    @property
    def checkpoint(self) -> Path:
        """Of the last epoch; it need not be there yet."""
        return self.folder / "train" / f"epoch_{self.epochs}.pth"

    def result(self) -> dict | None:
        """What a finished run found; None when it is not finished.

        Raises:
            ConfigError: The folder holds a run of other settings, finished or under way.
        """
        mark = self.folder / "fingerprint"
        done = self.result_file.is_file()
        result = read_json(self.result_file) if done else None
        if result is not None:
            found = result["fingerprint"]
        elif mark.is_file() and (self.folder / "train" / "last_checkpoint").is_file():
            found = mark.read_text(encoding="utf-8").strip()
        else:  # nothing that would go on
            return None
        if found != self.fingerprint:
            raise ConfigError(f"{self.folder}: was made with other settings; use another folder")
        return result


@dataclass(frozen=True)
class Scripts:
    """The programs that train and test; mmdet3d's, unless a test puts others in their place."""

    train: Path
    test: Path

    @classmethod
    def of_mmdet3d(cls) -> Scripts:
        """The ones in its wheel.

        Raises:
            ConfigError: It is not installed.
        """
        tools = mmdet3d_mim() / "tools"
        return cls(tools / "train.py", tools / "test.py")


def fingerprint(text: str, options: Mapping[str, Any] | None = None) -> str:
    """Short name of a config's content and of what is changed in it."""
    content = json.dumps([text, sorted((k, str(v)) for k, v in (options or {}).items())])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def declare(name: str, config: Any, folder: Path, with_test: bool = True) -> Run:
    """A run of a config that has been changed; it is written into the folder.

    Args:
        name: For people.
        config: mmengine's config.
        folder: Of this run alone; made.
        with_test: See `Run`.

    Raises:
        ConfigError: The folder holds a run of other settings.
    """
    mark = fingerprint(json.dumps(config.to_dict(), sort_keys=True, default=str))
    run = Run(name, folder / "config.py", folder, config.train_cfg.max_epochs, mark,
              with_test=with_test)  # fmt: skip
    run.result()
    make_folder(folder)
    config.dump(run.config)
    return run


def run_all(
    runs: Sequence[Run],
    jobs: int | None = None,
    scripts: Scripts | None = None,
    threads: int | None = None,
) -> dict[Path, dict | str]:
    """Train and test all of them; one that fails does not end the others.

    Args:
        runs: What to do, in this order; those that are finished are only read.
        jobs: How many at a time, each on its share of the cores and on the GPU that fewest have;
            None: one a GPU, or one a core.
        scripts: How; None: by mmdet3d's.
        threads: Of each; None: its share of the cores, or OMP_NUM_THREADS if less. On a machine
            that does other things, too, they wait for each other at every operation.

    Returns:
        By folder: the result, or one line that says why there is none.

    Raises:
        ConfigError: A folder holds a run of other settings, or mmdet3d is not there.
    """
    found: dict[Path, dict | str | None] = {run.folder: run.result() for run in runs}
    left = [run for run in runs if found[run.folder] is None]
    gpus = visible_gpus()
    devices = DevicePool(gpus)
    jobs = jobs or max(1, min(len(gpus) or num_cores(), len(runs)))
    threads = threads or num_threads(jobs)
    if left and not gpus:
        _tell_of_busy_cores(threads)
    programs = Programs(threads)
    scripts = scripts or Scripts.of_mmdet3d()
    with Progress(runs) as progress, ThreadPoolExecutor(jobs) as pool:
        for run in runs:
            progress.move(run, float(run not in left))
        tools = scripts, programs, devices, progress
        futures = {pool.submit(_execute_on_a_gpu, run, *tools): run for run in left}
        try:
            for future in as_completed(futures):
                run = futures[future]
                try:
                    found[run.folder] = future.result()
                except Exception as error:  # this run's alone, whatever it is
                    line = " ".join(str(error).split()) or type(error).__name__
                    found[run.folder] = line
                    tqdm.write(f"{run.name}: {line}")
                progress.move(run, 1.0)
        except BaseException:  # interrupted: nothing may go on alone
            pool.shutdown(wait=False, cancel_futures=True)
            programs.stop()
            raise
    return found


def run_or_fail(runs: Sequence[Run], jobs: int | None = None) -> list[dict]:
    """Results of all of them, in their order.

    Raises:
        ConfigError: One failed, said after all have ended.
    """
    found = run_all(runs, jobs)
    for run in runs:
        if isinstance(found[run.folder], str):
            raise ConfigError(f"{run.name}: {found[run.folder]}")
    return [found[run.folder] for run in runs]


def execute_alone(run: Run, scripts: Scripts, threads: int, gpu: str | None = None) -> dict:
    """Train and test one run in this process; see `run_all`.

    Args:
        run: What to do.
        scripts: How.
        threads: Of it.
        gpu: Which one it sees, as `CUDA_VISIBLE_DEVICES` takes it; None: what this process sees.
    """
    with Progress([run]) as progress, DevicePool([gpu] if gpu else []).lend() as environment:
        return _execute(run, scripts, Programs(threads), environment, progress)


def _execute_on_a_gpu(
    run: Run, scripts: Scripts, programs: Programs, devices: DevicePool, progress: Progress
) -> dict:
    with devices.lend() as environment:
        return _execute(run, scripts, programs, environment, progress)


def _execute(
    run: Run,
    scripts: Scripts,
    programs: Programs,
    environment: Mapping[str, str],
    progress: Progress,
) -> dict:
    """What `result.json` holds; only read where another process has finished the run meanwhile."""
    with alone(make_folder(run.folder), "training"):
        return run.result() or _train_and_test(run, scripts, programs, environment, progress)


def _train_and_test(
    run: Run,
    scripts: Scripts,
    programs: Programs,
    environment: Mapping[str, str],
    progress: Progress,
) -> dict:
    """What `result.json` holds: metrics, losses by epoch, minutes, peak memory of the training.

    Of a training that went on where another process was cut off nobody knows the minutes: None.
    """
    write_text(run.folder / "fingerprint", run.fingerprint + "\n")
    train_dir, test_dir = run.folder / "train", run.folder / "test"
    options = ["--cfg-options", *(f"{k}={v}" for k, v in {**run.options, **_UNTESTED}.items())]
    share = _TEST_SHARE if run.with_test else 0.0

    def trained(epoch: str, iteration: str, per_epoch: str, loss: str | None) -> None:
        done = (int(epoch) - 1 + int(iteration) / int(per_epoch)) / run.epochs
        note = f"epoch {epoch} of {run.epochs}" + (f", loss {loss}" if loss else "")
        progress.move(run, (1 - share) * min(done, 1.0), note)

    def tested(iteration: str, total: str) -> None:
        progress.move(run, 1 - share * (1 - int(iteration) / int(total)), "test")

    is_resumed, started = (train_dir / "last_checkpoint").is_file(), time.perf_counter()
    resume = ["--resume", "auto"] if is_resumed else []  # the script would forget load_from
    command = [scripts.train, run.config, "--work-dir", train_dir, *resume, *options]
    peak_mb = programs.follow(command, run.folder / "train.log", TRAINING, trained,
                              goes_on=is_resumed, **environment)  # fmt: skip
    train_minutes = (time.perf_counter() - started) / 60
    checkpoint = last_checkpoint(train_dir)
    metrics = {}
    if run.with_test:
        command = [scripts.test, run.config, checkpoint, "--work-dir", test_dir, *options]
        programs.follow(command, run.folder / "test.log", TEST, tested, **environment)
        metrics = read_metrics(test_dir)
    result = {
        "name": run.name,
        "fingerprint": run.fingerprint,
        "metrics": metrics,
        "losses": read_losses(train_dir),
        "train_minutes": None if is_resumed else round(train_minutes, 3),
        "test_minutes": round((time.perf_counter() - started) / 60 - train_minutes, 3),
        "train_peak_mb": peak_mb,
        "checkpoint": str(checkpoint),
    }
    write_json(run.result_file, result)
    return result


def _tell_of_busy_cores(threads: int) -> None:
    line = busy_line(threads)
    if line:
        tqdm.write(f"runs of {threads} threads: {line}")
