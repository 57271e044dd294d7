"""Aligned files of a segmentation frame: kinds, sizes and numbers that cannot be are refused."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS
from PIL import Image

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.transforms import seg_loading
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import write_image


def step(kind, **options):
    return TRANSFORMS.build(dict(type=kind, **options))


@pytest.fixture
def frame(tmp_path):
    """A sample on disk; rewrite a file to change it."""
    rng = np.random.default_rng(0)
    write_image(tmp_path / "rgb.png", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    write_image(tmp_path / "depth.png", rng.integers(0, 255, (48, 64), dtype=np.uint8))
    write_image(tmp_path / "labels.png", rng.integers(0, 5, (48, 64), dtype=np.uint8))
    return {
        "image_paths": {m: str(tmp_path / f"{m}.png") for m in ("rgb", "depth")},
        "label_path": str(tmp_path / "labels.png"),
        "first_label": 0,
        "num_classes": 5,
    }


def load(frame, **options):
    return step("LoadSegLabels").transform(step("LoadModalities", **options).transform(dict(frame)))


def labels_of(size, dtype=np.uint8):
    """A map whose number says its quadrant."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (2 * (rows >= size[0] / 2) + (columns >= size[1] / 2)).astype(dtype)


def test_a_margin_is_cropped_from_the_middle(frame):
    write_image(frame["label_path"], labels_of((46, 62)))
    found = load(frame)
    assert found["labels"].shape == found["images"]["depth"].shape[:2] == (46, 62)
    rgb = np.asarray(Image.open(frame["image_paths"]["rgb"]))
    np.testing.assert_array_equal(found["images"]["rgb"], rgb[1:47, 1:63])
    assert found["img_shape"] == (46, 62)


@pytest.mark.parametrize("kind", ["labels", "depth"])
@pytest.mark.parametrize("size", [(24, 32), (96, 128), (40, 54)])
def test_another_resolution_is_refused_with_both_files(frame, kind, size):
    path = frame["label_path"] if kind == "labels" else frame["image_paths"]["depth"]
    write_image(path, labels_of(size))
    with pytest.raises(FormatError) as error:
        load(frame)
    wanted = (path, frame["image_paths"]["rgb"], f"{size[1]} x {size[0]}", "64 x 48", "resolution")
    assert all(word in str(error.value) for word in wanted)


@pytest.mark.parametrize("size", [(24, 32), (96, 128)])
def test_resize_reaches_labels_and_takes_their_nearest_pixel(frame, size):
    write_image(frame["label_path"], labels_of(size))
    write_image(frame["image_paths"]["depth"], np.full(size, 77, dtype=np.uint8))
    found = load(frame, on_size_mismatch="resize")
    np.testing.assert_array_equal(found["labels"], labels_of((48, 64)))
    assert found["images"]["depth"].shape == (48, 64, 3)
    assert found["img_shape"] == (48, 64)


@pytest.mark.parametrize("rule", ["crop", "resize"])
@pytest.mark.parametrize("kind", ["labels", "depth"])
def test_another_aspect_is_not_the_same_view(frame, rule, kind):
    path = frame["label_path"] if kind == "labels" else frame["image_paths"]["depth"]
    write_image(path, labels_of((64, 48)))
    with pytest.raises(FormatError, match="48 x 64 pixels, .*64 x 48: not the same view"):
        load(frame, on_size_mismatch=rule)


def test_any_difference_is_an_error_on_request(frame):
    write_image(frame["label_path"], labels_of((47, 64)))
    with pytest.raises(FormatError, match="labels.png: is 64 x 47 pixels, .*rgb.png is 64 x 48"):
        load(frame, on_size_mismatch="error")


def test_labels_beyond_the_classes_name_file_and_numbering(frame):
    labels = 1 + labels_of((48, 64))
    labels[7, 63] = 5
    write_image(frame["label_path"], labels)
    with pytest.raises(FormatError, match=r"labels.png: holds 5; .*first_label=1 would fit"):
        load(frame)
    assert load({**frame, "first_label": 1})["labels"][7, 63] == 4


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8), "colour-coded"),
        (np.full((48, 64), 300, dtype=np.uint16), "holds 300; the 5 classes are 0 to 4"),
        (np.full((48, 64), 6, dtype=np.uint8), "holds 6"),
    ],
)
def test_maps_that_cannot_be_labels_are_named(frame, pixels, fault):
    Image.fromarray(pixels).save(frame["label_path"])
    with pytest.raises(FormatError, match=f"labels.png: .*{fault}"):
        load(frame)


def test_one_bit_labels_are_zero_and_one(frame):
    is_right = labels_of((48, 64)) % 2 == 1
    Image.fromarray(is_right).save(frame["label_path"])
    np.testing.assert_array_equal(load(frame)["labels"], is_right)


def test_float_depth_in_metres_wants_its_scale(frame):
    depth = np.full((48, 64), 2.5, dtype=np.float32)
    depth[0, 0] = np.nan
    path = frame["image_paths"]["depth"].replace(".png", ".tiff")
    Image.fromarray(depth).save(path)
    frame["image_paths"]["depth"] = path
    options = dict(max_values=dict(depth=10.0))
    with pytest.raises(FormatError, match="depth.tiff: 1 of 3072 pixels are NaN"):
        load(frame, **options)
    found = load(frame, **options, on_non_finite="zero")["images"]["depth"]
    assert found[0, 0].tolist() == [0, 0, 0] and found[1, 1].tolist() == [63.75] * 3
    with pytest.raises(FormatError, match="max_values must say"):
        load(frame, on_non_finite="zero")
    with pytest.raises(ValueError, match="on_non_finite='ignore'"):
        step("LoadModalities", on_non_finite="ignore")


@pytest.mark.parametrize("value", [0, -5.0, float("nan"), float("inf"), "10"])
def test_a_number_that_cannot_be_white_is_refused_when_built(value):
    with pytest.raises(ValueError, match="max_values: depth=.* must be a number above 0"):
        step("LoadModalities", max_values=dict(depth=value))


@pytest.mark.parametrize("most, is_told", [(4000, True), (40000, False), (0, False)])
def test_16_bit_images_that_are_nearly_black_are_told_once(frame, monkeypatch, most, is_told):
    depth = np.linspace(0, most, 48 * 64).reshape(48, 64).astype(np.uint16)
    Image.fromarray(depth).save(frame["image_paths"]["depth"])

    lines: list[str] = []
    monkeypatch.setattr(seg_loading, "print_log", lambda text, **more: lines.append(text))

    def said(**options):
        lines.clear()
        loader = step("LoadModalities", **options)
        for _ in range(2):
            loader.transform(dict(frame))
        return "".join(lines)

    text = said()
    told = "depth.png: no pixel of this 16-bit image is above 16 of 255; max_values of LoadModal"
    assert text.count(told) == int(is_told) and text.count("16-bit") == int(is_told)
    assert "16-bit" not in said(max_values={"depth": 4000})
