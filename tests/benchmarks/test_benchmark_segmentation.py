from __future__ import annotations

import json

import pytest
import torch

from benchmarks.segmentation import build_models
from gemini_det3d.cli import main


@pytest.mark.parametrize("with_head", [True, False])
def test_released_form_computes_the_same(with_head):
    models = build_models("b0", with_head=with_head)
    torch.manual_seed(0)
    images = [torch.rand(1, 3, 64, 96) for _ in range(2)]

    def answer(model):
        with torch.no_grad():
            if with_head:
                return model(dict(rgb=images[0], depth=images[1]))["ensemble"]
            return model(images)[1][-1]

    found = {name: answer(model) for name, model in models.items()}
    torch.testing.assert_close(found["GeminiFusion"], found["released form"], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found["GeminiFusion"], found["no fusion"], rtol=1e-3, atol=1e-4)


def test_benchmark_prints_a_ratio(tmp_path, capsys):
    out = tmp_path / "x.json"
    options = ["--arch", "b0", "--size", "64", "64", "--rounds", "1", "--json", str(out)]
    assert main(["benchmark", "segmentation", *options]) == 0
    assert "x the time without" in capsys.readouterr().out
    assert set(json.loads(out.read_text())) == {"no fusion", "GeminiFusion", "released form"}


@pytest.mark.parametrize("name", ["segmentation", "kitti-eval"])
def test_benchmark_of_no_rounds_is_refused(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", name, "--rounds", "0"])
    assert ended.value.code == 2
    assert "'0' must be a whole number from 1" in capsys.readouterr().err
