"""Runs on a cluster: each a job of its own, through submitit (facebookincubator/submitit).

Slurm gives a job its GPU and its cores. The folders of the runs must be visible to all machines.
"""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.devices import visible_gpus
from gemini_det3d.apis.runs import Run, Scripts, execute_alone

CLUSTERS = {"slurm": "slurm", "submitit": "local"}
"""Name of an executor -> what submitit calls it; its local one starts processes here."""
_PAUSE_S = 0.5
_AROUND_TRACE = "-" * 22
_DEFAULTS = {"timeout_min": 24 * 60, "gpus_per_node": 1, "cpus_per_task": 4}


def run_on_cluster(
    runs: Sequence[Run],
    executor: str,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    scripts: Scripts | None = None,
    threads: int | None = None,
    jobs: int | None = None,
) -> dict[Path, dict | str]:
    """Train and test all of them; one may fail alone.

    Args:
        runs: What to do; those that are finished are only read.
        executor: One of ``CLUSTERS``.
        folder: Where submitit keeps what its jobs print.
        settings: submitit's parameters (``slurm_partition``, ``timeout_min``, ``gpus_per_node``,
            ``cpus_per_task``, ...) in place of a day, one GPU and four cores.
        scripts: As in `run_all`.
        threads: Of each run; None: `threads_of`.
        jobs: How many at a time; None: `jobs_of`.

    Returns:
        By folder: the result, or one line that says why there is none.

    Raises:
        ConfigError: submitit or Slurm is not there, knows no such setting or refuses a job; a
            folder holds a run of other settings.
    """
    found: dict[Path, dict | str | None] = {run.folder: run.result() for run in runs}
    left = [run for run in runs if found[run.folder] is None]
    scripts = scripts or Scripts.of_mmdet3d()
    chosen = {**_DEFAULTS, **(settings or {})}
    submit = _submitter(executor, folder, chosen)
    threads = threads or threads_of(settings)
    gpus = visible_gpus() if _is_here(executor) and chosen["gpus_per_node"] else []
    with tqdm(total=len(left), desc="jobs", unit="run") as bar:

        def start(run: Run, gpu: str | None) -> Any:
            return submit(execute_alone, run, scripts, threads, gpu)

        def tell(run: Run, outcome: dict | str) -> None:
            found[run.folder] = outcome
            bar.update()
            if isinstance(outcome, str):
                tqdm.write(f"{run.name}: {outcome}")

        _work_off(left, jobs or jobs_of(executor) or len(left), gpus, start, tell)
    return found


def threads_of(settings: Mapping[str, Any] | None) -> int:
    """Threads of a run that nobody gave a number: the cores of its job."""
    return int({**_DEFAULTS, **(settings or {})}["cpus_per_task"])


def jobs_of(executor: str) -> int | None:
    """Jobs at a time where nobody gave a number: one a GPU of this machine, or 1.

    None where they run on others: as many as the cluster lets.
    """
    return max(1, len(visible_gpus())) if _is_here(executor) else None


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


def _is_here(executor: str) -> bool:
    """Whether its jobs are processes of this machine; submitit would give each of them GPU 0."""
    return CLUSTERS.get(executor, "local") == "local"


def _submitter(executor: str, folder: Path, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """What submits a job; what submitit refuses is one line."""
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise ConfigError(f"--executor {executor}: pip install submitit") from error

    def submit(*call: Any) -> Any:
        with _in_one_line(executor):
            return made.submit(*call)

    with _in_one_line(executor):
        made = submitit.AutoExecutor(folder=folder, cluster=CLUSTERS[executor])
        made.update_parameters(**settings)
    return submit


@contextmanager
def _in_one_line(executor: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, NameError, TypeError, ValueError, OSError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"--executor {executor}: {line[:200]}") from error


def _work_off(
    runs: Sequence[Run],
    jobs: int,
    gpus: Sequence[str],
    start: Callable[[Run, str | None], Any],
    tell: Callable[[Run, dict | str], None],
) -> None:
    """Start jobs, so many at a time, each on the GPU that fewest have, and tell how they end."""
    waiting = deque(runs)
    under_way: list[tuple[Run, Any, str | None]] = []
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                used = [gpu for _, _, gpu in under_way]
                gpu = min(gpus, key=used.count, default=None)
                under_way.append((waiting[0], start(waiting[0], gpu), gpu))
                waiting.popleft()
            ended = [entry for entry in under_way if entry[1].done()]
            for run, job, _ in ended:
                tell(run, _outcome(job))
            under_way = [entry for entry in under_way if entry not in ended]
            if not ended:
                time.sleep(_PAUSE_S)
    except BaseException:  # interrupted, or one was refused: nothing may go on alone
        for _, job, _ in under_way:
            job.cancel()
        raise


def _outcome(job: Any) -> dict | str:
    """A job's result, or the last line of what it died of."""
    try:
        return job.result()
    except Exception as error:  # this run's alone, whatever it is
        trace = str(error).split(_AROUND_TRACE)[:2][-1]  # of a job that died, between two rules
        lines = [line for line in trace.splitlines() if line.strip()]
        return lines[-1].strip() if lines else type(error).__name__
