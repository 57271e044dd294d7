"""mmdet3d's info files as calibrations and objects."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti_infos import frame_name, read_infos

CAR = {
    "bbox": [10.0, 20.0, 50.0, 60.0],
    "bbox_label": 2,
    "bbox_3d": [1.0, 1.6, 20.0, 4.1, 1.5, 1.7, 0.3],
    "truncated": 0.1,
    "occluded": 1,
    "alpha": 0.25,
}
REGION = {
    **CAR,
    "bbox_label": -1,
    "bbox_3d": [-1000.0, -1000.0, -1000.0, -1.0, -1.0, -1.0, -10.0],
    "truncated": -1.0,
    "occluded": -1,
    "alpha": -10.0,
}
CAMERA = {
    "cam2img": [[700.0, 0, 600, 42], [0, 700, 180, 1], [0, 0, 1, 0.003], [0, 0, 0, 1]],
    "lidar2cam": [[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]],
    "width": 1242,
    "height": 375,
}
FRAME = {"sample_idx": 7, "images": {"CAM2": CAMERA}, "instances": [CAR, REGION]}
CATEGORIES = {"Pedestrian": 0, "Cyclist": 1, "Car": 2, "DontCare": -1}


def load(tmp_path, *frames, categories=CATEGORIES):
    path = tmp_path / "infos.pkl"
    content = {"metainfo": {"categories": categories}, "data_list": list(frames)}
    path.write_bytes(pickle.dumps(content))
    return read_infos(path)


def without(*keys) -> dict:
    """FRAME without one entry."""
    frame = copy.deepcopy(FRAME)
    inner = frame
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return frame


def test_objects_are_those_of_the_label_file(tmp_path):
    objects = load(tmp_path, FRAME).objects(7)
    assert objects.name.tolist() == ["Car", "DontCare"]
    np.testing.assert_array_equal(objects.location[0], [1.0, 1.6, 20.0])
    np.testing.assert_array_equal(objects.dimensions[0], [1.5, 1.7, 4.1])
    np.testing.assert_array_equal(objects.bbox[0], CAR["bbox"])
    assert (objects.rotation_y[0], objects.alpha[0]) == (0.3, 0.25)
    assert (objects.truncated[0], objects.occluded[0]) == (0.1, 1)
    assert objects.score is None


def test_matrices_and_size_are_those_of_the_camera(tmp_path):
    infos = load(tmp_path, FRAME)
    calibration = infos.calibration(7)
    np.testing.assert_array_equal(calibration.lidar2cam, CAMERA["lidar2cam"])
    np.testing.assert_array_equal(calibration.cam2img, CAMERA["cam2img"])
    assert infos.image_size(7) == (1242, 375)
    assert infos.frames == (7,) and len(infos) == 1


def test_label_minus_one_is_a_region_only_where_the_box_has_no_size(tmp_path):
    other = {**CAR, "bbox_label": -1}
    frame = {**FRAME, "instances": [other, REGION]}
    one = load(tmp_path, frame, categories={**CATEGORIES, "Bus": -1})
    assert one.objects(7).name.tolist() == ["Bus", "DontCare"]
    two = load(tmp_path, frame, categories={**CATEGORIES, "Bus": -1, "Tank": -1})
    assert two.objects(7).name.tolist() == ["Unknown", "DontCare"]


def test_a_frame_without_objects_has_none(tmp_path):
    assert len(load(tmp_path, {**FRAME, "instances": []}).objects(7)) == 0


def test_a_frame_of_two_splits_may_stand_twice_but_only_with_the_same_content(tmp_path):
    assert len(load(tmp_path, FRAME, copy.deepcopy(FRAME))) == 1
    with pytest.raises(FormatError, match="frame 7 is given twice, differently"):
        load(tmp_path, FRAME, {**FRAME, "instances": []})


@pytest.mark.parametrize(
    "frame, call, message",
    [
        (FRAME, lambda infos: infos.objects(8), "has no frame 8"),
        (without("instances"), lambda i: i.objects(7), "frame 7 has no instances"),
        (without("instances", 0, "alpha"), lambda i: i.objects(7), "frame 7: an instance has no"),
        (without("images"), lambda i: i.calibration(7), "frame 7 has no images.CAM2.cam2img"),
        (
            without("images", "CAM2", "lidar2cam"),
            lambda i: i.calibration(7),
            "frame 7 has no images.CAM2.lidar2cam",
        ),
        (
            without("images", "CAM2", "height"),
            lambda i: i.image_size(7),
            "frame 7 has no images.CAM2.height",
        ),
        (
            {**FRAME, "images": {"CAM2": {**CAMERA, "cam2img": np.eye(3).tolist()}}},
            lambda i: i.calibration(7),
            r"frame 7: images.CAM2.cam2img has shape \(3, 3\)",
        ),
        (
            {**FRAME, "instances": [{**CAR, "bbox_label": 5}]},
            lambda i: i.objects(7),
            "frame 7: label 5 is not among the categories",
        ),
    ],
)
def test_what_is_missing_is_named_with_file_frame_and_key(tmp_path, frame, call, message):
    infos = load(tmp_path, frame)
    with pytest.raises(FormatError, match=rf"infos\.pkl: {message}"):
        call(infos)


@pytest.mark.parametrize(
    "content, message",
    [
        ([FRAME], "is no info file of mmdet3d"),
        ({"data_list": []}, "is no info file of mmdet3d"),
        ({"metainfo": {}, "data_list": []}, "metainfo has no categories"),
        (
            {"metainfo": {"categories": {}}, "data_list": [{}]},
            "entry 0 of data_list has no sample_idx",
        ),
    ],
)
def test_another_pickle_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(FormatError, match=rf"infos\.pkl: {message}"):
        read_infos(path)


def test_frames_are_named_as_their_files_are():
    assert (frame_name(7), frame_name(np.int64(42)), frame_name("a7")) == ("000007", "000042", "a7")


def test_frame_is_found_by_the_name_of_any_of_its_files(tmp_path):
    frames = [
        {"sample_idx": i, "images": {"FRONT": {"img_path": f"front_{i}.png"}, "R0_rect": [[1.0]]},
         "lidar_points": {"lidar_path": f"sweep_{i}.bin"}} for i in (3, 4)
    ]  # fmt: skip
    infos = load(tmp_path, *frames)
    assert [infos.frame_named(n) for n in ("front_3", "sweep_3", "front_4")] == [3, 3, 4]
    for frame in frames:
        frame["images"]["FRONT"]["img_path"] = "same.png"
    with pytest.raises(FormatError, match="has no frame same"):
        load(tmp_path, *frames).frame_named("same")
