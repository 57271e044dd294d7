"""Shared fixtures: seeds, the device, and the folder of golden and real data."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from older_torch import skipped_where_older
from programs import all_warm, share_warm_python
from without_spconv import skip_where_it_lacks

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side share the cores, and so do theirs
    _share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(_share))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# First, so that no process is left alone with one of them at the end.
_LONGEST = (
    "test_triton.py",
    "test_end_to_end.py",
    "test_whole_commands.py",
    "test_compile.py",
    "test_resume.py",
    "test_view.py",
    "test_groups.py",
    "test_round_trip.py",
    "test_pretended_gpu.py",
)

_LEFT_BEHIND = (("mmengine.registry", "DefaultScope"), ("mmengine.logging", "MMLogger"))


def pytest_configure(config: pytest.Config) -> None:
    """One warm Python for all processes of a run, which loads its libraries while they collect."""
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        share_warm_python()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """What an older PyTorch lacks is skipped."""
    with skipped_where_older():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """What an older PyTorch lacks is skipped."""
    with skipped_where_older():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What lacks spconv is skipped."""
    report = yield
    skip_where_it_lacks(item, report)
    return report


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the garbage collector need not look through it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries find their objects deleted at the end, and do not complain of leaks."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    last = len(_LONGEST)
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, last))


@pytest.fixture(scope="session", autouse=True)
def _configs_are_written_as_they_come() -> Iterator[None]:
    """Without yapf, which takes most of a second for each config that a runner keeps.

    Programs in processes of their own write them as users have them.
    """
    module = sys.modules.get("mmengine.config.config")
    with pytest.MonkeyPatch.context() as patch:
        if module:
            patch.setattr(module, "FormatCode", lambda text, **options: (text, True))
        yield


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_runner_stays() -> Iterator[None]:
    """A runner leaves its scope and its log behind for all later tests; here it does not.

    The log's folder goes with its test, and the next warning would be written there.
    """
    kinds = [getattr(sys.modules[module], name)
             for module, name in _LEFT_BEHIND if module in sys.modules]  # fmt: skip
    before = [dict(kind._instance_dict) for kind in kinds]
    yield
    for kind, instances in zip(kinds, before):
        kind._instance_dict.clear()
        kind._instance_dict.update(instances)


@pytest.fixture(scope="module")
def warm_programs() -> Iterator[None]:
    """The module's programs start without waiting for PyTorch and OpenMMLab; see `programs`."""
    with all_warm():
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with golden/ and data/; tests that need it skip without it."""
    folder = os.environ.get("GEMINI_SHARED")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GEMINI_SHARED names no folder with golden/ and data/")
    return Path(folder).resolve()


@pytest.fixture(params=["reader of this PyTorch", "reader for an older one"])
def each_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are read as this PyTorch can, and as those before 2.6 have to."""
    from gemini_det3d.formats.torch_files import reading

    if request.param == "reader for an older one":
        monkeypatch.setattr(reading, "_TORCH_CAN", False)


@pytest.fixture
def cuda() -> torch.device:
    """A CUDA device; without one the test skips, or fails under GEMINI_REQUIRE_CUDA=1."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("GEMINI_REQUIRE_CUDA") == "1":
        pytest.fail("GEMINI_REQUIRE_CUDA=1 but no CUDA device is visible")
    pytest.skip("no CUDA device")
