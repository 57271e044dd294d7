"""Training and testing one variant with one seed, by mmdet3d's own scripts, so that it resumes.

A run's folder holds its logs, mmdet3d's work directories and, when it is done, `result.json`. The
file is written last: a run that has it is finished and is not started again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.comparison.variants import Variant
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.text import write_text

# What mmengine prints: epoch (a test has none), iteration, iterations per epoch.
_TRAINING = re.compile(r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]")
_TEST = re.compile(r"Epoch\(test\)\s+()\[\s*(\d+)/(\d+)\]")
_TEST_SHARE = 0.1  # of a run's time, for the progress bar only
_NEVER = 10**6  # epochs: the test comes afterwards, by tools/test.py


@dataclass(frozen=True)
class Run:
    """One variant with one seed.

    Attributes:
        variant: What is trained.
        seed: Of mmengine's ``randomness``.
        folder: Where everything goes.
        num_epochs: For the progress bar.
        fingerprint: Of the config's content.
    """

    variant: Variant
    seed: int
    folder: Path
    num_epochs: int
    fingerprint: str

    @property
    def result_file(self) -> Path:
        """Written when the run is done."""
        return self.folder / "result.json"

    def result(self) -> dict | None:
        """What a finished run found; None when it is not finished.

        Raises:
            ConfigError: It was made with other settings.
        """
        if not self.result_file.is_file():
            return None
        result = json.loads(self.result_file.read_text(encoding="utf-8"))
        if result["fingerprint"] != self.fingerprint:
            raise ConfigError(f"{self.folder}: was made with other settings; use another --out")
        return result


@dataclass(frozen=True)
class Scripts:
    """The programs that train and test; mmdet3d's, unless a test puts others in their place."""

    train: Path
    test: Path


