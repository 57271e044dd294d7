"""Earlier sweeps lie where the car was, and what is no sweep is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures.points import LiDARPoints
from mmengine.config import Config

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import write_points

NOW = 1532402927.6


def turned_and_moved():
    """The frame's cloud from that of a sweep, in a turn of 30 degrees."""
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    move = np.eye(4)
    move[:2, :2], move[:3, 3] = [[cos, -sin], [sin, cos]], [3.0, 0.5, 0.1]
    return move


def a_sample(folder, move=None, columns=5):
    earlier = np.random.default_rng(0).uniform(-9, 9, (307, columns)).astype(np.float32)
    path = folder / "sweep.bin"
    path.write_bytes(earlier.tobytes())
    place = np.linalg.inv(turned_and_moved() if move is None else move)
    cloud = dict(lidar_path=str(path), lidar2sensor=place.tolist())
    sweeps = [dict(timestamp=NOW - 0.25, lidar_points=cloud)]
    points = LiDARPoints(torch.ones(7, 5), points_dim=5)
    return earlier, dict(points=points, timestamp=NOW, lidar_sweeps=sweeps, lidar_path="now.bin")


def load(sample, **options):
    step = dict(type="LoadPointsFromMultiSweeps", _scope_="gemini_det3d", use_dim=5, **options)
    return TRANSFORMS.build(step)(sample)["points"].tensor.numpy()


def test_sweep_lies_where_the_car_was_and_has_its_age(tmp_path):
    earlier, sample = a_sample(tmp_path)
    found = load(sample)
    assert len(found) == 7 + 307 and (found[:7, 4] == 0).all()
    move = turned_and_moved()
    expected = earlier[:, :3] @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(found[7:, :3], expected, atol=1e-5)
    np.testing.assert_allclose(found[7:, 4], 0.25, atol=1e-5)


def test_sweep_of_a_car_that_drove_straight_is_mmdet3ds(tmp_path):
    move = np.eye(4)
    move[0, 3] = 3.0
    _, sample = a_sample(tmp_path, move)
    theirs = TRANSFORMS.build(dict(type="LoadPointsFromMultiSweeps", use_dim=5))
    expected = theirs(a_sample(tmp_path, move)[1])["points"].tensor.numpy()
    np.testing.assert_allclose(load(sample), expected, atol=1e-6)


@pytest.mark.parametrize("lacking", [["lidar_sweeps"], ["lidar_sweeps", "timestamp"]])
def test_frame_without_sweeps_is_itself(tmp_path, lacking):
    _, sample = a_sample(tmp_path)
    for key in lacking:
        del sample[key]
    assert len(load(sample)) == 7
    assert len(load(sample, sweeps_num=2, pad_empty_sweeps=True)) == 3 * 7


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s, sweep: sweep["lidar_points"].update(lidar_path="/nowhere/a.bin"),
         "/nowhere/a.bin: no such file"),
        (lambda s, sweep: sweep["lidar_points"].pop("lidar2sensor"), "now.bin: has lidar_sweeps"),
        (lambda s, sweep: sweep["lidar_points"].update(lidar2sensor=np.zeros((4, 4))), "Singular"),
        (lambda s, sweep: sweep.update(timestamp=NOW * 1e6), "of 1532402927600000.* seconds"),
        (lambda s, sweep: sweep.pop("timestamp"), "now.bin: has lidar_sweeps of another form"),
        (lambda s, sweep: s.pop("timestamp"), "now.bin: has lidar_sweeps and no timestamp"),
        (lambda s, sweep: s.update(points=LiDARPoints(torch.ones(7, 4), points_dim=4)),
         "now.bin: gives 4 columns"),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_one_line(tmp_path, change, said):
    _, sample = a_sample(tmp_path)
    change(sample, sample["lidar_sweeps"][0])
    with pytest.raises(FormatError, match=said):
        load(sample)


def test_sweep_of_other_columns_is_named(tmp_path):
    rows = np.cumsum(np.random.default_rng(1).uniform(0, 0.1, (2000, 4)), axis=0) + [0, 9, 30, 99]
    write_points(tmp_path / "kitti.bin", rows.astype(np.float32))
    _, sample = a_sample(tmp_path)
    sample["lidar_sweeps"][0]["lidar_points"]["lidar_path"] = str(tmp_path / "kitti.bin")
    with pytest.raises(FormatError, match=r"kitti\.bin: .*4 float32 columns"):
        load(sample)


def test_configs_of_nuscenes_load_their_sweeps_so():
    config = Config.fromfile(find_config("bev_gemini-map_r50_8xb4-20e_nus-3d"))
    for loader in (config.train_dataloader, config.test_dataloader):
        steps = [s for s in loader.dataset.pipeline if s["type"] == "LoadPointsFromMultiSweeps"]
        assert [step["_scope_"] for step in steps] == ["gemini_det3d"]
