"""Trainings that are killed go on as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from toy import differences, newest, toy_config, train, train_and_kill

from gemini_det3d.engine.exact import WholeCheckpointHook, checkpoint_files
from gemini_det3d.formats import FormatError

# A scale that overflows at first, so that a step is left out, and grows and falls again later.
HALF = {
    "optim_wrapper.type": "AmpOptimWrapper",
    "optim_wrapper.dtype": "bfloat16",
    "optim_wrapper.loss_scale": dict(init_scale=2.0**127, growth_interval=7),
}
KINDS = {
    "epochs": dict(),
    "iterations": dict(by_epoch=False),
    "two optimisers": dict(two=True),
    "two optimisers, iterations": dict(two=True, by_epoch=False),
    "gradients gathered over steps": {"optim_wrapper.accumulative_counts": 3},
    "checkpoints after epochs": {
        "default_hooks.checkpoint.by_epoch": True,
        "default_hooks.checkpoint.interval": 1,
    },
    "data workers": dict(workers=2),
    "mixed precision": HALF,
    "mixed precision, two optimisers": dict(two=True, **HALF),
    "mixed precision, gradients gathered over steps": {
        **HALF,
        "optim_wrapper.accumulative_counts": 3,
    },
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _mixed_precision_without_a_gpu(monkeypatch, request):
    """mmengine's wrapper for mixed precision, which asks for CUDA, with PyTorch's CPU scaler."""
    if not hasattr(torch.amp, "GradScaler"):
        if "mixed precision" in request.node.name:
            pytest.skip("PyTorch scales losses on a CPU from 2.3 on")
        return
    wrapper = "mmengine.optim.optimizer.amp_optimizer_wrapper."
    monkeypatch.setattr(wrapper + "is_cuda_available", lambda: True)
    monkeypatch.setattr(wrapper + "GradScaler", partial(torch.amp.GradScaler, "cpu"))


def resumed_after_kills(folder, reference, kills, seed, **kind):
    """Kill a training so many times, then let it end; what differs from the unbroken one."""
    draw = random.Random(seed)
    config = toy_config(folder, **kind)
    config.train_dataloader.dataset.pause_s = 0.002  # so that most kills find it at work
    killed = 0
    while killed < kills:
        if not train_and_kill(config, draw.uniform(0.05, 0.6)):  # it came to its end
            for path in folder.iterdir():
                if path.suffix in (".pth", ".json") or path.name == "last_checkpoint":
                    path.unlink()
            continue
        killed += 1
    train(config, resume=True)
    return differences(newest(reference), newest(folder))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_run_that_was_stopped_within_an_epoch_goes_on_bit_by_bit(tmp_path, kind, monkeypatch):
    train(toy_config(tmp_path / "whole", **KINDS[kind]))
    config = toy_config(tmp_path / "cut", **KINDS[kind])
    with monkeypatch.context() as until_here, pytest.raises(KeyboardInterrupt):
        until_here.setattr("toy.MeanValue.evaluate", _interrupt)  # in the first validation
        train(config)
    assert newest(tmp_path / "cut")["meta"]["iter"] < 18
    train(config, resume=True)
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


def _interrupt(self, size):
    raise KeyboardInterrupt


def test_ten_kills_at_any_instant_leave_no_trace(tmp_path):
    train(toy_config(tmp_path / "whole"))
    (tmp_path / "cut").mkdir()
    assert resumed_after_kills(tmp_path / "cut", tmp_path / "whole", kills=10, seed=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epochs", "iterations", "two optimisers", "data workers"])
def test_a_hundred_kills_leave_no_trace(tmp_path, kind):
    train(toy_config(tmp_path / "whole", **KINDS[kind]))
    (tmp_path / "cut").mkdir()
    found = resumed_after_kills(
        tmp_path / "cut", tmp_path / "whole", kills=100, seed=1, **KINDS[kind]
    )
    assert found == []


def test_run_that_died_between_the_best_checkpoint_and_the_last_one_goes_on_bit_by_bit(
    tmp_path, monkeypatch
):
    train(toy_config(tmp_path / "whole"))
    saved, save = [], WholeCheckpointHook._save_checkpoint_with_step

    def dies(self, runner, step, meta):
        saved.append(step)
        if saved.count(18) == 2:  # the best one is there
            raise KeyboardInterrupt
        save(self, runner, step, meta)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WholeCheckpointHook, "_save_checkpoint_with_step", dies)
        train(toy_config(tmp_path / "cut"))
    assert (tmp_path / "cut" / "best_acc_iter_18.pth").is_file()
    train(toy_config(tmp_path / "cut"), resume=True)
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


@pytest.mark.parametrize("instant", ["before the note", "before the file", "before deletions"])
def test_kill_while_a_checkpoint_is_written_loses_nothing(tmp_path, instant):
    train(toy_config(tmp_path / "whole"))
    config = toy_config(tmp_path / "cut")
    child = os.fork()
    if child == 0:
        _die_at(instant)
        train(config)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert checkpoint_files.newest_whole_checkpoint(tmp_path / "cut", print).is_file()
    train(config, resume=True)
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []
    left = {path.name for path in (tmp_path / "cut").iterdir() if ".pth" in path.name}
    assert left == {p.name for p in (tmp_path / "whole").iterdir() if ".pth" in p.name}


def _die_at(instant):
    """Kill this process at the third checkpoint."""
    from gemini_det3d.engine.exact import checkpoint_hook

    module, name, suffix = {
        "before the note": (checkpoint_files, "write_whole", ".pth.json"),
        "before the file": (checkpoint_files, "write_whole", ".pth"),
        "before deletions": (checkpoint_hook, "remove_checkpoint", ".pth"),
    }[instant]
    original, seen = getattr(module, name), []

    def wrapped(path, *args, **kwargs):
        seen.append(str(path)) if str(path).endswith(suffix) else None
        if len(seen) == (1 if instant == "before deletions" else 3):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(path, *args, **kwargs)

    setattr(module, name, wrapped)


def test_resume_takes_the_checkpoint_before_a_damaged_one_and_says_so(tmp_path):
    config = toy_config(tmp_path)
    train(config)
    whole = newest(tmp_path)
    with open(tmp_path / "iter_18.pth", "r+b") as file:
        file.seek(2000)
        file.write(b"\0\1\2\3")
    train(config, resume=True)
    lines = "".join(path.read_text() for path in tmp_path.rglob("*.log")).splitlines()
    (said,) = [line for line in lines if "is damaged" in line]
    assert "iter_18.pth: is damaged" in said and said.endswith("the one before it is taken")
    assert differences(whole, newest(tmp_path)) == []


def test_resume_refuses_to_start_anew_where_all_checkpoints_are_damaged(tmp_path):
    train(toy_config(tmp_path))
    for path in tmp_path.glob("*.pth"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="holds 2 checkpoints, none of them whole"):
        train(toy_config(tmp_path), resume=True)


def test_resume_from_a_named_damaged_file_is_one_line(tmp_path):
    train(toy_config(tmp_path))
    path = tmp_path / "iter_18.pth"
    path.write_bytes(path.read_bytes()[:-9])
    config = toy_config(tmp_path, load_from=str(path))
    with pytest.raises(FormatError, match="iter_18.pth: is damaged") as error:
        train(config, resume=True)
    assert "\n" not in str(error.value)


def test_resume_takes_the_seed_of_the_run_that_had_none_in_its_config(tmp_path):
    config = toy_config(tmp_path / "a", **{"randomness.seed": None, "train_cfg.max_epochs": 1})
    train(config)
    config.train_cfg.max_epochs = 3
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first = train(config, resume=True)
    other = toy_config(tmp_path / "b", **{"randomness.seed": None})
    second = train(other, resume=True)
    assert first.seed == second.seed
    assert differences(newest(tmp_path / "a"), newest(tmp_path / "b")) == []


def test_resume_does_not_execute_the_config_in_a_checkpoint(tmp_path):
    train(toy_config(tmp_path))
    path, trap = tmp_path / "iter_18.pth", tmp_path / "executed"
    checkpoint = newest(tmp_path)
    checkpoint["meta"]["config"] = f"open({str(trap)!r}, 'w')"
    torch.save(checkpoint, path)
    checkpoint_files.note_path(path).unlink()
    train(toy_config(tmp_path, load_from=str(path)), resume=True)
    assert not trap.exists()


def test_resume_reads_no_batch_again(tmp_path):
    log = tmp_path / "log"
    config = toy_config(tmp_path / "run", by_epoch=False, val_cfg=None, val_dataloader=None,
                        val_evaluator=None)  # fmt: skip
    config.default_hooks.checkpoint.save_best = None
    config.train_cfg = dict(by_epoch=False, max_iters=16)
    train(config)
    config.train_cfg.max_iters = 18
    config.train_dataloader.dataset.log = str(log)
    train(config, resume=True)
    assert len(log.read_text().splitlines()) == 2 * 4


def test_resume_in_a_million_iterations_starts_at_once():
    from mmengine.dataset.sampler import InfiniteSampler

    from gemini_det3d.engine.exact import ExactBatchSampler

    batches = ExactBatchSampler(InfiniteSampler(range(3712), seed=0), batch_size=4, seed=0)
    batches.first = 1_000_000
    start = time.perf_counter()
    key = next(iter(batches))[0]
    assert time.perf_counter() - start < 5 and key.epoch == 4_000_000 // 3712


def test_disk_that_is_full_stops_with_one_line_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    config = toy_config(tmp_path)
    original, written = os.fsync, []

    def full(handle):
        written.append(handle)
        if len(written) > 12:
            raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FormatError, match=r"\.pth.*No space left on device"):
        train(config)
    monkeypatch.undo()
    reached = checkpoint_files.newest_whole_checkpoint(tmp_path, pytest.fail)
    train(config, resume=True)
    train(toy_config(tmp_path / "whole"))
    assert reached and differences(newest(tmp_path / "whole"), newest(tmp_path)) == []


def test_half_gathered_gradients_of_several_processes_are_told(monkeypatch):
    """Only the first process writes checkpoints; the others' gradients are nowhere."""
    from gemini_det3d.engine.exact import going_on

    monkeypatch.setattr(going_on, "restore_state", lambda *args: None)
    monkeypatch.setattr(going_on, "gathered_steps", lambda runner: {"": 3})
    batches = type("Batches", (list,), {"is_infinite": False})(range(4))
    for gradients, processes in (({"weight": 1.0}, 2), ({"weight": 1.0}, 1), ({}, 2)):
        monkeypatch.setattr(going_on, "get_world_size", lambda count=processes: count)
        said: list[str] = []
        place = dict(batches_done=1, batches_per_epoch=4, world_size=processes, gradients=gradients)
        loop = SimpleNamespace(batches=batches, dataloader=SimpleNamespace(dataset=range(8)))
        runner = SimpleNamespace(train_loop=loop, iter=1, epoch=0, model=torch.nn.Linear(1, 1))
        going_on.go_on(runner, place, said.append)
        assert bool(said) == (bool(gradients) and processes > 1)
