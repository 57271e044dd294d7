"""The benchmark of detectors: the released way computes the same, goals and failures are said."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from toys import DRIVING, toy_batch, toy_model  # noqa: E402

from benchmarks.detectors import PARTS, compare_encoders, compare_models, encoder_lines, model_lines


@pytest.mark.slow
def test_released_way_finds_the_same_voxels():
    batch = toy_batch(DRIVING[0])  # the released form knows no points that the camera does not see
    clouds = batch["inputs"]["points"]
    batch["inputs"]["points"] = [p[(p[:, 1:3].abs() < 0.3 * p[:, :1]).all(1)] for p in clouds]
    assert all(len(points) > 10 for points in batch["inputs"]["points"])
    model = toy_model(DRIVING[0])
    for (
        neck
    ) in model.pts_voxel_encoder.fusion_layer:  # nor where an image's pixels are counted from
        neck.sampler = replace(neck.sampler, pixel_offset=(0.0, 0.0))
    found = compare_encoders(model, batch, rounds=1)
    assert found["ours"]["error"] == 0
    assert found["released"]["error"] < 1e-4
    assert all(row["ms"] > 0 and row["peak_mib"] > 0 for row in found.values())


@pytest.mark.parametrize(("ms", "verdict"), [(29.0, "missed"), (30.0, "held")])
def test_goals_of_the_encoder_are_named(ms, verdict):
    ours = {"ms": 10.0, "peak_mib": 1.0, "error": 0.0}
    lines = encoder_lines({"ours": ours, "released": {**ours, "ms": ms, "peak_mib": 5.0}})
    assert lines[-2] == f"time: {ms / 10:.1f} x, goal 3: {verdict}"
    assert lines[-1] == "memory: 5.0 x, goal 5: held"


class Broken(torch.nn.Linear):
    def forward(self, *_, **__):
        raise NotImplementedError("no kernel for the CPU\nat all")


def test_model_that_cannot_run_is_a_line_of_its_own():
    broken = Broken(1, 1)
    for part in PARTS:
        broken.add_module(part, torch.nn.Identity())
    broken.data_preprocessor = lambda batch, training: batch
    broken.parse_losses = None
    found = compare_models({"stock": broken}, {}, rounds=1)
    assert model_lines(found)[0] == (
        "stock: cannot run here (NotImplementedError: no kernel for the CPU)"
    )
