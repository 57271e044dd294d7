"""Our twins of mmdet3d's KITTI data set and steps give mmdet3d's samples, seed by seed."""

from __future__ import annotations

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmdet3d.structures.points import LiDARPoints
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401
from benchmarks.data import draw_from, keeps_up, part_times, stock_of
from gemini_det3d.apis.config import find_config, read_config

CONFIG = "mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class"
SEEDS = range(6)  # of these some mirror and some do not


def box(depth: float, label: int) -> dict:
    values = [1.5, 1.2, depth, 3.9, 1.6, 1.7, 0.3 * label]  # in the camera's frame
    return dict(bbox=[10.0, 11, 60, 50], bbox_label=label, bbox_3d=values, bbox_label_3d=label,
                depth=depth, center_2d=[30.0, 30], truncated=0.0, occluded=0, alpha=0.1,
                score=0.0, index=label, group_id=label, difficulty=0, num_lidar_pts=5)  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Two frames as mmdet3d converts KITTI's, one of them without boxes."""
    generator = np.random.default_rng(0)
    folders = [tmp_path / "training" / name for name in ("velodyne_reduced", "image_2")]
    for folder in folders:
        folder.mkdir(parents=True)
    lidar2cam = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
    cam2img = np.array([[60, 0, 48, 0], [0, 60, 32, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
    frames = []
    for number in range(2):
        points = generator.uniform(-1, 1, (997, 4)) * [45, 45, 3, 1] + [40, 0, -1, 0]
        points.astype(np.float32).tofile(folders[0] / f"{number}.bin")
        image = generator.integers(0, 256, (67, 101, 3)).astype(np.uint8)
        cv2.imwrite(str(folders[1] / f"{number}.png"), image)
        camera = dict(img_path=f"{number}.png", height=67, width=101, cam2img=cam2img.tolist(),
                      lidar2cam=lidar2cam.tolist())  # fmt: skip
        camera["lidar2img"] = (cam2img @ lidar2cam).tolist()
        lidar = dict(lidar_path=f"{number}.bin", num_pts_feats=4)
        instances = [] if number else [box(12.0, 2), box(20.0, 0), box(9.0, -1)]
        frames.append(dict(sample_idx=number, images={"CAM2": camera}, lidar_points=lidar,
                           instances=instances))  # fmt: skip
    classes = {"Pedestrian": 0, "Cyclist": 1, "Car": 2}
    infos = dict(metainfo=dict(categories=classes, dataset="kitti"), data_list=frames)
    (tmp_path / "kitti_infos_train.pkl").write_bytes(pickle.dumps(infos))
    return tmp_path


def built(config, root, **options):
    init_default_scope("mmdet3d")
    dataset = dict(config.train_dataloader.dataset.dataset)
    return DATASETS.build(dict(dataset, data_root=f"{root}/", **options))


@pytest.fixture
def sets(root):
    config = read_config(find_config(CONFIG))
    return {"ours": built(config, root), "stock": built(stock_of(config), root)}


def drawn(dataset, index: int, seed: int) -> dict:
    draw_from(seed)
    return dataset[index]


def test_twins_are_ours_and_stocks_are_not(sets):
    assert type(sets["ours"]).__name__ == "QuickKittiDataset"
    steps = {name: [type(t).__module__ for t in s.pipeline.transforms] for name, s in sets.items()}
    assert sum(module.startswith("gemini_det3d.") for module in steps["ours"]) == 7
    assert not any(module.startswith("gemini_det3d.") for module in steps["stock"])


@pytest.mark.parametrize("index", [0, 1])
def test_samples_equal_stocks_seed_by_seed(sets, index):
    mirrored = set()
    for seed in SEEDS:
        ours, stock = (drawn(sets[name], index, seed) for name in ("ours", "stock"))
        assert torch.equal(ours["inputs"]["img"], stock["inputs"]["img"])
        pairs = [s["inputs"]["points"] for s in (ours, stock)]
        torch.testing.assert_close(*pairs, rtol=2e-6, atol=1e-5)
        assert torch.equal(pairs[0][:, 3], pairs[1][:, 3])
        samples = ours["data_samples"], stock["data_samples"]
        assert str(samples[0].metainfo) == str(samples[1].metainfo)
        found = [s.gt_instances_3d for s in samples]
        boxes = [instances.bboxes_3d.tensor for instances in found]
        torch.testing.assert_close(*boxes, rtol=2e-6, atol=1e-5)
        assert torch.equal(found[0].labels_3d, found[1].labels_3d)
        assert len(found[0].labels_3d) == (0 if index else 2)
        mirrored.add(samples[0].flip)
    assert mirrored == {True, False}


def test_a_sample_is_not_touched_by_the_last_ones_pipeline(sets):
    first = sets["ours"].get_data_info(0)["ann_info"]["gt_bboxes_3d"].tensor.clone()
    drawn(sets["ours"], 0, 3)
    again = sets["ours"].get_data_info(0)["ann_info"]["gt_bboxes_3d"].tensor
    assert len(first) == 2 and torch.equal(first, again)


@pytest.mark.parametrize("serialize_data", [True, False])
def test_boxes_come_back_as_mmdet3d_has_them(root, serialize_data):
    config = read_config(find_config(CONFIG))
    pair = [built(c, root, serialize_data=serialize_data) for c in (config, stock_of(config))]
    for index in (0, 1, -1):
        boxes = [dataset.get_ann_info(index)["gt_bboxes_3d"] for dataset in pair]
        assert type(boxes[0]) is type(boxes[1]) is LiDARInstance3DBoxes
        assert torch.equal(boxes[0].tensor, boxes[1].tensor)


def test_frames_without_boxes_are_left_out_where_a_config_says_so(root):
    config = read_config(find_config(CONFIG))
    for changed in (config, stock_of(config)):
        dataset = built(changed, root, filter_empty_gt=True)
        assert dataset.prepare_data(1) is None and dataset.prepare_data(0) is not None


@pytest.mark.parametrize("columns", [7, 9])
def test_boxes_are_moved_and_kept_as_mmdet3d_does(columns):
    def run(scope: str) -> tuple:
        draw_from(2)
        values = torch.rand(23, columns) * 30 - 12
        results = dict(points=LiDARPoints(torch.rand(5, 4), points_dim=4),
                       gt_bboxes_3d=LiDARInstance3DBoxes(values, box_dim=columns),
                       gt_labels_3d=np.arange(23))  # fmt: skip
        for step in (
            dict(type="GlobalRotScaleTrans", translation_std=[0.2] * 3),
            dict(type="ObjectRangeFilter", point_cloud_range=[-5, -4, -5, 9, 8, 5]),
        ):
            results = TRANSFORMS.build(dict(step, _scope_=scope))(results)
        assert type(results["gt_bboxes_3d"]) is LiDARInstance3DBoxes
        return results["gt_bboxes_3d"].tensor, results["gt_labels_3d"], results["pcd_rotation"]

    init_default_scope("mmdet3d")
    ours, stock = run("gemini_det3d"), run("mmdet3d")
    assert 2 < len(ours[0]) < 23
    torch.testing.assert_close(ours[0], stock[0], rtol=2e-6, atol=1e-5)
    assert np.array_equal(ours[1], stock[1])
    torch.testing.assert_close(ours[2], stock[2])


@pytest.mark.parametrize("kind", ["one camera", "two cameras", "LiDAR alone"])
def test_packed_metadata_are_mmdet3ds(kind):
    results = dict(sample_idx=3, lidar_points=dict(lidar_path="a.bin"), pcd_trans=np.ones(3))
    if kind != "LiDAR alone":
        count = 1 + (kind == "two cameras")
        cameras = {f"CAM{i}": dict(img_path=f"{i}.png", lidar2cam=[i]) for i in range(count)}
        results["images"] = cameras
    packed = [
        TRANSFORMS.build(dict(type="Pack3DDetInputs", keys=[], _scope_=scope))(dict(results))
        for scope in ("gemini_det3d", "mmdet3d")
    ]
    ours, stock = (sample["data_samples"].metainfo for sample in packed)
    assert str(ours) == str(stock) and "sample_idx" in ours


def test_masks_and_heights_of_points_follow_them():
    def run(scope: str) -> dict:
        draw_from(1)
        values = torch.rand(61, 5) * 20 - 8
        points = LiDARPoints(values, points_dim=5, attribute_dims=dict(height=4))
        masks = {f"pts_{kind}_mask": np.arange(61) for kind in ("instance", "semantic")}
        results = dict(points=points, gt_bboxes_3d=LiDARInstance3DBoxes(torch.ones(2, 7)), **masks)
        for step in (
            dict(type="GlobalRotScaleTrans", translation_std=[0.2] * 3, shift_height=True),
            dict(type="PointsRangeFilter", point_cloud_range=[-5, -5, -5, 5, 6, 5]),
            dict(type="PointShuffle"),
        ):
            results = TRANSFORMS.build(dict(step, _scope_=scope))(copy.copy(results))
        return results

    init_default_scope("mmdet3d")
    ours, stock = run("gemini_det3d"), run("mmdet3d")
    assert 3 < len(ours["points"]) < 61
    torch.testing.assert_close(ours["points"].tensor, stock["points"].tensor, rtol=2e-6, atol=1e-5)
    for kind in ("instance", "semantic"):
        key = f"pts_{kind}_mask"
        assert np.array_equal(ours[key], stock[key])


def test_benchmark_times_the_parts_of_both_sets(sets):
    times = part_times(sets, frames=1, rounds=1)
    assert list(times["ours"]) == list(times["stock"])
    assert all(value > 0 for parts in times.values() for value in parts.values())


def test_benchmark_says_how_many_workers_keep_up():
    speeds = {0: 50.0, 1: 40.0, 2: 70.0, 4: 120.0}
    assert keeps_up(speeds, 2, 33.0).endswith("60.6 frames a second: 2 workers keep up")
    assert "does not keep up (120.0 with 4 workers)" in keeps_up(speeds, 8, 33.0)
