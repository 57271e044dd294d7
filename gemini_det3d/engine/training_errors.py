"""What stops a training, said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingError(RuntimeError):
    """A training that cannot go on, and what to do about it, in one line."""


@contextmanager
def naming_dead_workers(loader: str) -> Iterator[None]:
    """Turn torch's report of a data worker that died into one line.

    Raises:
        TrainingError: A worker died.
    """
    try:
        yield
    except RuntimeError as error:
        died = re.search(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)", str(error))
        if died is None:
            raise
        signal = re.search(r"killed by signal: (\w+)", f"{error} {error.__cause__}")
        how = f"killed by signal {signal.group(1)}" if signal else "it ended without a word"
        raise TrainingError(
            f"{loader}: data worker {died.group(1)} died ({how}); often the machine's memory is "
            f"full: lower {loader}.num_workers or batch_size, then go on with --resume"
        ) from error
