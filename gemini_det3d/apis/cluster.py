"""Runs on a cluster: each a job of its own, through submitit (facebookincubator/submitit).

Slurm gives a job its GPU and its cores. The folders of the runs must be visible to all machines.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.runs import Run, Scripts, execute_alone

CLUSTERS = {"slurm": "slurm", "submitit": "local"}
"""Name of an executor -> what submitit calls it; its local one starts processes here."""
_AROUND_TRACE = "-" * 22
_DEFAULTS = {"timeout_min": 24 * 60, "gpus_per_node": 1, "cpus_per_task": 4}


def run_on_cluster(
    runs: Sequence[Run],
    executor: str,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    scripts: Scripts | None = None,
    threads: int | None = None,
) -> dict[Path, dict | str]:
    """Train and test all of them, as many at a time as the cluster lets; one may fail alone.

    Args:
        runs: What to do; those that are finished are only read.
        executor: One of ``CLUSTERS``.
        folder: Where submitit keeps what its jobs print.
        settings: submitit's parameters (``slurm_partition``, ``timeout_min``, ``gpus_per_node``,
            ``cpus_per_task``, ...) in place of a day, one GPU and four cores.
        scripts: As in `run_all`.
        threads: Of each run; None: its cores.

    Returns:
        By folder: the result, or one line that says why there is none.

    Raises:
        ConfigError: submitit or Slurm is not there, or knows no such setting; a folder holds a run
            of other settings.
    """
    found: dict[Path, dict | str | None] = {run.folder: run.result() for run in runs}
    left = [run for run in runs if found[run.folder] is None]
    scripts = scripts or Scripts.of_mmdet3d()
    chosen = {**_DEFAULTS, **(settings or {})}
    submit = _submitter(executor, folder, chosen)
    threads = threads or int(chosen["cpus_per_task"])
    jobs = {run.folder: submit(execute_alone, run, scripts, threads) for run in left}
    try:
        for run in tqdm(left, desc="jobs", unit="run"):
            found[run.folder] = _outcome(jobs[run.folder])
            if isinstance(found[run.folder], str):
                tqdm.write(f"{run.name}: {found[run.folder]}")
    except BaseException:  # interrupted: nothing may go on alone
        for job in jobs.values():
            job.cancel()
        raise
    return found


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words, whole numbers as such.

    Raises:
        ConfigError: A word is something else.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise ConfigError(f"--slurm {text!r}: expected KEY=VALUE")
        settings[key] = int(value) if value.isdigit() else value
    return settings


def _submitter(executor: str, folder: Path, settings: Mapping[str, Any]) -> Any:
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise ConfigError(f"--executor {executor}: pip install submitit") from error
    try:
        made = submitit.AutoExecutor(folder=folder, cluster=CLUSTERS[executor])
        made.update_parameters(**settings)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"--executor {executor}: {line[:200]}") from error
    return made.submit


def _outcome(job: Any) -> dict | str:
    """A job's result, or the last line of what it died of."""
    try:
        return job.result()
    except Exception as error:  # this run's alone, whatever it is
        trace = str(error).split(_AROUND_TRACE)[:2][-1]  # of a job that died, between two rules
        lines = [line for line in trace.splitlines() if line.strip()]
        return lines[-1].strip() if lines else type(error).__name__
