"""Sources of the viewer: rooms, nuScenes, info files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from browser import view
from PIL import Image
from scipy.spatial.transform import Rotation

from gemini_det3d.apis.view import open_source
from gemini_det3d.apis.view.source import result_names
from gemini_det3d.cli import main
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import write_points
from gemini_det3d.formats.sunrgbd import (
    RoomCalibration,
    RoomObjects,
    frame_info,
    write_calibration,
    write_depth_points,
    write_infos,
    write_labels,
    write_results,
)
from gemini_det3d.geometry.boxes import project_points

INTRINSICS = np.array([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]])
ROOM = RoomCalibration(INTRINSICS, np.eye(3))
BED = RoomObjects(["bed"], [[0.2, 3.0, -0.4, 2.0, 1.5, 0.8, 0.3]], bbox=[[10, 10, 50, 50]])
POINTS = np.random.default_rng(0).uniform([-2, 1, -1, 0, 0, 0], [2, 5, 2, 1, 1, 1], (307, 6))


@pytest.fixture
def rooms(tmp_path):
    folder = tmp_path / "sunrgbd_trainval"
    for name in ("000001", "000002"):
        write_depth_points(folder / "depth" / f"{name}.mat", POINTS)
        write_calibration(folder / "calib" / f"{name}.txt", ROOM)
        write_labels(folder / "label" / f"{name}.txt", BED)
        (folder / "image").mkdir(exist_ok=True)
        Image.new("RGB", (120, 80), (200, 10, 10)).save(folder / "image" / f"{name}.jpg")
    return tmp_path


def test_rooms_have_the_sensor_s_colours_and_boxes_that_stand_on_their_bottom(rooms):
    frame = open_source(rooms).read("000001")
    np.testing.assert_allclose(frame.truth.boxes[0, :3], [0.2, 3.0, -0.8])
    np.testing.assert_array_equal(frame.colors, np.rint(255 * POINTS[:, 3:]).astype(np.uint8))
    # 2 m ahead, 1 m right, 0.5 m up: MATLAB's pixel 110, 15, one less where counting starts at 0
    pixels, _ = project_points(np.array([[1.0, 2.0, 0.5]]), frame.cameras[0].lidar2img)
    np.testing.assert_allclose(pixels, [[109, 14]])


def test_rooms_of_the_lists_and_results_are_shown(rooms):
    for split, number in (("train", 2), ("val", 1)):
        (rooms / "sunrgbd_trainval" / f"{split}_data_idx.txt").write_text(f"{number}\n")
    write_results(rooms / "found" / "1.txt", RoomObjects(["bed"], BED.boxes, scores=[0.9]))
    data = view(rooms / "v.html", rooms, "--results", rooms / "found")
    assert [f["name"] for f in data["frames"]] == ["000002", "000001"]
    assert [f["missing"] for f in data["frames"]] == [[1], []]
    assert data["frames"][1]["boxes"][1]["overlaps"] == {"0": [[0, 1.0]]}


def test_classes_of_rooms_are_those_of_all_labels(rooms):
    write_labels(
        rooms / "sunrgbd_trainval" / "label" / "000002.txt",
        RoomObjects(["cone"], BED.boxes, bbox=BED.bbox),
    )
    assert set(open_source(rooms).classes) == {"bed", "cone"}
    write_infos(rooms / "infos.pkl", [frame_info("000001", ROOM, (120, 80), BED)])
    assert {"bed", "desk"} < set(open_source(rooms / "infos.pkl").classes)


def test_folder_of_the_extraction_itself_shows_the_same_rooms(rooms, monkeypatch):
    monkeypatch.chdir(rooms / "sunrgbd_trainval")
    assert open_source(Path(".")).names == open_source(rooms).names == ["000001", "000002"]


def test_room_without_labels_has_no_truth(rooms):
    (rooms / "sunrgbd_trainval" / "label" / "000001.txt").unlink()
    source = open_source(rooms)
    assert source.read("000001").truth is None and source.read("000002").truth is not None


def test_info_file_of_rooms_finds_points_and_images_and_shows_the_same(rooms):
    write_infos(rooms / "infos.pkl", [frame_info("000001", ROOM, (120, 80), BED)])
    write_points(rooms / "points" / "000001.bin", POINTS)
    frame, same = open_source(rooms / "infos.pkl").read("000001"), open_source(rooms).read("000001")
    np.testing.assert_allclose(frame.truth.boxes, same.truth.boxes, atol=1e-6)  # text's digits
    np.testing.assert_allclose(frame.points, same.points, atol=1e-6)
    np.testing.assert_allclose(
        frame.cameras[0].lidar2img, same.cameras[0].lidar2img, rtol=1e-6, atol=1e-6
    )


# ---- nuScenes ----------------------------------------------------------------------------------
LIDAR2EGO = np.eye(4)
LIDAR2EGO[:3, :3] = Rotation.from_euler("z", -90, degrees=True).as_matrix()
LIDAR2EGO[:3, 3] = [0.9, 0, 1.8]
EGO2GLOBAL = np.eye(4)
EGO2GLOBAL[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix()
EGO2GLOBAL[:3, 3] = [400.0, 1100, 0]
CAR = [3.0, 12.0, -0.5, 4.4, 1.9, 1.6, 1.2]  # centre in the middle, as info files have it


@pytest.fixture
def nuscenes(tmp_path):
    front = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    images = {
        camera: {"img_path": f"{camera}.jpg", "cam2img": INTRINSICS.tolist(),
                 "lidar2cam": front.tolist()}
        for camera in ("CAM_BACK", "CAM_FRONT")
    }  # fmt: skip
    sample = {
        "token": "tökén", "sample_idx": 0, "images": images, "ego2global": EGO2GLOBAL.tolist(),
        "lidar_points": {"lidar_path": "cloud.pcd.bin", "lidar2ego": LIDAR2EGO.tolist()},
        "instances": [{"bbox_3d": CAR, "bbox_label_3d": 0}, {"bbox_3d": CAR, "bbox_label_3d": -1}],
    }  # fmt: skip
    meta = {"dataset": "nuscenes", "categories": {"car": 0}}
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps({"metainfo": meta, "data_list": [sample]}))
    (tmp_path / "samples" / "LIDAR_TOP").mkdir(parents=True)
    write_points(tmp_path / "samples" / "LIDAR_TOP" / "cloud.pcd.bin", POINTS[:, [0, 1, 2, 3, 3]])
    for camera in images:
        Image.new("RGB", (120, 80)).save(tmp_path / f"{camera}.jpg")
    return path


def submission(folder, score=0.7, **changes):
    """The car as a submission has it: in the world, with a quaternion."""
    to_global = EGO2GLOBAL @ LIDAR2EGO
    turn = Rotation.from_matrix(to_global[:3, :3]) * Rotation.from_euler("z", CAR[6])
    x, y, z, w = turn.as_quat()
    row = {"translation": (to_global @ [*CAR[:3], 1])[:3].tolist(), "rotation": [w, x, y, z],
           "size": [CAR[4], CAR[3], CAR[5]], "detection_name": "car", "detection_score": score,
           **changes}  # fmt: skip
    path = folder / "mine.json"
    path.write_text(json.dumps({"meta": {}, "results": {"tökén": [row]}}))
    return path


def test_nuscenes_sample_has_its_cameras_and_known_classes(nuscenes):
    frame = open_source(nuscenes).read("tökén")
    assert [camera.name for camera in frame.cameras] == ["CAM_FRONT", "CAM_BACK"]
    assert frame.truth.names == ("car",) and frame.truth.boxes[0, 2] == pytest.approx(-1.3)
    assert len(frame.points) == 307


def test_projection_keeps_a_fourth_column_of_the_camera(nuscenes):
    content = pickle.loads(nuscenes.read_bytes())
    front = content["data_list"][0]["images"]["CAM_FRONT"]
    front["cam2img"] = [[*row, own] for row, own in zip(front["cam2img"], (45.0, 0.2, 0.003))]
    nuscenes.write_bytes(pickle.dumps(content))
    camera = open_source(nuscenes).read("tökén").cameras[0]
    expected = np.array(front["cam2img"]) @ np.array(front["lidar2cam"])
    np.testing.assert_allclose(camera.lidar2img, expected)


def test_submission_comes_back_from_the_world_to_the_truth(nuscenes, tmp_path):
    data = view(tmp_path / "v.html", nuscenes, "--results", submission(tmp_path))
    truth, found = data["frames"][0]["boxes"]
    np.testing.assert_allclose(found["corners"], truth["corners"], atol=2e-3)
    assert data["sets"] == ["truth", "mine"] and found["overlaps"]["0"][0][1] > 0.999


def test_front_of_a_sample_is_its_front_camera_wherever_it_stands(nuscenes):
    source = open_source(nuscenes)
    content = pickle.loads(nuscenes.read_bytes())
    images = content["data_list"][0]["images"]
    images["CAM_FRONT_LEFT"] = images["CAM_BACK"]
    nuscenes.write_bytes(pickle.dumps(content))
    assert source.read("tökén").front == 0
    frame = open_source(nuscenes).read("tökén")
    assert [camera.name for camera in frame.cameras][frame.front] == "CAM_FRONT"
    for camera in ("CAM_FRONT", "CAM_FRONT_LEFT"):
        images.pop(camera)
    nuscenes.write_bytes(pickle.dumps(content))
    assert open_source(nuscenes).read("tökén").front == 0


def test_classes_of_samples_and_submissions_are_those_that_their_files_state(nuscenes, tmp_path):
    source = open_source(nuscenes)
    assert set(source.classes) == {"car"}
    assert set(source.results(submission(tmp_path, detection_name="cone")).classes) == {"cone"}


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_score_that_is_not_finite_is_one_line(nuscenes, tmp_path, capsys, score):
    path = submission(tmp_path, score)
    assert main(["view", str(nuscenes), "--results", str(path), "--out", str(tmp_path / "v")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "frame tökén: has a score that is not finite" in said


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_camera_that_cannot_be_one_is_one_line(nuscenes, tmp_path, capsys, value):
    content = pickle.loads(nuscenes.read_bytes())
    front = content["data_list"][0]["images"]["CAM_FRONT"]
    front["cam2img"] = [[value] * 3, *front["cam2img"][1:]]
    nuscenes.write_bytes(pickle.dumps(content))
    assert main(["view", str(nuscenes), "--out", str(tmp_path / "v")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "frame tökén: has a matrix of CAM_FRONT that cannot be inverted" in said


@pytest.mark.parametrize("change", [{"size": [1, 2]}, {"rotation": None}, {"detection_score": "x"}])
def test_broken_submission_is_one_line_that_names_it(nuscenes, tmp_path, capsys, change):
    path = submission(tmp_path, **change)
    assert main(["view", str(nuscenes), "--results", str(path), "--out", str(tmp_path / "v")]) == 2
    assert "mine.json: sample tökén" in capsys.readouterr().err.strip().splitlines()[-1]


def test_missing_cloud_is_named_with_the_places_looked_at(nuscenes):
    (nuscenes.parent / "samples" / "LIDAR_TOP" / "cloud.pcd.bin").unlink()
    with pytest.raises(FormatError, match=r"infos.pkl: cloud.pcd.bin lies neither"):
        open_source(nuscenes).read("tökén")


def test_info_file_of_another_set_is_refused(tmp_path):
    (tmp_path / "i.pkl").write_bytes(pickle.dumps({"metainfo": {"dataset": "waymo"}}))
    with pytest.raises(FormatError, match="waymo, expected"):
        open_source(tmp_path / "i.pkl")


def test_boxes_of_a_real_nuscenes_sample_lie_where_its_own_annotation_says(shared_dir):
    folder = shared_dir / "data" / "nuscenes_mini"
    path = next(folder.glob("*.pkl"))
    source = open_source(path)
    frame = source.read(source.names[0])
    assert len(frame.cameras) == 6
    annotated = pickle.loads(path.read_bytes())["data_list"][0]["cam_instances"]
    middles = frame.truth.boxes[:, :3] + np.array([0, 0, 0.5]) * frame.truth.boxes[:, 5:6]
    matched = 0
    for camera in frame.cameras:
        pixels, depth = project_points(middles, camera.lidar2img)
        for each in annotated[camera.name]:
            near = np.abs(depth - each["depth"]) < 0.05
            off = np.linalg.norm(pixels[near] - each["center_2d"], axis=1)
            matched += bool(len(off) and off.min() < 1)
    assert matched > 40


def test_names_of_sets_are_the_shortest_that_tell_them_apart(tmp_path):
    paths = [tmp_path / "runs" / run / "train" / "e.pth" for run in ("a/1", "b/1")]
    assert result_names(paths) == ["a", "b"]
    assert result_names([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]
    with pytest.raises(FormatError, match="twice"):
        result_names([tmp_path / "x", tmp_path / "x"])


def test_box_that_is_not_finite_is_one_line(shared_dir, tmp_path, capsys):
    folder = shared_dir / "data" / "nuscenes_mini"
    content = pickle.loads(next(folder.glob("*.pkl")).read_bytes())
    content["data_list"][0]["instances"][0]["bbox_3d"][2] = np.nan
    for file in folder.glob("*.*"):
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(content))
    out = tmp_path / "out" / "v.html"
    assert main(["view", str(tmp_path / "infos.pkl"), "--out", str(out)]) == 2
    assert "has a box that is not finite" in capsys.readouterr().err
