"""Sources of the viewer: rooms, nuScenes, info files, configs, folders of pictures."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from browser import needs_browser, page_data, title_after
from PIL import Image
from scipy.spatial.transform import Rotation

from gemini_det3d.apis.ablation.gates import FrameGates, cell_centers
from gemini_det3d.apis.view import open_source
from gemini_det3d.apis.view.config import DetectorFrames
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
from gemini_det3d.formats.taskonomy import domain_path, write_png
from gemini_det3d.geometry.boxes import project_points

INTRINSICS = np.array([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]])
ROOM = RoomCalibration(INTRINSICS, np.eye(3))
BED = RoomObjects(["bed"], [[0.2, 3.0, -0.4, 2.0, 1.5, 0.8, 0.3]], bbox=[[10, 10, 50, 50]])
POINTS = np.random.default_rng(0).uniform([-2, 1, -1, 0, 0, 0], [2, 5, 2, 1, 1, 1], (307, 6))


def view(out, *arguments) -> dict:
    assert main(["view", *map(str, arguments), "--out", str(out)]) == 0
    return page_data(out)


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


def test_submission_comes_back_from_the_world_to_the_truth(nuscenes, tmp_path):
    data = view(tmp_path / "v.html", nuscenes, "--results", submission(tmp_path))
    truth, found = data["frames"][0]["boxes"]
    np.testing.assert_allclose(found["corners"], truth["corners"], atol=2e-3)
    assert data["sets"] == ["truth", "mine"] and found["overlaps"]["0"][0][1] > 0.999


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


# ---- configs -----------------------------------------------------------------------------------
SIZE = (96, 160)
MATRIX = np.array([[80.0, -100, 0, 0], [48, 0, -100, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BOX = torch.tensor([[10.0, 0, -1, 4, 2, 1.5, 0.3]])


@pytest.fixture
def config(tmp_path):
    """A data set of packed frames and a detector that finds its truth moved by a parameter."""
    from mmdet3d.registry import DATASETS, MODELS
    from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
    from mmengine.config import Config
    from mmengine.model import BaseModel
    from mmengine.structures import InstanceData

    class ViewStubSet:
        metainfo = {"classes": ["Car"]}

        def __init__(self, pipeline):
            pass

        def __len__(self):
            return 3

        def get_data_info(self, index):
            return {"lidar_path": str(tmp_path / f"{index:06d}.bin"), "images": {"R0": [1]}}

        def __getitem__(self, index):
            meta = dict(
                lidar2img=MATRIX, ori_shape=SIZE, img_shape=SIZE, scale_factor=(1.0, 1.0),
                flip=False, transformation_3d_flow=[], box_type_3d=LiDARInstance3DBoxes,
            )  # fmt: skip
            sample = Det3DDataSample(metainfo=meta)
            sample.eval_ann_info = dict(
                gt_bboxes_3d=LiDARInstance3DBoxes(BOX), gt_labels_3d=np.array([0])
            )
            points = torch.rand(50, 4, generator=torch.Generator().manual_seed(index)) * 20
            return dict(inputs=dict(points=points, img=torch.zeros(3, *SIZE).byte()),
                        data_samples=sample)  # fmt: skip

    class ViewStubDetector(BaseModel):
        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(()))

        def forward(self, inputs, data_samples, mode):
            boxes = BOX.clone()
            boxes[:, 0] += self.shift
            data_samples[0].pred_instances_3d = InstanceData(
                bboxes_3d=LiDARInstance3DBoxes(boxes),
                scores_3d=torch.tensor([0.8]), labels_3d=torch.tensor([0]))  # fmt: skip
            return data_samples

    DATASETS.register_module(module=ViewStubSet, force=True)
    MODELS.register_module(module=ViewStubDetector, force=True)
    path = tmp_path / "stub.py"
    path.write_text(
        "model = dict(type='ViewStubDetector')\n"
        "test_dataloader = dict(dataset=dict(type='ViewStubSet', pipeline=[]))\n"
    )
    for name, shift in (("good", 0.1), ("bad", 30.0)):
        state = dict(state_dict=dict(shift=torch.tensor(shift)), meta={})
        (tmp_path / name).mkdir()
        torch.save(state, tmp_path / name / "epoch_1.pth")
    return SimpleNamespace(path=path, config=Config.fromfile(path), folder=tmp_path)


def test_config_alone_shows_its_test_set(config):
    data = view(config.folder / "v.html", config.path, "--max-frames", 2)
    assert [f["name"] for f in data["frames"]] == ["000000", "000001"]
    assert data["sets"] == ["truth"] and "first 2 of 3" in data["notes"][0]
    assert data["frames"][0]["cameras"][0]["width"] == 160


def test_each_checkpoint_is_a_result_set_named_by_what_tells_it_apart(config):
    files = [config.folder / name / "epoch_1.pth" for name in ("good", "bad")]
    data = view(config.folder / "v.html", config.path, *files)
    assert data["sets"] == ["truth", "good", "bad"]
    _, good, bad = data["frames"][0]["boxes"]
    assert good["overlaps"]["0"][0][1] > 0.9 and "0" not in bad["overlaps"]
    assert str(config.folder) not in (config.folder / "v.html").read_text()


def test_pixels_of_a_config_s_frames_count_from_the_middle_of_the_first(config):
    frame = DetectorFrames(config.config).read("000000")
    pixels, _ = project_points(np.array([[10.0, -1, 0.5]]), frame.cameras[0].lidar2img)
    np.testing.assert_allclose(pixels, [[90, 43]])  # as MATRIX says for an image that stays


def test_config_and_results_or_data_and_checkpoint_are_refused(config, rooms, capsys):
    out = ["--out", str(config.folder / "v.html")]
    assert main(["view", str(config.path), "--results", str(rooms), *out]) == 2
    assert "checkpoints with a config" in capsys.readouterr().err
    checkpoint = str(config.folder / "good" / "epoch_1.pth")
    assert main(["view", str(rooms), checkpoint, *out]) == 2
    assert "is no config" in capsys.readouterr().err


def test_page_over_a_checkpoint_is_refused(config, capsys):
    checkpoint = str(config.folder / "good" / "epoch_1.pth")
    assert main(["view", str(config.path), checkpoint, "--out", checkpoint]) == 2
    assert "is an input" in capsys.readouterr().err


def test_names_of_sets_are_the_shortest_that_tell_them_apart(tmp_path):
    paths = [tmp_path / "runs" / run / "train" / "e.pth" for run in ("a/1", "b/1")]
    assert result_names(paths) == ["a", "b"]
    assert result_names([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]
    with pytest.raises(FormatError, match="twice"):
        result_names([tmp_path / "x", tmp_path / "x"])


def test_gate_of_a_cell_is_that_of_the_points_in_it_and_of_no_others():
    cells = cell_centers((2, 4), [0, 0, 0, 8, 2, 1])  # 2 m x 1 m
    gates = FrameGates(cells[[0, 5]], np.zeros(2), np.array([0.25, 0.75]), (2.0, 1.0))
    points = np.array([[0.1, 0.9, 5], [1.9, 0.1, 0], [2.1, 0.5, 0], [3.9, 1.9, 0], [3.9, 0.9, 0]])
    np.testing.assert_array_equal(gates.at_points(points), [0.25, 0.25, np.nan, 0.75, np.nan])


def test_gate_of_a_point_is_its_own():
    points = np.random.default_rng(2).uniform(0, 9, (7, 3))
    gates = FrameGates(points[[4, 1]], np.zeros(2), np.array([0.4, 0.1]))
    found = gates.at_points(points)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(found)), [1, 4])
    assert (found[1], found[4]) == (0.1, 0.4)


# ---- pictures ----------------------------------------------------------------------------------
@pytest.fixture
def seg(tmp_path):
    """Two frames in NYUDv2's lists; the first two classes side by side."""
    lines = []
    for n in range(2):
        for kind, fill in (("rgb", (9, 99, 9)), ("depth", (5, 5, 5))):
            write_png(tmp_path / kind / f"{n}.png", np.full((8, 12, 3), fill, np.uint8))
        labels = np.zeros((8, 12), np.uint8)
        labels[:, 9:] = 1
        write_png(tmp_path / "label" / f"{n}.png", labels)
        lines.append(f"rgb/{n}.png\tlabel/{n}.png\tdepth/{n}.png\n")
    (tmp_path / "val.txt").write_text("".join(lines))
    return tmp_path


