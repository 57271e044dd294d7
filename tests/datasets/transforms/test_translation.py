"""Steps of the translation pipeline: one geometry for all images of a view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.datasets.transforms import (
    AlignedFlip,
    LoadDomainImages,
    PackTranslationInputs,
    RandomCropDomainImages,
    ResizeDomainImages,
)
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import write_png


def view(size=(11, 13), domains=("rgb", "normal", "reshading")):
    """Images whose pixels say where they were: row, column, image."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    images = [np.stack([rows, columns, np.full_like(rows, i)], axis=-1) for i in range(3)]
    return {"images": dict(zip(domains, images)), "sources": list(domains[:2])}


def test_load_reads_each_image_in_its_encoding_and_the_target_last(tmp_path):
    write_png(tmp_path / "rgb.png", np.full((2, 3, 3), 7, dtype=np.uint8))
    write_png(tmp_path / "depth.png", np.full((2, 3), 65535, dtype=np.uint16))
    paths = {"source_paths": [tmp_path / "rgb.png"], "sources": ["rgb"]}
    target = {"target_path": tmp_path / "depth.png", "target": "depth_zbuffer"}
    loaded = LoadDomainImages().transform({**paths, **target})
    assert [image.max() for image in loaded["images"].values()] == [7, 254]
    assert list(loaded["images"]) == ["rgb", "depth_zbuffer"]
    assert len(LoadDomainImages().transform(paths)["images"]) == 1


@pytest.mark.parametrize("size", [(20, 10), (10, 15)])
def test_images_of_another_aspect_are_no_view(tmp_path, size):
    write_png(tmp_path / "rgb.png", np.zeros((10, 20, 3), dtype=np.uint8))
    write_png(tmp_path / "normal.png", np.zeros((*size, 3), dtype=np.uint8))
    paths = [tmp_path / "rgb.png", tmp_path / "normal.png"]
    with pytest.raises(FormatError, match=r"normal\.png: .*rgb\.png is 20 x 10: not the same view"):
        LoadDomainImages().transform({"source_paths": paths, "sources": ["rgb", "normal"]})


def test_16_bit_grey_for_an_8_bit_domain_keeps_its_upper_bits(tmp_path):
    write_png(tmp_path / "a.png", np.array([[0, 256, 30000, 65535]], dtype=np.uint16))
    sample = {"source_paths": [tmp_path / "a.png"], "sources": ["reshading"]}
    image = LoadDomainImages().transform(sample)["images"]["reshading"]
    assert image[0, :, 0].tolist() == [0, 1, 117, 255]


def test_resize_brings_images_of_any_size_to_one():
    results = view()
    results["images"]["normal"] = np.zeros((40, 52, 3), dtype=np.uint8)
    resized = ResizeDomainImages(size=(7, 5)).transform(results)["images"].values()
    assert {image.shape for image in resized} == {(5, 7, 3)}


def test_resize_to_half_takes_the_whole_area_into_account():
    checkers = np.indices((8, 8)).sum(axis=0) % 2 * 255
    image = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    half = ResizeDomainImages(4).transform({"images": {"rgb": image}})["images"]["rgb"]
    assert half.min() > 120 and half.max() < 135


def test_crop_cuts_one_window_out_of_all_images():
    np.random.seed(0)
    corners = set()
    for _ in range(200):
        images = list(RandomCropDomainImages((5, 7)).transform(view())["images"].values())
        for index, image in enumerate(images):
            assert image.shape == (7, 5, 3)
            np.testing.assert_array_equal(image[..., :2], images[0][..., :2])
            assert (image[..., 2] == index).all()
        corners.add(tuple(images[0][0, 0, :2].tolist()))
    assert {row for row, _ in corners} == set(range(5))
    assert {column for _, column in corners} == set(range(9))


def test_crop_larger_than_the_image_says_both_sizes():
    with pytest.raises(ValueError, match=r"\(11, 13\).*\(20, 20\)"):
        RandomCropDomainImages(20).transform(view())


def test_flip_mirrors_all_or_none():
    original = view()["images"].values()
    flipped = AlignedFlip(1.0).transform(view())
    kept = AlignedFlip(0.0).transform(view())
    for before, after, same in zip(original, flipped["images"].values(), kept["images"].values()):
        np.testing.assert_array_equal(after, before[:, ::-1])
        np.testing.assert_array_equal(same, before)
    assert flipped["flip"] and not kept["flip"]


def test_flip_turns_the_sideways_part_of_normals_when_asked():
    original = view()["images"]
    turned = AlignedFlip(1.0, turn_normals=True).transform(view())["images"]
    np.testing.assert_array_equal(turned["normal"][..., 0], 255 - original["normal"][:, ::-1, 0])
    np.testing.assert_array_equal(turned["normal"][..., 1:], original["normal"][:, ::-1, 1:])
    np.testing.assert_array_equal(turned["rgb"], original["rgb"][:, ::-1])


def test_former_names_of_the_flip_build_it():
    for name in ("SegFlip", "RandomFlipDomainImages", "AlignedFlip"):
        assert type(TRANSFORMS.build(dict(type=name, prob=0.3))) is AlignedFlip


def test_flip_follows_the_seed():
    draws = []
    for _ in range(2):
        np.random.seed(3)
        draws.append([AlignedFlip().transform(view())["flip"] for _ in range(20)])
    assert draws[0] == draws[1] and set(draws[0]) == {True, False}


def test_pack_keeps_sources_in_order_and_the_target_apart():
    packed = PackTranslationInputs().transform({**view(), "stem": "point_7_view_2"})
    assert packed["inputs"].shape == (2, 3, 11, 13) and packed["inputs"].dtype == torch.uint8
    assert packed["inputs"][:, 2, 0, 0].tolist() == [0, 1]
    assert packed["data_samples"].target[2, 0, 0] == 2
    assert packed["data_samples"].stem == "point_7_view_2"


def test_pack_without_a_target_has_none():
    results = view()
    del results["images"]["reshading"]
    assert "target" not in PackTranslationInputs().transform(results)["data_samples"]


def test_pack_names_sizes_that_differ():
    results = view()
    results["images"]["normal"] = results["images"]["normal"][:5]
    with pytest.raises(ValueError, match=r"\(5, 13, 3\).*resize them"):
        PackTranslationInputs().transform(results)


@pytest.mark.parametrize("make", [ResizeDomainImages, RandomCropDomainImages])
@pytest.mark.parametrize("size", [(5, 0), (1, 2, 3), 72.5, "64", None, (4.0, 4)])
def test_a_size_that_is_none_is_refused_at_once(make, size):
    with pytest.raises(ValueError, match="size=.* must be 1 or more, or \\(width, height\\)"):
        make(size)
