"""Steps of a demo for several models at once, each with its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def side_by_side(
    step: Callable[[str, Path, int, dict[str, str]], None],
    configs: Mapping[str, Path],
    jobs: int | None = None,
) -> None:
    """Run a step for each model, one process each, several at a time, in the order given.

    Args:
        step: Called with the model's name, its config, a line of the display, and environment
            variables that give its process a share of the cores.
        configs: Name -> config.
        jobs: How many at a time; None: as many as there are cores, or models if those are fewer.

    Raises:
        Exception: What the first step that failed raised, after all have ended.
    """
    cores = os.cpu_count() or 1
    jobs = jobs or min(cores, len(configs))
    share = str(max(1, cores // jobs))
    environment = {"OMP_NUM_THREADS": share, "NUMBA_NUM_THREADS": share}
    with ThreadPoolExecutor(jobs) as pool:
        running = [
            pool.submit(step, name, path, position, environment)
            for position, (name, path) in enumerate(configs.items())
        ]
    for one in running:
        one.result()
