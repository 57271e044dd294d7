"""Runs at a time share the GPUs of a machine: each program sees one."""

from __future__ import annotations

import json
import textwrap

import pytest
import torch
from mmengine.config import Config

from gemini_det3d.apis import runs as module
from gemini_det3d.apis.devices import DevicePool, visible_gpus
from gemini_det3d.apis.runs import Scripts, declare, run_or_fail

# A stand-in for mmdet3d's scripts that waits until all three are under way.
SCRIPT = """
    import os, pathlib, sys, time
    config, work = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
    work.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(config).parent
    (folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    until = time.monotonic() + 20
    while len(list(folder.parent.glob("*/gpu"))) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    (work / "epoch_2.pth").touch()
    (work / "last_checkpoint").write_text(str(work / "epoch_2.pth"))
"""


@pytest.fixture
def gpus(monkeypatch):
    """A machine with so many GPUs."""

    def have(count: int, visible: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return have


@pytest.mark.parametrize(
    ("count", "visible", "names"),
    [(0, None, []), (0, "", []), (3, None, ["0", "1", "2"]), (2, "5, GPU-ab", ["5", "GPU-ab"])],
)
def test_gpus_are_those_that_this_process_sees(gpus, count, visible, names):
    gpus(count, visible)
    assert visible_gpus() == names


def test_pool_lends_the_gpu_that_fewest_have():
    pool = DevicePool(["4", "7"])
    with pool.lend() as first, pool.lend() as second, pool.lend() as third:
        taken = [lent["CUDA_VISIBLE_DEVICES"] for lent in (first, second, third)]
    assert taken == ["4", "7", "4"]
    with pool.lend() as again:
        assert again == {"CUDA_VISIBLE_DEVICES": "4"}  # given back


def test_pool_of_no_gpus_changes_nothing():
    with DevicePool([]).lend() as lent:
        assert lent == {}


@pytest.mark.parametrize(("names", "seen"), [(["2", "5", "6"], {"2", "5", "6"}), ([], {"all"})])
def test_each_of_three_runs_sees_one_gpu(names, seen, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "visible_gpus", lambda: names)
    monkeypatch.setattr(module, "num_cores", lambda: 3)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    monkeypatch.setattr(Scripts, "of_mmdet3d", classmethod(lambda cls: cls(script, script)))
    config = Config(dict(train_cfg=dict(max_epochs=2)))
    runs = [declare(name, config, tmp_path / name, with_test=False) for name in "abc"]
    results = run_or_fail(runs)
    assert [json.loads(run.result_file.read_text()) for run in runs] == results
    assert {(run.folder / "gpu").read_text() for run in runs} == seen
