"""``Segmentor``: files, arrays and batches alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gemini_det3d import Segmentor
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.taskonomy import write_png

DETECTOR = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
SEGMENTOR = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"


@pytest.fixture(scope="module")
def segmentor():
    torch.manual_seed(0)
    return Segmentor(SEGMENTOR)


def four_images(seed, height=40, width=56):
    rng = np.random.default_rng(seed)
    names = ("rgb", "depth", "event", "lidar")
    return {name: rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for name in names}


def test_segmentor_gives_the_same_for_arrays_as_for_files(segmentor, tmp_path):
    images = four_images(0)
    for name, image in images.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    labels = segmentor({name: tmp_path / f"{name}.png" for name in images})
    assert labels.shape == (40, 56) and labels.dtype == np.uint8
    assert labels.max() < len(segmentor.classes) == 25
    np.testing.assert_array_equal(segmentor(images), labels)
    np.testing.assert_array_equal(segmentor(list(images.values())), labels)


def test_segmentor_takes_batches_of_frames_that_do_not_see_each_other(segmentor):
    frames = [four_images(0), four_images(1, 64, 32), four_images(2)]
    found = segmentor(frames)
    assert [labels.shape for labels in found] == [(40, 56), (64, 32), (40, 56)]
    np.testing.assert_array_equal(found[1], segmentor(frames[1]))
    # one more of that size for all: the larger frame pads nothing
    np.testing.assert_array_equal(found[::2], segmentor(frames[::2]))


def test_segmentor_takes_none_for_a_sensor_that_delivered_nothing(segmentor):
    images = four_images(0)
    without = segmentor({**images, "event": None})
    assert not np.array_equal(without, segmentor(images))
    np.testing.assert_array_equal(without, segmentor({**four_images(5), **images, "event": None}))
    blank = segmentor({**images, "event": np.zeros_like(images["rgb"])})
    assert not np.array_equal(without, blank)  # black is not absent


def test_segmentor_gives_no_labels_for_an_answer_that_is_not_finite():
    broken = Segmentor(SEGMENTOR)
    with torch.no_grad():
        broken.model.decode_head.classify.bias[3] = float("nan")
    with pytest.raises(FormatError, match="frame 0: the answer of 2240 of 2240 pixels is NaN"):
        broken(four_images(0))


def test_segmentor_refuses_a_checkpoint_of_other_modalities(segmentor, tmp_path):
    path = tmp_path / "a.pth"
    meta = {"dataset_meta": {"modalities": ("depth", "rgb", "event", "lidar")}}
    torch.save({"state_dict": segmentor.model.state_dict(), "meta": meta}, path)
    with pytest.raises(FormatError, match="a.pth: was trained on depth, rgb, event, lidar, in"):
        Segmentor(SEGMENTOR, path)


def test_files_in_another_order_than_the_model_takes_are_told(segmentor, tmp_path, caplog):
    images = four_images(0)
    for name, image in images.items():
        write_png(tmp_path / f"7_{name}.png", image)
    files = [tmp_path / f"7_{name}.png" for name in segmentor.modalities]
    (labels,) = segmentor((files,))
    assert caplog.messages == [] and np.array_equal(labels, segmentor(images))
    segmentor([files[1], files[0], *files[2:]])
    (first, second) = caplog.messages
    assert first.endswith("7_depth.png: is given for rgb, and by its name it is depth")
    assert second.endswith("7_rgb.png: is given for depth, and by its name it is rgb")


def test_segmentor_names_what_is_wrong_with_its_images(segmentor):
    images = four_images(0)
    with pytest.raises(ConfigError, match="images of rgb; the model takes rgb, depth, event"):
        segmentor({"rgb": images["rgb"]})
    with pytest.raises(ConfigError, match="3 images for 4 modalities"):
        segmentor(tuple(images.values())[:3])
    for nothing in (None, "rgb.png", iter(images.values())):
        with pytest.raises(ConfigError, match="1 images for 4 modalities .*; a list of them"):
            segmentor(nothing)
    with pytest.raises(ConfigError, match="no image of rgb"):
        segmentor(dict.fromkeys(images))
    with pytest.raises(FormatError, match="depth: is 55 x 40 pixels, rgb 56 x 40"):
        segmentor({**images, "depth": images["depth"][:, 1:]})
    with pytest.raises(ConfigError, match="it is no segmentor"):
        Segmentor(DETECTOR)