def test_segmentation_folder_shows_inputs_truth_and_shares(seg):
    data = view(seg / "v.html", seg)
    frame = data["frames"][0]
    assert [p["title"] for p in frame["pictures"]] == ["rgb", "depth", "truth"]
    assert [row[1] for row in frame["rows"]] == ["75.0%", "25.0%"] and frame["error"] is None
    assert set(row[0] for row in frame["rows"]) <= set(data["swatches"])


def test_prediction_is_judged_against_the_labelled_pixels(seg):
    from gemini_det3d.apis.view.pictures import SegmentationFrames
    from gemini_det3d.datasets.segmentation import NYUDv2SegDataset

    class AllFirst:
        modalities = ("rgb",)

        def __call__(self, images):
            assert set(images) == {"rgb"}
            return np.zeros((4, 6), np.uint8)  # half the size: brought to the truth's

    frames = SegmentationFrames([NYUDv2SegDataset(str(seg), "val")], {"m": AllFirst()})
    frame = frames.read_pictures(frames.names[0])
    assert [p.title for p in frame.pictures][-2:] == ["prediction: m", "wrong: m"]
    assert frame.error == 0.25 and "75.0% of the labelled pixels" in frame.summary
    assert [row[2] for row in frame.rows] == ["0.75", "0.00"]
    wrong = frame.pictures[-1].pixels
    assert (wrong[:, 9:] == wrong[0, 9]).all() and (wrong[:, :9] != wrong[0, 9]).any(axis=2).all()


def test_taskonomy_folder_shows_every_domain(tmp_path):
    for domain in ("rgb", "normal"):
        path = domain_path(tmp_path, "point_1_view_0", domain)
        write_png(path, np.full((8, 8, 3), 7, np.uint8))
    (tmp_path / "val.txt").write_text("point_1_view_0\n")
    (frame,) = view(tmp_path / "v.html", tmp_path)["frames"]
    assert [p["title"] for p in frame["pictures"]] == ["rgb", "normal"]


def test_results_of_pictures_are_refused(seg, capsys):
    code = main(["view", str(seg), "--results", str(seg), "--out", str(seg / "v.html")])
    assert code == 2 and "--results are of boxes" in capsys.readouterr().err


@needs_browser
def test_browser_slides_between_pictures_and_steps_through_frames(seg):
    view(seg / "v.html", seg)
    said = title_after(seg / "v.html", """
      const over = document.getElementById('over'), said = [];
      set('split', 25, 'input'); said.push(over.style.clipPath.replaceAll(' ', '_'));
      set('left', 'depth'); said.push(over.alt); press('x');
      said.push(over.alt, document.getElementById('under').alt);
      press('ArrowRight'); said.push(document.getElementById('frame').value);
      document.title = said.join(' ');
    """)  # fmt: skip
    assert said == "inset(0px_75%_0px_0px) depth truth depth 1"


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
