"""Mirrored images and turned clouds are told on real frames, and no real frame is suspected."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.apis.kitti.prepare import Options, check_tree
from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.kitti import read_calibration, read_image, read_objects, read_points
from gemini_det3d.formats.turned_cloud import TURNS

FRAMES = {
    "kitti_mini": ("000000", "000001", "000002"),
    "kitti_more": ("000003", "000004", "000005", "000007", "000076", "001545", "002155"),
}
ALL = [(folder, frame) for folder, frames in FRAMES.items() for frame in frames]
WHOLE = [pair for pair in ALL if pair[1] not in ("000007", "002155")]  # whose clouds are not cut
HALF_TURN = "turned by 180 degrees about z"


def tree_of(shared_dir: Path, root: Path, frames: list, change) -> Path:
    """A KITTI tree of changed copies; ``change`` gets image, points and label text of each."""
    for folder in ("calib", "image_2", "label_2", "velodyne"):
        (root / "training" / folder).mkdir(parents=True, exist_ok=True)
    for folder, frame in frames:
        source = shared_dir / "data" / folder / "training"
        image, points, labels = change(
            read_image(source / "image_2" / f"{frame}.png"),
            read_points(source / "velodyne" / f"{frame}.bin"),
            (source / "label_2" / f"{frame}.txt").read_text(),
        )
        Image.fromarray(image).save(root / "training/image_2" / f"{frame}.png", compress_level=0)
        points.astype(np.float32).tofile(root / "training/velodyne" / f"{frame}.bin")
        (root / "training/label_2" / f"{frame}.txt").write_text(labels)
        calib = (source / "calib" / f"{frame}.txt").read_bytes()
        (root / "training/calib" / f"{frame}.txt").write_bytes(calib)
    (root / "ImageSets").mkdir(exist_ok=True)
    for split in ("train", "val"):
        lines = "".join(f"{frame}\n" for _, frame in frames)
        (root / "ImageSets" / f"{split}.txt").write_text(lines)
    return root


def mirror_image(image, points, labels):
    return np.ascontiguousarray(image[:, ::-1]), points, labels


def turn_cloud(image, points, labels):
    moved = points.copy()
    moved[:, :3] = points[:, :3] @ TURNS[HALF_TURN].T
    return image, moved, labels


def mirror_image_and_boxes(image, points, labels):
    rows = [line.split() for line in labels.splitlines()]
    for row in rows:
        left, right = float(row[4]), float(row[6])
        row[4], row[6] = str(image.shape[1] - 1 - right), str(image.shape[1] - 1 - left)
    return image, points, "".join(" ".join(row) + "\n" for row in rows)


def keep(image, points, labels):
    return image, points, labels


def faults_of(root: Path, frames: list) -> dict[str, list[str]]:
    tasks = [("training", frame) for _, frame in frames]
    checker = FrameChecker(root, {}, compared=tasks)
    return {task[1]: [found.fault for found in checker(task).findings] for task in tasks}


def suspected(faults: list[str]) -> bool:
    return any(word in fault for fault in faults for word in ("mirrored", "turned", "swapped"))


def test_no_real_frame_is_suspected(shared_dir: Path, tmp_path: Path) -> None:
    faults = faults_of(tree_of(shared_dir, tmp_path, ALL, keep), ALL)
    assert [frame for frame, found in faults.items() if suspected(found)] == []


BESIDE = [("kitti_mini", "000001"), ("kitti_more", "000007"), ("kitti_more", "002155")]


@pytest.mark.parametrize(
    ("frames", "change", "said"),
    [
        (ALL, mirror_image, ("deviations as they are", "with the image mirrored left-right")),
        (
            BESIDE,
            mirror_image_and_boxes,
            (
                "projected 3D boxes fall on 0 of",
                "were image and 2D boxes flipped, and not the calibration?",
            ),
        ),
    ],
    ids=["image, without a label", "image and 2D boxes, by the labels"],
)
def test_mirrored_frames_are_told(shared_dir: Path, tmp_path: Path, frames, change, said) -> None:
    for found in faults_of(tree_of(shared_dir, tmp_path, frames, change), frames).values():
        (fault,) = [text for text in found if "mirrored" in text]
        assert all(words in fault for words in said)


def test_turned_cloud_is_told_by_frame_and_set(shared_dir: Path, tmp_path: Path) -> None:
    root = tree_of(shared_dir, tmp_path, WHOLE, turn_cloud)
    report = check_tree(root, Options(root))
    whole = [f.fault for f in report.findings if "hold points of the cloud" in f.fault]
    assert len(whole) == 2  # train and val
    assert all(fault.endswith(f"if it is {HALF_TURN}") for fault in whole)
    for frame in report.frames.values():
        assert any(f"cloud {HALF_TURN}" in f.fault for f in frame.findings), frame.frame


def nuscenes_views(shared_dir: Path):
    folder = shared_dir / "data" / "nuscenes_mini"
    (path,) = folder.glob("*.pkl")
    info = pickle.loads(path.read_bytes())["data_list"][0]
    points = np.fromfile(folder / info["lidar_points"]["lidar_path"], np.float32).reshape(-1, 5)
    for camera in info["images"].values():
        to_pixel = np.eye(4)
        to_pixel[:3, :3] = camera["cam2img"]
        image = np.asarray(Image.open(folder / camera["img_path"]))
        yield points, image, to_pixel @ np.array(camera["lidar2cam"])


def sunrgbd_view(shared_dir: Path):
    folder = shared_dir / "data" / "sunrgbd_mini"
    info = pickle.loads((folder / "sunrgbd_000017_infos.pkl").read_bytes())["data_list"][0]
    points = np.fromfile(folder / "000017.bin", np.float32).reshape(-1, 6)
    matrix = np.pad(np.array(info["images"]["CAM0"]["depth2img"]), ((0, 0), (0, 1)))
    image = np.asarray(Image.open(folder / "000017.jpg"))
    yield points[:, [0, 1, 2, 2]], image, matrix  # as a detector reads them: with heights


@pytest.mark.parametrize("views", [nuscenes_views, sunrgbd_view])
def test_other_sensors_are_told_apart_from_their_mirror(shared_dir: Path, views) -> None:
    found = []
    for points, image, matrix in views(shared_dir):
        assert check_fit(fit_of(points, image, matrix)) == []
        faults = check_fit(fit_of(points, np.ascontiguousarray(image[:, ::-1]), matrix))
        found += [fault.text for fault in faults if "mirrored left-right" in fault.text]
    assert len(found) >= 0.8 * len(list(views(shared_dir)))


def test_cloud_of_another_frame_is_not_called_mirrored(shared_dir: Path) -> None:
    paths = [shared_dir / "data" / folder / "training" for folder, _ in ALL]
    images = [read_image(p / "image_2" / f"{f}.png") for p, (_, f) in zip(paths, ALL)]
    for number, (path, (_, frame)) in enumerate(zip(paths, ALL)):
        points = read_points(path / "velodyne" / f"{frame}.bin")
        matrix = read_calibration(path / "calib" / f"{frame}.txt").lidar2img
        assert check_fit(fit_of(points, images[number - 3], matrix)) == []


def test_frames_that_show_nothing_are_not_judged() -> None:
    matrix = np.array([[100.0, -100, 0, 0], [60, 0, -100, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    cloud = np.random.default_rng(0).uniform([5, -3, -2, 0], [30, 3, 1, 1], (4000, 4))
    plain = np.full((120, 216, 3), 7, np.uint8)
    assert check_fit(fit_of(cloud, plain, matrix)) == []
    for points, image in ((cloud[:5], plain), (cloud[:0], plain), (cloud, plain[:, :200])):
        assert fit_of(points, image, matrix) == {}


def test_first_batch_warns_of_a_turned_cloud_and_a_mirrored_image(shared_dir, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    structures = pytest.importorskip("mmdet3d.structures")
    from mmengine.structures import InstanceData

    from gemini_det3d.engine import first_batch
    from gemini_det3d.formats.kitti import to_lidar_boxes

    root = shared_dir / "data/kitti_more/training"
    calibration = read_calibration(root / "calib/000076.txt")
    image = read_image(root / "image_2/000076.png")
    points = read_points(root / "velodyne/000076.bin")
    objects = read_objects(root / "label_2/000076.txt")
    boxes = to_lidar_boxes(objects.select(objects.name != "DontCare"), calibration)
    meta = dict(
        lidar2img=calibration.lidar2img, img_shape=image.shape[:2], scale_factor=(1.0, 1.0),
        flip=False, lidar_path="000076.bin", transformation_3d_flow=[], ori_shape=image.shape[:2],
    )  # fmt: skip

    def said(change) -> str:
        pixels, cloud, _ = change(image, points, "")
        sample = structures.Det3DDataSample(metainfo=meta)
        sample.gt_instances_3d = InstanceData(
            bboxes_3d=structures.LiDARInstance3DBoxes(torch.from_numpy(boxes))
        )
        inputs = {"points": [torch.from_numpy(cloud)],
                  "img": [torch.from_numpy(pixels.transpose(2, 0, 1).copy())]}  # fmt: skip
        lines: list[str] = []
        monkeypatch.setattr(first_batch, "print_log", lambda line, **_: lines.append(line))
        data = {"inputs": inputs, "data_samples": [sample]}
        first_batch.FirstBatchHook().before_train_iter(None, 0, data)
        return " ".join(lines)

    assert not suspected([said(keep)])
    assert "with the image mirrored left-right" in said(mirror_image)
    told = (
        f"0 of 9 labelled boxes hold points of the cloud; of the others 9 do if it is {HALF_TURN}"
    )
    assert told in said(turn_cloud)
