"""Calibration as JSON and as KITTI's text: the same matrices, faults in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kitti_camera import CALIBRATION

from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import write_calibration


def test_intrinsics_and_extrinsics_give_the_same_calibration(tmp_path):
    write_calibration(tmp_path / "c.txt", CALIBRATION)
    matrices = {"cam2img": CALIBRATION.p2.tolist(), "lidar2cam": CALIBRATION.lidar2cam.tolist()}
    (tmp_path / "c.json").write_text(json.dumps(matrices))
    first, second = (read_any_calibration(tmp_path / f"c.{end}") for end in ("txt", "json"))
    np.testing.assert_array_equal(first.lidar2img, second.lidar2img)
    matrices["cam2img"] = [[200, 0, 198], [0, 200, 65], [0, 0, 1]]
    (tmp_path / "c.json").write_text(json.dumps(matrices))
    third = read_any_calibration(tmp_path / "c.json")
    np.testing.assert_array_equal(third.p2[:, 3], 0)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cam2img": None}, "cam2img is"),
        ({"lidar2cam": [[1, 2], [3, 4]]}, "lidar2cam is 2 x 2, expected 3 x 4 or 4 x 4"),
        ({"cam2img": np.ones((3, 3)).tolist()}, "cam2img is singular"),
        ({"cam2img": "K"}, "cam2img is no matrix"),
    ],
)
def test_bad_json_calibration_is_one_line(tmp_path, change, fault):
    data = {"cam2img": np.eye(3).tolist(), "lidar2cam": np.eye(4).tolist(), **change}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    with pytest.raises(FormatError) as error:
        read_any_calibration(path)
    assert str(error.value).startswith(f"{path}: {fault}")
    for text, expected in (("{", "is no JSON"), ("[]", "has no cam2img")):
        path.write_text(text)
        with pytest.raises(FormatError, match=expected):
            read_any_calibration(path)


def test_key_that_is_given_twice_counts_if_the_values_agree(tmp_path):
    one = json.dumps([[700.0, 0, 600], [0, 700, 180], [0, 0, 1]])
    pose = json.dumps([[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3]])
    path = tmp_path / "c.json"
    path.write_text(f'{{"cam2img": {one}, "cam2img": {one}, "lidar2cam": {pose}}}')
    assert read_any_calibration(path).cam2img[0, 0] == 700
    other = one.replace("700", "350")
    path.write_text(f'{{"cam2img": {one}, "cam2img": {other}, "lidar2cam": {pose}}}')
    with pytest.raises(FormatError, match="c.json: 'cam2img' is given twice, with other values"):
        read_any_calibration(path)
