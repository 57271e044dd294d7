"""What `compare` measures of a model: a detector with and without a camera, and a segmentor."""

from __future__ import annotations

import json

import pytest
from mmdet3d.registry import DATASETS
from toys import DRIVING, SEGMENTOR, toy_batch, toy_config, toy_model

from gemini_det3d.apis.comparison import measure as costs
from gemini_det3d.apis.config import find_config


@pytest.fixture
def sets_of_toys(monkeypatch):
    """Data sets give the toys' frames in place of files."""

    def frames(name: str) -> None:
        batch = toy_batch(name)
        samples = [
            dict(inputs={k: v[i] for k, v in batch["inputs"].items()}, data_samples=sample)
            for i, sample in enumerate(batch["data_samples"])
        ]
        monkeypatch.setattr(DATASETS, "build", lambda config: samples)

    return frames


@pytest.mark.parametrize("name", [DRIVING[0], DRIVING[3], SEGMENTOR])
def test_figures_of_a_model_are_its_own(name, sets_of_toys):
    sets_of_toys(name)
    figures = costs.measure(toy_config(name))
    parameters = sum(p.numel() for p in toy_model(name).parameters())
    assert figures["parameters"] == pytest.approx(parameters / 1e6, rel=1e-12)
    assert 0.001 < figures["multiply_adds"] < 100
    assert 0 < figures["latency_ms"] < 60_000
    assert figures["peak_mb"] is None or 0 <= figures["peak_mb"] < 20_000


def test_command_writes_its_figures_and_takes_options(sets_of_toys, tmp_path):
    name, out = DRIVING[3], tmp_path / "costs.json"
    sets_of_toys(name)
    deeper = ["--cfg-options", "model.pts_stem.layer_nums=[2]"]
    assert costs.main([str(find_config(name)), str(out)]) == 0
    plain = json.loads(out.read_text())
    assert set(plain) == {"parameters", "multiply_adds", "latency_ms", "peak_mb"}
    assert costs.main([str(find_config(name)), str(out), *deeper]) == 0
    deep = json.loads(out.read_text())
    assert deep["parameters"] > plain["parameters"]
    assert deep["multiply_adds"] > plain["multiply_adds"]
