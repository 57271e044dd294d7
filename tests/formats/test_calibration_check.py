"""A calibration that cannot be one is refused; an unlikely one is named with its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.calibration_check import (
    check_boxes,
    check_cloud,
    check_matrices,
    check_overlap,
)
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.kitti import read_calibration, read_points

SIZE = (1242, 375)
CAMERA = np.array([[700.0, 0, 621], [0, 700, 187], [0, 0, 1]])
POSE = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.3], [1, 0, 0, -0.5], [0, 0, 0, 1]])


def full(camera: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = camera
    return matrix


def changed(matrix: np.ndarray, row: int, column: int, value: float) -> np.ndarray:
    matrix = matrix.copy()
    matrix[row, column] = value
    return matrix


def scaled(factor: float) -> np.ndarray:
    pose = POSE.copy()
    pose[:3, :3] *= factor
    return pose


def test_good_calibration_has_no_faults() -> None:
    assert check_matrices(POSE, CAMERA, SIZE) == []


@pytest.mark.parametrize(
    "pose, camera, level, fault",
    [
        (POSE.T, CAMERA, "error", "last row is 0.1 -0.3 -0.5 1, expected .*; it looks transposed"),
        (changed(POSE, 3, 3, 2.0), CAMERA, "error", "last row is 0 0 0 2, expected 0 0 0 1"),
        (changed(POSE, 0, 1, 1.0), CAMERA, "error", r"mirrors \(determinant -1\)"),
        (scaled(1.2), CAMERA, "error", "is no rotation .* scale 1.2"),
        (scaled(1.002), CAMERA, "warning", "is no rotation"),
        (changed(POSE, 0, 3, 270.0), CAMERA, "error", "270 m from each other; millimetres"),
        (changed(POSE, 0, 3, 20.0), CAMERA, "warning", "20.01 m from each other"),
        (POSE, CAMERA.T, "error", "its last row holds the centre; it looks transposed"),
        (POSE, changed(CAMERA, 0, 0, -700), "warning", "focal lengths are -700 and 700 px"),
        (POSE, changed(CAMERA, 0, 2, 2000), "warning", r"\(2000, 187\) is not in the middle"),
        (POSE, CAMERA * [[2], [2], [1]], "warning", "was the image resized"),
        (POSE, CAMERA * [[0.4], [0.4], [1]], "warning", "was the image resized"),
        (POSE, changed(CAMERA, 2, 2, 2), "warning", "last row is 0 0 2, expected 0 0 1"),
    ],
)  # fmt: skip
def test_matrix_that_is_wrong_is_named_with_its_numbers(pose, camera, level, fault) -> None:
    import re

    found = check_matrices(pose, camera, SIZE)
    assert [each.level for each in found] == [level]
    assert re.search(fault, found[0].text)


def kitti(shared_dir: Path, frame: str = "000001"):
    root = shared_dir / "data" / "kitti_mini" / "training"
    return read_calibration(root / "calib" / f"{frame}.txt"), read_points(
        root / "velodyne" / f"{frame}.bin"
    )


def transposed(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, :3] = pose[:3, :3].T
    return pose


def in_millimetres(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, 3] *= 1000
    return pose


@pytest.mark.parametrize("change", [np.linalg.inv, transposed])
def test_matrix_that_leads_the_other_way_is_recognised(shared_dir, change) -> None:
    calibration, _ = kitti(shared_dir)
    found = check_matrices(change(calibration.lidar2cam), calibration.cam2img, SIZE)
    assert "error" in [each.level for each in found]
    assert any("looks like camera-to-LiDAR, or transposed" in each.text for each in found)


@pytest.mark.parametrize("change, kind", [(in_millimetres, "in millimetres"),
                                          (np.linalg.inv, "camera-to-LiDAR")])  # fmt: skip
def test_matrix_that_brings_no_point_is_told_by_what_would(shared_dir, change, kind) -> None:
    calibration, points = kitti(shared_dir)
    ahead = points[(points[:, 0] > 5) & (np.abs(points[:, 1]) < 0.5 * points[:, 0])]
    pose, camera = change(calibration.lidar2cam), calibration.cam2img
    count, found = check_overlap(ahead, pose, camera, SIZE)
    assert [each.level for each in found] == ["error"]
    assert f"{count} of {len(ahead)} points fall into the image, but" in found[0].text
    assert f"if it is {kind}" in found[0].text


def test_real_calibrations_have_no_faults(shared_dir) -> None:
    for frame in ("000000", "000001", "000002"):
        calibration, points = kitti(shared_dir, frame)
        assert check_matrices(calibration.lidar2cam, calibration.cam2img, SIZE) == []
        count, found = check_overlap(points, calibration.lidar2cam, calibration.cam2img, SIZE)
        assert count > 10000 and found == []


@pytest.mark.parametrize("number, levels", [(0, []), (3, ["error"]), (500, ["error"])])
def test_cloud_behind_the_camera_is_an_error_and_an_empty_one_is_not(number, levels) -> None:
    points = np.tile([0.0, 0.0, 300.0, 0.5], (number, 1))
    _, found = check_overlap(points, POSE, full(CAMERA), SIZE)
    assert [each.level for each in found] == levels


def test_boxes_outside_the_cloud_are_counted() -> None:
    points = np.random.default_rng(0).uniform(-10, 10, (100, 4))
    assert check_boxes(np.zeros((3, 3)), points) == []
    (found,) = check_boxes(np.array([[0.0, 0, 0], [0, 900, 0], [0, 0, 5000]]), points)
    assert found == ("warning", "2 of 3 boxes lie outside the cloud")


@pytest.mark.parametrize(
    "scale, faults",
    [
        ([1, 1, 1, 1], []),
        ([1000, 1000, 1000, 1], ["a coordinate is 20000; coordinates are metres"]),
        ([1, 1, 1, 255], ["reflectance spans 0 to 255; KITTI's is 0 to 1"]),
    ],
)
def test_cloud_in_other_units_is_told(scale, faults) -> None:
    points = np.array([[20.0, 3, -1, 1], [5, -2, 0, 0]]) * scale
    assert [each.text for each in check_cloud(points, with_reflectance=True)] == faults
    assert all("metres" in each.text for each in check_cloud(points))
    assert check_cloud(points[:0], with_reflectance=True) == []


@pytest.mark.parametrize(
    "lidar2cam, fault",
    [
        (POSE.T, "last row is .* it looks transposed"),
        (changed(POSE, 0, 1, 1.0), "mirrors"),
        (changed(POSE, 2, 3, 5000.0), "millimetres"),
    ],
)
def test_json_of_such_a_matrix_is_refused(tmp_path: Path, lidar2cam, fault: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"cam2img": CAMERA.tolist(), "lidar2cam": lidar2cam.tolist()}))
    with pytest.raises(FormatError, match=fault):
        read_any_calibration(path)
