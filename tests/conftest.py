"""Shared fixtures: seeds, the device, and the folder of golden and real data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side share the cores, and so do theirs
    _share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(_share))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# First, so that no process is left alone with one of them at the end.
_LONGEST = (
    "test_end_to_end.py",
    "test_compile.py",
    "test_plugin.py",
    "test_demo_translation.py",
    "test_round_trip.py",
    "test_groups.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _registry_scope() -> Iterator[None]:
    """A runner that a test builds leaves its scope behind for all later ones; here it does not."""
    registry = sys.modules.get("mmengine.registry")
    if registry is None:
        yield
        return
    before = dict(registry.DefaultScope._instance_dict)
    yield
    registry.DefaultScope._instance_dict.clear()
    registry.DefaultScope._instance_dict.update(before)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with golden/ and data/; tests that need it skip without it."""
    folder = os.environ.get("GEMINI_SHARED")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GEMINI_SHARED names no folder with golden/ and data/")
    return Path(folder).resolve()


@pytest.fixture
def cuda() -> torch.device:
    """A CUDA device; without one the test skips, or fails under GEMINI_REQUIRE_CUDA=1."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("GEMINI_REQUIRE_CUDA") == "1":
        pytest.fail("GEMINI_REQUIRE_CUDA=1 but no CUDA device is visible")
    pytest.skip("no CUDA device")
