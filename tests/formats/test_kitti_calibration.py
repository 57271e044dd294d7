"""KITTI calibration files."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import Calibration, read_calibration, write_calibration


def _rewrite(path, name, values):
    """Replace the values of one line; None drops the line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith(name + ":")]
    if values is not None:
        lines.append(f"{name}: {values}")
    path.write_text("\n".join(lines))


def test_calibration_survives_a_round_trip_bit_for_bit(tmp_path, calibration):
    rng = np.random.default_rng(3)
    noisy = Calibration(
        calibration.p2 + rng.normal(size=(3, 4)),
        calibration.r0_rect + 0.01 * rng.normal(size=(3, 3)),
        calibration.tr_velo_to_cam + 0.01 * rng.normal(size=(3, 4)),
    )
    write_calibration(tmp_path / "deep" / "c.txt", noisy)
    again = read_calibration(tmp_path / "deep" / "c.txt")
    for name in ("p2", "r0_rect", "tr_velo_to_cam"):
        np.testing.assert_array_equal(getattr(again, name), getattr(noisy, name))


def test_written_lines_stand_where_converters_that_count_lines_look(tmp_path, calibration):
    write_calibration(tmp_path / "c.txt", calibration)
    lines = (tmp_path / "c.txt").read_text().splitlines()
    names = [line.split(": ")[0] for line in lines]
    assert names == ["P0", "P1", "P2", "P3", "R0_rect", "Tr_velo_to_cam", "Tr_imu_to_velo"]
    assert [len(line.split(" ")) - 1 for line in lines] == [12, 12, 12, 12, 9, 12, 12]


def test_point_placed_by_hand_lands_on_the_pixel_computed_by_hand(calibration):
    # 10.27 m ahead is 10 m from the camera; 1 m left is x = -1; 0.08 m below makes y = 0.
    pixel = calibration.lidar2img @ [10.27, 1.0, -0.08, 1.0]
    depth = 10 + 0.003
    np.testing.assert_allclose(pixel[2], depth)
    np.testing.assert_allclose(pixel[0] / depth, (-700 + 600 * 10 + 42) / depth)
    np.testing.assert_allclose(pixel[1] / depth, (180 * 10 + 0.7) / depth)


def test_real_calibration_is_read_as_numpy_parses_it(frames):
    for root, frame in frames:
        path = root / "calib" / f"{frame}.txt"
        by_name = {
            line.split(":")[0]: np.array(line.split()[1:], float)
            for line in path.read_text().splitlines()
            if line
        }
        read = read_calibration(path)
        np.testing.assert_array_equal(read.p2.ravel(), by_name["P2"])
        rotation = by_name["R0_rect"].reshape(3, 3)
        expected = rotation @ by_name["Tr_velo_to_cam"].reshape(3, 4)
        np.testing.assert_allclose(read.lidar2cam[:3], expected, atol=1e-15)


@pytest.mark.parametrize("name", ["P2", "R0_rect", "Tr_velo_to_cam"])
@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (None, "has no {name}"),
        ("1 2 3", "{name} has 3 values, expected"),
        ("zeros", "{name} is singular"),
        ("nan", "{name}: 'nan' is not finite"),
        ("x", "{name}: 'x' is not a number"),
    ],
)
def test_bad_matrix_is_one_line_that_names_file_and_matrix(
    tmp_path, calibration, name, values, fault
):
    path = tmp_path / "000007.txt"
    write_calibration(path, calibration)
    count = 9 if name == "R0_rect" else 12
    if values == "zeros":
        values = " ".join(["1"] * count)
    elif values in ("nan", "x"):
        values = " ".join(["1"] * (count - 1) + [values])
    _rewrite(path, name, values)
    with pytest.raises(FormatError) as error:
        read_calibration(path)
    assert str(error.value).startswith(f"{path}: " + fault.format(name=name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", [2, 4, 5])
def test_matrix_given_twice_is_refused_where_the_two_differ(tmp_path, calibration, line):
    path = tmp_path / "c.txt"
    write_calibration(path, calibration)
    text = path.read_text()
    path.write_text(text + text.splitlines()[line].replace(" ", "  ") + "\n")
    assert np.array_equal(read_calibration(path).lidar2img, calibration.lidar2img)
    name, first, rest = text.splitlines()[line].split(" ", 2)
    path.write_text(f"{text}{name} {float(first) + 1} {rest}\n")
    with pytest.raises(FormatError, match=f"line 8: {name[:-1]} is given twice, with other values"):
        read_calibration(path)


def test_missing_folder_and_binary_files_are_named(tmp_path):
    with pytest.raises(FormatError, match="nowhere.txt: no such file"):
        read_calibration(tmp_path / "nowhere.txt")
    with pytest.raises(FormatError, match="cannot be read"):
        read_calibration(tmp_path)
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="is UTF-16 text"):
        read_calibration(tmp_path / "c.txt")


def test_calibration_of_a_wrong_shape_cannot_be_built(calibration):
    with pytest.raises(ValueError, match=r"p2 has shape \(4, 4\), expected \(3, 4\)"):
        Calibration(np.eye(4), calibration.r0_rect, calibration.tr_velo_to_cam)
