"""Draws have names: the same samples whoever loads them, the same numbers in every run."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.dataset.sampler import DefaultSampler, InfiniteSampler
from mmengine.structures import InstanceData, PixelData
from torch.utils.data._utils.pin_memory import pin_memory
from toy import SIZE, NoisySamples, differences, newest, toy_config, train

from gemini_det3d.engine.exact import ExactBatchSampler, ExactRunner, SeededDataset
from gemini_det3d.engine.exact.going_on import tell_order
from gemini_det3d.engine.exact.order import order_path
from gemini_det3d.engine.exact.seeding import seed_process


def loader(workers=0, sampler="DefaultSampler", batch_size=4, seed=3):
    return ExactRunner.build_dataloader(
        dict(
            dataset=dict(type="NoisySamples"),
            batch_size=batch_size,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type=sampler, shuffle=True),
        ),
        seed=seed,
    )


def batches_of(data, epochs=2, count=5):
    """Batches of a few epochs as plain numbers."""
    found = []
    for epoch in range(epochs):
        data.batch_sampler.set_epoch(epoch)
        for _, batch in zip(range(count), data):
            found.append([values.tolist() for values in batch["inputs"]])
    return found


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
def test_batches_are_the_same_for_any_number_of_workers(sampler):
    expected = batches_of(loader(0, sampler))
    for workers in (1, 2, 4):
        assert batches_of(loader(workers, sampler)) == expected


def test_epochs_differ_in_order_and_in_what_a_sample_draws():
    data = loader()
    epochs = []
    for epoch in range(2):
        data.batch_sampler.set_epoch(epoch)
        epochs.append([v.tolist() for batch in data for v in batch["inputs"]])
    assert [row[0] for row in epochs[0]] != [row[0] for row in epochs[1]]
    assert all(row not in epochs[1] for row in epochs[0])


@pytest.mark.parametrize("kind", [DefaultSampler, InfiniteSampler])
def test_two_processes_share_the_batches_of_one(kind, monkeypatch):
    def keys(rank, ranks, batch_size):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, ranks))
        batches = ExactBatchSampler(kind(NoisySamples(24), seed=5), batch_size, seed=3)
        return [batch for _, batch in zip(range(6), batches)]

    alone = [sorted(batch) for batch in keys(0, 1, 4)]
    shared = [sorted(a + b) for a, b in zip(keys(0, 2, 2), keys(1, 2, 2))]
    assert shared == alone


@pytest.mark.parametrize("kind", [DefaultSampler, InfiniteSampler])
def test_preview_leaves_the_generators_as_they_are(kind):
    batches = ExactBatchSampler(kind(NoisySamples(24), seed=5), 4, seed=3)
    drawn = []
    for is_previewed in (False, True):
        seed_process(11)
        found = batches.preview(1) if is_previewed else None
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert len(found) == 6
    assert drawn[0] == drawn[1]


def test_key_alone_decides_what_a_sample_draws():
    data = SeededDataset(NoisySamples())
    batches = ExactBatchSampler(DefaultSampler(data, seed=1), 1, seed=9)
    keys = [key for batch in batches for key in batch]
    forwards = {key: data[key]["inputs"].tolist() for key in keys}
    torch.rand(3)
    assert all(data[key]["inputs"].tolist() == forwards[key] for key in reversed(keys))
    assert len({tuple(values) for values in forwards.values()}) == SIZE


@pytest.mark.parametrize("two", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_five_runs_of_two_hundred_steps_are_equal_bit_by_bit(tmp_path, two):
    changes = {"val_cfg": None, "val_dataloader": None, "val_evaluator": None,
               "default_hooks.checkpoint.save_best": None,
               "default_hooks.checkpoint.interval": 200}  # fmt: skip
    runs = []
    for run in range(5):
        config = toy_config(tmp_path / str(run), two=two, workers=run % 2, **changes)
        config.train_cfg = dict(by_epoch=True, max_epochs=34)
        train(config)
        runs.append(newest(tmp_path / str(run)))
    assert runs[0]["meta"]["iter"] == 204
    assert [differences(runs[0], other) for other in runs[1:]] == [[]] * 4


def test_other_seed_gives_another_run(tmp_path):
    train(toy_config(tmp_path / "a"))
    train(toy_config(tmp_path / "b", **{"randomness.seed": 8}))
    assert differences(newest(tmp_path / "a")["state_dict"], newest(tmp_path / "b")["state_dict"])


@pytest.mark.parametrize("by_epoch", [True, False])
def test_order_of_samples_is_stored_as_they_were_loaded(tmp_path, by_epoch):
    log = tmp_path / "log"
    config = toy_config(tmp_path / "run", by_epoch=by_epoch)
    config.train_dataloader.dataset.log = str(log)
    train(config)
    loaded = [int(line.split()[0]) for line in log.read_text().splitlines()]
    stored = [
        int(word)
        for number in range(3)
        for word in order_path(tmp_path / "run", number).read_text().split()
    ]
    assert stored == loaded[: len(stored)] and len(stored) >= 3 * SIZE


def test_change_of_the_order_under_a_resumed_run_is_said(tmp_path):
    config = toy_config(tmp_path, **{"train_cfg.max_epochs": 1})
    train(config)
    order_path(tmp_path, 1).write_text("0 1 2 3\n")
    train(toy_config(tmp_path), resume=True)
    text = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "pass_0001_rank_0.txt: the samples come in another order" in text


def test_deterministic_run_sets_what_cublas_asks_for_and_keeps_what_is_set(tmp_path, monkeypatch):
    config = toy_config(tmp_path, **{"randomness.deterministic": True, "train_cfg.max_epochs": 1})
    try:
        for given, expected in ((None, ":4096:8"), (":16:8", ":16:8")):
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given or "")
            if given is None:
                monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
            train(config)
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == expected
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False


def test_resume_on_a_gpu_is_told_as_inexact_unless_it_is_deterministic():
    """Parameters on a device of shapes alone stand for a GPU's."""
    for device, is_deterministic, count in (
        ("cpu", False, 0),
        ("meta", False, 1),
        ("meta", True, 0),
    ):
        told = []
        torch.use_deterministic_algorithms(is_deterministic)
        try:
            tell_order(torch.empty(1, device=device), told.append)
        finally:
            torch.use_deterministic_algorithms(False)
        assert len(told) == count and all("randomness.deterministic" in line for line in told)