def fingerprint(text: str, options: Mapping[str, Any]) -> str:
    """Short name of a config's content and of what is changed in it."""
    content = json.dumps([text, sorted((k, str(v)) for k, v in options.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class Progress:
    """One bar for all runs; a run moves it by the share of itself that is done."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._lock = threading.Lock()
        self._shares = dict.fromkeys((str(run.folder) for run in runs), 0.0)
        self._bar = tqdm(
            total=len(runs), unit="run", bar_format="{l_bar}{bar}| {n:.1f}/{total} runs "
            "[{elapsed}<{remaining}{postfix}]",
        )  # fmt: skip

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def move(self, run: Run, share: float) -> None:
        """Say how much of a run is done, 0 to 1."""
        with self._lock:
            self._shares[str(run.folder)] = share
            self._bar.n = sum(self._shares.values())
            self._bar.set_postfix_str(f"{run.variant.name} seed {run.seed}", refresh=False)
            self._bar.refresh()


def run_all(
    runs: Sequence[Run], scripts: Scripts, jobs: int, threads: int
) -> dict[Path, dict | str]:
    """Execute all runs; one that fails does not end the others.

    Args:
        runs: What to do; those that are finished are only read.
        scripts: How.
        jobs: Runs at a time.
        threads: Threads of each.

    Returns:
        By folder: the result, or one line that says why there is none.

    Raises:
        ConfigError: A finished run was made with other settings.
    """
    results: dict[Path, dict | str] = {}
    for run in runs:
        found = run.result()
        if found is not None:
            results[run.folder] = found
    left = [run for run in runs if run.folder not in results]
    children = _Children(threads)
    with Progress(runs) as progress, ThreadPoolExecutor(jobs) as pool:
        for run in runs:
            if run.folder in results:
                progress.move(run, 1.0)
        futures = {pool.submit(execute, run, scripts, children, progress): run for run in left}
        try:
            for future in as_completed(futures):
                run = futures[future]
                try:
                    results[run.folder] = future.result()
                except Exception as error:  # this run's alone, whatever it is
                    results[run.folder] = " ".join(str(error).split()) or type(error).__name__
                    tqdm.write(f"{run.variant.name} seed {run.seed}: {results[run.folder]}")
                progress.move(run, 1.0)
        except BaseException:  # interrupted: nothing may go on alone
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
    return results


def execute(run: Run, scripts: Scripts, children: _Children, progress: Progress) -> dict:
    """Train and test one run.

    Returns:
        What `result.json` holds: metrics, seconds, peak memory of the training process.

    Raises:
        ConfigError: A script failed; the message holds its last line and names the log.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    train_dir, test_dir = run.folder / "train", run.folder / "test"
    never = {f"train_cfg.{name}": _NEVER for name in ("val_interval", "val_begin")}
    options = {"randomness.seed": run.seed, **never}
    arguments = run.variant.arguments(options)
    started = time.perf_counter()

    def trained(epoch: str, iteration: str, per_epoch: str) -> None:
        done = (int(epoch) - 1 + int(iteration) / int(per_epoch)) / run.num_epochs
        progress.move(run, (1 - _TEST_SHARE) * min(done, 1.0))

    def tested(_: str, iteration: str, total: str) -> None:
        progress.move(run, 1 - _TEST_SHARE * (1 - int(iteration) / int(total)))

    command = [scripts.train, run.variant.config, "--work-dir", train_dir, "--resume", "auto"]
    log = run.folder / "train.log"
    peak_mb = children.follow([*command, *arguments], log, _TRAINING, trained)
    minutes = (time.perf_counter() - started) / 60
    checkpoint = _last_checkpoint(train_dir)
    command = [scripts.test, run.variant.config, checkpoint, "--work-dir", test_dir]
    children.follow([*command, *arguments], run.folder / "test.log", _TEST, tested)
    result = {
        "variant": run.variant.name,
        "seed": run.seed,
        "fingerprint": run.fingerprint,
        "metrics": _read_metrics(test_dir),
        "train_minutes": round(minutes, 3),
        "train_peak_mb": peak_mb,
        "checkpoint": str(checkpoint),
    }
    write_text(run.result_file, json.dumps(result, indent=1) + "\n")
    return result


class _Children:
    """The processes under way, so that an interrupt ends them all."""

    def __init__(self, threads: int) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        counts = dict.fromkeys(names, str(threads))
        self._environment = {
            **os.environ, **counts, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"
        }  # fmt: skip
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._is_stopped = False

    def follow(
        self,
        command: Sequence[object],
        log: Path,
        pattern: re.Pattern,
        show: Callable[[str, str, str], None],
    ) -> float | None:
        """Run a Python script, its output in a file; `show` gets the pattern's groups.

        Returns:
            Peak resident memory of the process, MB; None where the system does not say.

        Raises:
            ConfigError: The script failed.
        """
        last = ""
        with self._lock:
            if self._is_stopped:
                raise ConfigError("interrupted")
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self._environment,
            )
            self._running.add(process)
        try:
            with log.open("w", encoding="utf-8") as file:
                for line in process.stdout or ():
                    file.write(line)
                    last = line.strip() or last
                    match = pattern.search(line)
                    if match:
                        show(*match.groups())
            code, peak_mb = _wait(process)
        finally:
            with self._lock:
                self._running.discard(process)
        if code:
            raise ConfigError(f"{Path(str(command[0])).name} failed: {last} (all of it: {log})")
        return peak_mb

    def stop(self) -> None:
        """End them."""
        with self._lock:
            self._is_stopped = True
            for process in self._running:
                process.terminate()


def _wait(process: subprocess.Popen) -> tuple[int, float | None]:
    """Exit code and peak memory, MB; the system tells the latter to who waits first."""
    if not hasattr(os, "wait4"):
        return process.wait(), None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return process.returncode, round(usage.ru_maxrss / unit, 1)


def _last_checkpoint(train_dir: Path) -> Path:
    record = train_dir / "last_checkpoint"
    if not record.is_file():
        raise ConfigError(f"{train_dir}: the training left no checkpoint")
    return Path(record.read_text(encoding="utf-8").strip())


def _read_metrics(test_dir: Path) -> dict[str, float]:
    """What mmengine's logger wrote about the latest test: ``<time>/<time>.json``."""
    files = sorted(p for p in test_dir.glob("*/*.json") if p.stem == p.parent.name)
    if not files:
        raise ConfigError(f"{test_dir}: the test wrote no metrics")
    text = files[-1].read_text(encoding="utf-8")
    values = json.loads(text.strip().splitlines()[-1] if "\n{" in text else text)
    return {k: float(v) for k, v in values.items() if isinstance(v, (int, float))}
