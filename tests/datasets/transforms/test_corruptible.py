"""What of a sample is corrupted as what: intensities, colours, labels, the way ahead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.datasets.transforms import LoadPointsFromFile, LoadPointsFromMultiSweeps
from mmdet3d.structures import DepthPoints, LiDARPoints

from gemini_det3d.corruptions import CORRUPTIONS, corrupt_image
from gemini_det3d.datasets.transforms import CalibrationNoise, Corrupt
from gemini_det3d.datasets.transforms.corruptible import channel_order, intensity_column, why_not
from gemini_det3d.formats import FormatError

CLOUDS = [name for name, c in CORRUPTIONS.items() if c.target == "lidar"]
# x right, y ahead, as in nuScenes and in rooms -> z ahead
Y_AHEAD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def cloud(columns=4, num=500, kind=LiDARPoints, **options):
    values = torch.rand(num, columns, generator=torch.Generator().manual_seed(0)) + 0.1
    values[:, :3] = values[:, :3] * 40 - 20
    return kind(values, points_dim=columns, **options)


def sample(points=None, **more):
    return dict(points=cloud() if points is None else points, lidar_path="a/000007.bin", **more)


def corrupted(name, results, severity=5, **options):
    return Corrupt(name, severity, **options).transform(dict(results))["points"].tensor


@pytest.mark.parametrize("name", ["lost_echoes", "lidar_fog", "lidar_rain", "lidar_snow"])
def test_a_column_that_is_no_intensity_is_not_changed_and_follows_its_points(name):
    points = cloud(4)
    points.tensor[:, 3] = torch.arange(500) / 1000  # the age of each point, say
    found = corrupted(name, sample(points))
    assert 0 < len(found) < 500 and torch.isin(found[:, 3], points.tensor[:, 3]).all()
    if name == "lost_echoes":
        assert found[:, 3].min() < 0.05  # any are lost, not the lowest
        assert corrupted(name, sample(points), intensity=3)[:, 3].min() > 0.3


def test_the_intensity_may_stand_in_any_column():
    points = cloud(5)
    moved = LiDARPoints(points.tensor[:, [0, 1, 2, 4, 3]], points_dim=5)
    for name in ("lost_echoes", "lidar_fog", "faded_intensity"):
        wanted = corrupted(name, sample(points), intensity=3)
        found = corrupted(name, sample(moved), intensity=4)
        assert torch.equal(found[:, [0, 1, 2, 4, 3]], wanted)


def test_intensities_that_are_not_known_cannot_fade():
    line = "faded_intensity changes intensities, and no column of the sample's points is known"
    for points in (cloud(4), cloud(6, kind=DepthPoints, attribute_dims=dict(color=[3, 4, 5]))):
        with pytest.raises(ValueError, match=line):
            Corrupt("faded_intensity").transform(sample(points))
    with pytest.raises(ValueError, match="intensity=4 is no measured one of the points' 4 columns"):
        Corrupt("faded_intensity", intensity=4).transform(sample())
    with pytest.raises(ValueError, match="intensity=2 must be a column behind x, y, z"):
        Corrupt("faded_intensity", intensity=2)


@pytest.mark.parametrize(
    ("file", "sweeps", "column"),
    [
        (dict(coord_type="LIDAR", load_dim=4, use_dim=4), None, 3),
        (dict(coord_type="LIDAR", load_dim=4, use_dim=3), None, None),
        (dict(coord_type="LIDAR", load_dim=5, use_dim=[0, 1, 2, 4, 3]), None, 4),
        (dict(coord_type="LIDAR", load_dim=5, use_dim=4, shift_height=True), None, 4),
        (dict(coord_type="LIDAR", load_dim=6, use_dim=6, use_color=True), None, None),
        (dict(coord_type="DEPTH", load_dim=6, use_dim=6), None, None),
        (dict(coord_type="LIDAR", load_dim=5, use_dim=5), {}, None),  # column 3 is the age
        (dict(coord_type="LIDAR", load_dim=5, use_dim=5), dict(use_dim=[0, 1, 2, 3, 4]), 3),
    ],
)
def test_loading_steps_tell_which_column_holds_intensities(file, sweeps, column):
    steps = [LoadPointsFromFile(**file), Corrupt()]
    steps[1:1] = [] if sweeps is None else [LoadPointsFromMultiSweeps(**sweeps)]
    assert intensity_column(steps) == column


def test_one_point_of_a_cloud_stays():
    close = cloud(3, 50)
    close.tensor[:] = 1.0 + close.tensor / 1e6  # within every hole
    for name in ("cutout", "sparse"):
        assert len(corrupted(name, sample(close[:3]))) >= 1


def test_a_lidar_alone_gets_the_cloud_that_is_fused_with_cameras():
    """Its info says how the cameras stand, though no image of theirs is loaded."""
    alone = sample(images={"CAM_FRONT": {"lidar2cam": Y_AHEAD.tolist()}})
    fused = sample(img=[np.zeros((4, 5, 3), np.uint8)], lidar2img=Y_AHEAD[None])
    for name in ("narrow_view", "gaussian_jitter", "motion_distortion"):
        found = corrupted(name, alone)
        assert torch.equal(found, corrupted(name, fused))
        assert torch.equal(found, corrupted(name, sample(), ahead="y"))
        assert not torch.equal(found, corrupted(name, sample()))
    with pytest.raises(ValueError, match="ahead='z' must be one of"):
        Corrupt(ahead="z")


@pytest.mark.parametrize("name", [*CLOUDS, "lidar_gone"])
@pytest.mark.parametrize("inner", [False, True])
def test_a_cloud_with_a_label_for_each_point_keeps_them(name, inner):
    labels = dict(pts_semantic_mask=np.arange(500))
    labelled = sample(**(dict(eval_ann_info=labels) if inner else labels))
    labelled["img"] = np.zeros((4, 5, 3), np.uint8)
    fault = why_not(name, labelled, intensity=3)
    if fault is None:
        assert len(corrupted(name, labelled, intensity=3)) == 500
    else:
        assert fault == "loses or adds points, and the sample has a label for each"
        bare = dict(sample(), img=labelled["img"])
        assert len(corrupted(name, bare, intensity=3)) != 500


@pytest.mark.parametrize("name", CLOUDS)
def test_points_that_are_not_finite_are_one_line(name):
    points = cloud()
    points.tensor[3, 0], points.tensor[7, 3] = torch.nan, torch.inf
    line = f"000007.bin: {name}: 2 of 500 points hold values that are not finite"
    with pytest.raises(FormatError, match=line):
        corrupted(name, sample(points), intensity=3)


def test_a_calibration_that_is_not_there_cannot_be_off():
    bare = sample(img=np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="camera_turned changes the sample's calibration, which"):
        Corrupt("camera_turned").transform(dict(bare))
    with pytest.raises(ValueError, match="needs points, an image and one of lidar2img, lidar2cam"):
        CalibrationNoise(turned_deg=1.0).transform(dict(bare))
    back = dict(bare, cam2lidar=np.eye(4)[None])
    assert not np.allclose(Corrupt("camera_turned").transform(back)["cam2lidar"], np.eye(4))


class BEVLoadMultiViewImageFromFiles:
    """Called as BEVFusion's, which reads RGB."""


def test_pictures_are_corrupted_in_the_order_of_their_channels():
    assert channel_order([BEVLoadMultiViewImageFromFiles()]) == "rgb"
    assert channel_order([Corrupt()]) == "bgr"
    image = np.full((40, 60, 3), 200, np.float32)
    found = Corrupt("dirt", 5, channel_order="rgb").transform(dict(img=[image], lidar_path="a"))
    np.testing.assert_array_equal(found["img"][0], corrupt_image(image, "dirt", 5, frame="a"))
    with pytest.raises(ValueError, match="channel_order='gbr' must be 'bgr' or 'rgb'"):
        Corrupt(channel_order="gbr")
    with pytest.raises(FormatError, match=r"^a: dirt: a picture must hold 0 to 255, got 0\.5 to"):
        Corrupt("dirt").transform(dict(img=[image / 400], lidar_path="a"))
