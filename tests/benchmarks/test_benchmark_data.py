"""What the benchmark of loading says of loaders whose speed is known."""

from __future__ import annotations

import time

import pytest

from benchmarks.data import frames_per_second


class Slow:
    """Frames that take so many seconds each, whoever else is at work."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict:
        time.sleep(self.seconds)
        return {"data_samples": index}


@pytest.mark.parametrize("workers, size", [(0, 4), (2, 16), (4, 16)])
def test_speed_of_workers_is_no_more_than_they_have(workers, size):
    found = frames_per_second(Slow(0.01), size, workers)
    most = max(workers, 1) / 0.01
    assert most / 4 < found < 1.15 * most
