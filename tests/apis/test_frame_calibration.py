"""Matrices of a data set's frames are questioned as those of single files are."""

from __future__ import annotations

import numpy as np
import pytest
from kitti_camera import CALIBRATION, SIZE

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.frame_calibration import (
    calibration_faults,
    meta_defaults_of,
    pixel_offset_of,
)

AHEAD = np.random.default_rng(0).uniform((5, -3, -1), (40, 3, 0), (500, 3))


def camera(lidar2cam=CALIBRATION.lidar2cam, **more) -> dict:
    size = {"width": SIZE[0], "height": SIZE[1]}
    matrices = {"lidar2cam": np.asarray(lidar2cam).tolist(), "cam2img": CALIBRATION.cam2img}
    return {**matrices, **size, **more}


def info(**cameras) -> dict:
    return {"images": {"R0_rect": np.eye(4).tolist(), "CAM0": {"cam2img": np.eye(4)}, **cameras}}


def test_good_matrices_have_no_fault() -> None:
    assert calibration_faults(info(CAM2=camera()), AHEAD) == []
    assert calibration_faults({}, AHEAD) == []


@pytest.mark.parametrize(
    "change, words",
    [
        (np.linalg.inv, "looks like camera-to-LiDAR"),
        (np.transpose, "it looks transposed"),
        (lambda pose: np.diag([1, 1, -1, 1]) @ pose, "mirrors"),
        (lambda pose: pose + 900 * np.outer([0, 0, -1, 0], [0, 0, 0, 1]), "millimetres"),
    ],
    ids=["inverse", "transposed", "mirrored", "far off"],
)
def test_impossible_matrices_are_errors(change, words: str) -> None:
    pose = change(CALIBRATION.lidar2cam)
    found = calibration_faults(info(CAM2=camera(pose)), AHEAD)
    assert any(fault.level == "error" and words in fault.text for fault in found)


def test_one_camera_of_several_may_see_no_point() -> None:
    back = np.diag([-1.0, 1, -1, 1]) @ CALIBRATION.lidar2cam
    (fault,) = calibration_faults(info(FRONT=camera(), BACK=camera(back)), AHEAD)
    assert fault.level == "warning" and fault.text.startswith("BACK: 0 of 500 points")
    both = calibration_faults(info(BACK=camera(back), SAME=camera(back)), AHEAD)
    assert [fault.level for fault in both] == ["error", "error"]


def test_size_that_the_info_lacks_is_taken_from_the_image() -> None:
    unknown = camera(np.diag([-1.0, 1, -1, 1]) @ CALIBRATION.lidar2cam)
    del unknown["width"], unknown["height"]
    assert calibration_faults(info(CAM2=unknown), AHEAD) == []
    assert calibration_faults(info(CAM2=unknown), AHEAD, SIZE)[0].level == "error"


def test_offset_is_found_wherever_the_model_has_it() -> None:
    layer = {"fusion_layer": {"type": "x", "pixel_offset": (0.5, 0.5)}}
    assert pixel_offset_of({"pts_voxel_encoder": layer}) == (0.5, 0.5)
    assert pixel_offset_of({"necks": [{}, layer], "pixel_offset": [0.5, 0.5]}) == (0.5, 0.5)
    assert pixel_offset_of({"type": "x"}) == (0.0, 0.0)
    with pytest.raises(ConfigError, match="pixel_offset is given as"):
        pixel_offset_of({**layer, "pixel_offset": (0, 0)})


def test_defaults_are_found_wherever_the_model_has_them() -> None:
    layer = {"fusion_layer": {"type": "x", "meta_defaults": {"flip": False}}}
    assert meta_defaults_of({"pts_voxel_encoder": layer}) == {"flip": False}
    both = {**layer, "meta_defaults": {"scale_factor": (1.0, 1.0)}}
    assert meta_defaults_of(both) == {"flip": False, "scale_factor": (1.0, 1.0)}
    assert meta_defaults_of({"type": "x"}) == {}