class WithSamples(NoisySamples):
    """Samples as a detector and a segmentor get them."""

    def __getitem__(self, index):
        boxes = LiDARInstance3DBoxes(torch.rand(2, 7))
        truth = InstanceData(bboxes_3d=boxes, labels_3d=torch.arange(2))
        pixels = PixelData(data=torch.zeros(1, 3, 4))
        sample = Det3DDataSample(gt_instances_3d=truth, gt_sem_seg=pixels)
        return {"inputs": {"img": torch.rand(3, 4)}, "data_samples": sample}


def test_loader_pins_the_tensors_of_samples_as_it_does_images(monkeypatch):
    """Memory cannot be locked without a GPU: what is asked to be is another tensor here."""
    config = dict(dataset=WithSamples(), batch_size=2, num_workers=0, pin_memory=True,
                  sampler=dict(type="DefaultSampler", shuffle=False))  # fmt: skip
    batch = next(iter(ExactRunner.build_dataloader(config, seed=3)))
    pinned = []
    monkeypatch.setattr(
        torch.Tensor, "pin_memory", lambda x: pinned.append(x.clone()) or pinned[-1]
    )
    batch = pin_memory(batch)
    assert type(batch) is dict and len(batch["data_samples"]) == 2
    for image, sample in zip(batch["inputs"]["img"], batch["data_samples"]):
        truth = sample.gt_instances_3d
        tensors = image, truth.labels_3d, truth.bboxes_3d.tensor, sample.gt_sem_seg.data
        assert all(any(tensor is each for each in pinned) for tensor in tensors)
    assert len(pinned) == 8
