"""Pictures during training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from gemini_det3d.engine.sample_pictures import TranslationPictureHook, tile, to_byte_image


class Model(torch.nn.Module):
    """Translates everything to grey, and must be in evaluation mode for it."""

    def val_step(self, batch):
        assert not self.training
        size = batch["inputs"][0].shape[-2:]
        found = [sample.clone() for sample in batch["data_samples"]]
        for sample in found:
            sample.set_data({"translated": torch.zeros(3, *size)})
        return found


@pytest.fixture
def shown():
    """Pictures that a visualizer got, and a runner with it."""
    pictures = []
    visualizer = SimpleNamespace(add_image=lambda *a, **k: pictures.append((a, k)))
    return pictures, SimpleNamespace(model=Model().train(), visualizer=visualizer, iter=0)


def batch(count=3):
    samples = [BaseDataElement(target=torch.full((3, 4, 5), 200, dtype=torch.uint8))
               for _ in range(count)]  # fmt: skip
    inputs = [torch.full((2, 3, 4, 5), 10 * i, dtype=torch.uint8) for i in range(count)]
    return {"inputs": inputs, "data_samples": samples}


def test_pictures_come_every_interval_with_sources_translation_and_truth(shown):
    pictures, runner = shown
    hook = TranslationPictureHook(interval=2, num_rows=2)
    for runner.iter in range(4):
        hook.after_train_iter(runner, runner.iter, batch())
    assert [k["step"] for _, k in pictures] == [2, 4]
    image = pictures[0][0][1]
    assert image.shape == (2 * 4, 4 * 5, 3) and image.dtype == np.uint8
    assert image[0, ::5, 0].tolist() == [0, 0, 128, 200]
    assert image[4, ::5, 0].tolist() == [10, 10, 128, 200]


def test_model_trains_on_after_a_picture(shown):
    _, runner = shown
    TranslationPictureHook(interval=1).after_train_iter(runner, 0, batch())
    assert runner.model.training


def test_bytes_are_rounded_and_clipped():
    found = to_byte_image(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5))
    assert found[:, 0].tolist() == [[0, 0, 128, 255, 255]] * 3


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
def test_pixels_that_are_not_finite_are_magenta(lost):
    image = torch.zeros(3, 2, 2)
    image[1, 0, 1] = lost
    found = to_byte_image(image)
    assert found[:, 0, 1].tolist() == [255, 0, 255] and found[:, 1, 1].tolist() == [128] * 3


def test_tile_lays_rows_below_each_other():
    rows = [[torch.full((3, 2, 3), 2 * r + c, dtype=torch.uint8) for c in range(2)] for r in (0, 1)]
    assert tile(rows)[::2, ::3, 0].tolist() == [[0, 1], [2, 3]]


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="interval=0"):
        TranslationPictureHook(interval=0)
