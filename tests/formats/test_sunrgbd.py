"""SUN RGB-D's files: what is written is read back, what is wrong is named in one line."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
from scipy.io import savemat

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.sunrgbd import (
    RoomCalibration,
    RoomObjects,
    SunInfos,
    frame_info,
    read_calibration,
    read_depth_points,
    read_labels,
    read_results,
    write_calibration,
    write_depth_points,
    write_infos,
    write_labels,
    write_results,
)

# The frame 000017 of SUN RGB-D, as its label file has it (numbers rounded).
LINE = "bed 176 147 461 374 -0.013872 2.993747 -0.561364 0.7899 1.146377 0.638636 0.449 -0.893 0"


def objects():
    boxes = np.array([[0.1, 2.0, -0.3, 0.5, 0.7, 1.1, 0.3], [1.0, 3.0, 0.2, 1.3, 0.4, 0.6, -2.9]])
    return RoomObjects(["bed", "chair"], boxes, bbox=np.array([[3.0, 5, 17, 29], [2, 7, 11, 13]]))


def test_labels_are_read_back(tmp_path):
    write_labels(tmp_path / "a.txt", objects())
    again = read_labels(tmp_path / "a.txt")
    assert again.names.tolist() == ["bed", "chair"]
    np.testing.assert_allclose(again.boxes, objects().boxes, atol=2e-6)
    np.testing.assert_allclose(again.bbox, objects().bbox)


@pytest.mark.parametrize("part", [dict(scores=[0.5]), dict(bbox=np.zeros((1, 4)))], ids=str)
def test_parts_of_other_lengths_are_refused(part):
    with pytest.raises(ValueError, match=f"{next(iter(part))} has shape"):
        RoomObjects(objects().names, objects().boxes, **part)


def test_label_columns_are_those_of_the_extraction(tmp_path):
    (tmp_path / "a.txt").write_text(LINE.rsplit(" ", 1)[0] + "\n")
    found = read_labels(tmp_path / "a.txt")
    expected = [-0.013872, 2.993747, -0.561364, 2.292754, 1.5798, 1.277272]
    np.testing.assert_allclose(found.boxes[0, :6], expected)
    assert found.boxes[0, 6] == pytest.approx(np.arctan2(-0.893, 0.449))
    assert found.bbox[0].tolist() == [176, 147, 637, 521]


def test_results_are_read_back(tmp_path):
    found = RoomObjects(objects().names, objects().boxes, scores=[0.25, 0.75])
    write_results(tmp_path / "a.txt", found)
    again = read_results(tmp_path / "a.txt")
    np.testing.assert_allclose(again.boxes, found.boxes, atol=1e-6)
    assert again.scores.tolist() == [0.25, 0.75]


def test_calibration_is_read_back_column_by_column(tmp_path):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    calibration = RoomCalibration(np.array([[500.0, 0, 310], [0, 510, 240], [0, 0, 1]]), turn)
    write_calibration(tmp_path / "a.txt", calibration)
    again = read_calibration(tmp_path / "a.txt")
    assert np.array_equal(again.tilt, turn) and np.array_equal(
        again.intrinsics, calibration.intrinsics
    )
    assert (tmp_path / "a.txt").read_text().split()[:2] == [
        "0.0000000000000000e+00",
        "1." + "0" * 16 + "e+00",
    ]


def test_depth2img_puts_a_point_ahead_at_the_principal_point():
    calibration = RoomCalibration(np.array([[500.0, 0, 310], [0, 510, 240], [0, 0, 1]]), np.eye(3))
    u, v, depth = calibration.depth2img @ [0.0, 2.0, 0.0]
    assert (u / depth, v / depth, depth) == (310, 240, 2)
    right_up = calibration.depth2img @ [0.2, 2.0, 0.1]
    assert right_up[:2] / right_up[2] == pytest.approx([360, 214.5])


def test_points_are_read_back(tmp_path):
    points = np.random.default_rng(0).random((7, 6)).astype(np.float32)
    write_depth_points(tmp_path / "a.mat", points)
    assert np.array_equal(read_depth_points(tmp_path / "a.mat"), points)


def test_infos_are_read_back_without_other_classes(tmp_path):
    extra = RoomObjects(["lamp", "bed"], objects().boxes, bbox=objects().bbox)
    calibration = RoomCalibration(np.diag([500.0, 500, 1]), np.eye(3))
    write_infos(tmp_path / "a.pkl", [frame_info("000003", calibration, (64, 48), extra)])
    infos = SunInfos(tmp_path / "a.pkl")
    assert infos.frames == ("000003",) and infos.image_name("000003") == "000003.jpg"
    assert infos.objects("000003").names.tolist() == ["bed"]
    np.testing.assert_allclose(infos.objects("000003").boxes, objects().boxes[1:])
    np.testing.assert_allclose(infos.depth2img("000003"), calibration.depth2img)


def test_depth_points_are_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    points = np.random.default_rng(0).random((31, 6), dtype=np.float32)
    written = []
    for day in ("Mon", "Tue"):
        monkeypatch.setattr(time, "asctime", lambda day=day: day)
        write_depth_points(tmp_path / "a.mat", points)
        written.append((tmp_path / "a.mat").read_bytes())
    assert written[0] == written[1] and written[0].startswith(b"MATLAB 5.0 MAT-file ")
    np.testing.assert_array_equal(read_depth_points(tmp_path / "a.mat"), points)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full((3, 3), np.nan), "depth2img is not finite"),
        (np.eye(2), "depth2img is missing or no 3 x 3 or 4 x 4 matrix"),
    ],
)
def test_infos_say_what_is_wrong_with_a_matrix(tmp_path, value, said):
    info = frame_info("000003", RoomCalibration(np.eye(3), np.eye(3)), (64, 48), objects())
    info["images"]["CAM0"]["depth2img"] = value
    write_infos(tmp_path / "a.pkl", [info])
    with pytest.raises(FormatError, match=rf"frame 000003: images\.CAM0\.{said}"):
        SunInfos(tmp_path / "a.pkl").depth2img("000003")


def test_infos_of_the_published_frame_are_read(shared_dir):
    infos = SunInfos(shared_dir / "data" / "sunrgbd_mini" / "sunrgbd_000017_infos.pkl")
    assert infos.frames == ("000017",)
    assert infos.objects("000017").names.tolist() == ["night_stand", "bed"]


GOOD_CALIBRATION = "1 0 0 0 1 0 0 0 1\n500 0 0 0 500 0 310 240 1\n"


@pytest.mark.parametrize(
    ("name", "content", "read", "message"),
    [
        ("a.txt", None, read_calibration, "no such file"),
        ("a.txt", "1 0 0 0 1 0 0 0 1\n", read_calibration, "has 1 lines, expected 2"),
        ("a.txt", "1 0 0\n1 2 3\n", read_calibration, "line 1: tilt has 3 values"),
        ("a.txt", GOOD_CALIBRATION.replace("1 0 0 0", "2 0 0 0", 1), read_calibration, "rotation"),
        ("a.txt", GOOD_CALIBRATION.replace("500", "0"), read_calibration, "K is no camera"),
        ("a.txt", GOOD_CALIBRATION.replace("500", "nan"), read_calibration, "not finite"),
        ("a.txt", "bed 1 2 3\n", read_labels, "line 1: 4 columns, expected 13"),
        ("a.txt", "bed 1 2 3 4 0 0 0 0 1 1 1 0\n", read_labels, "an extent is zero"),
        ("a.txt", "bed 1 2 3 4 0 0 0 1 1 1 0 0\n", read_labels, "orientation is (0, 0)"),
        ("a.mat", {"other": np.eye(2)}, read_depth_points, "has no variable 'instance'"),
        ("a.mat", {"instance": np.eye(3)}, read_depth_points, "expected numbers (N, 6)"),
        ("a.mat", {"instance": np.zeros((0, 6))}, read_depth_points, "holds no points"),
        ("a.mat", {"instance": np.full((3, 6), np.nan)}, read_depth_points, "3 of 3 points"),
        ("a.mat", "no mat", read_depth_points, "not a readable MATLAB file"),
        ("a.pkl", pickle.dumps([1]), SunInfos, "no info file"),
        ("a.pkl", pickle.dumps(print), SunInfos, "only plain containers"),
    ],
)  # fmt: skip
def test_bad_files_are_named_in_one_line(tmp_path, name, content, read, message):
    path = tmp_path / name
    if isinstance(content, dict):
        savemat(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(FormatError) as raised:
        read(path)
    assert message in str(raised.value) and str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
