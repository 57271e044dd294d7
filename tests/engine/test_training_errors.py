"""Errors of libraries that end a training become one line that says what to do."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("mmcv.ops", exc_type=ImportError)

import mmcv.ops

from gemini_det3d.engine.training_errors import TrainingError, naming_ops_without_a_gpu

POINTS, BOXES = torch.rand(1, 5, 3), torch.rand(1, 2, 7)
CALLS = {
    "furthest_point_sample": lambda: mmcv.ops.furthest_point_sample(POINTS, 2),
    "points_in_boxes": lambda: mmcv.ops.points_in_boxes_part(POINTS, BOXES),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("name", CALLS)
def test_mmcv_function_that_asks_for_a_gpu_is_named_with_what_runs_without(name):
    with pytest.raises(TrainingError, match=f"mmcv's {name} runs on a GPU only") as raised:
        with naming_ops_without_a_gpu():
            CALLS[name]()
    assert "\n" not in str(raised.value) and "GeminiPointNet2SASSG" in str(raised.value)


@pytest.mark.parametrize("error", [TypeError("torch.cuda is not here"), RuntimeError("a shape")])
def test_errors_from_elsewhere_stay_as_they_are(error):
    with pytest.raises(type(error), match=str(error)):
        with naming_ops_without_a_gpu():
            raise error
