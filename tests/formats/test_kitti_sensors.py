"""KITTI point clouds and images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import read_image, read_image_size, read_points, write_points


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "000005.png"
    pixels = np.random.default_rng(7).integers(0, 255, (11, 17, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path, pixels


@pytest.mark.parametrize("num_features", [4, 5])
@pytest.mark.parametrize("count", [0, 1, 13])
def test_points_survive_a_round_trip_bit_for_bit(tmp_path, num_features, count):
    points = np.random.default_rng(0).normal(size=(count, num_features)).astype(np.float32)
    write_points(tmp_path / "deep" / "p.bin", points)
    again = read_points(tmp_path / "deep" / "p.bin", num_features)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, points)


def test_cut_off_points_are_named_with_their_size(tmp_path):
    path = tmp_path / "000001.bin"
    path.write_bytes(b"\0" * 35)
    with pytest.raises(FormatError, match=f"^{path}: 35 bytes are no whole number of points of 4"):
        read_points(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 3])
def test_points_that_are_not_finite_are_counted(tmp_path, bad, column):
    points = np.ones((7, 4), np.float32)
    points[[2, 5], column] = bad
    path = tmp_path / "000001.bin"
    write_points(path, points)
    with pytest.raises(FormatError) as error:
        read_points(path)
    assert str(error.value) == f"{path}: 2 of 7 points are NaN or infinite (first: 2)"


def test_points_of_one_axis_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"\(8,\)"):
        write_points(tmp_path / "p.bin", np.zeros(8))


def test_image_is_read_as_rgb(picture):
    path, pixels = picture
    np.testing.assert_array_equal(read_image(path), pixels)
    assert read_image_size(path) == (17, 11)


def test_grey_image_is_repeated_over_three_channels(tmp_path):
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    Image.fromarray(grey).save(tmp_path / "g.png")
    np.testing.assert_array_equal(read_image(tmp_path / "g.png"), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "no such file"), (b"", "not a readable"), (b"no image", "not a readable image")],
)
def test_missing_and_unreadable_images_are_named(tmp_path, read, content, fault):
    path = tmp_path / "000009.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert fault in str(error.value)
    assert str(error.value).count(str(path)) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_image_that_is_cut_off_is_named(tmp_path, suffix):
    pixels = np.random.default_rng(7).integers(0, 255, (31, 37, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FormatError, match=f"cut{suffix}: is not a readable image"):
        read_image(path)
