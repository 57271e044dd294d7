"""What the four sensors make of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.worlds.camera import render_surfaces
from gemini_det3d.worlds.modalities import (
    depth_image,
    event_image,
    hha_image,
    lidar_image,
    measure_depth,
)
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.rig import make_calibration, make_camera
from gemini_det3d.worlds.seg_frames import CLASSES, SegWorld, label_map, make_seg_frame
from gemini_det3d.worlds.street import sample_street
from gemini_det3d.worlds.weather import WEATHERS, under_weather

RIG = KittiWorld(image_width=128, image_height=48, supersample=1)
WORLD = SegWorld(RIG)


@pytest.fixture(scope="module")
def seen():
    scene = sample_street(np.random.default_rng(5), RIG.street)
    camera = make_camera(RIG, make_calibration(RIG))
    return scene, camera, render_surfaces(scene, camera)


def test_frame_depends_on_its_place_alone():
    first, again = (make_seg_frame(WORLD, 0, "train", 3) for _ in range(2))
    other = make_seg_frame(WORLD, 0, "val", 3)
    for name, image in first.images.items():
        assert np.array_equal(image, again.images[name])
        assert not np.array_equal(image, other.images[name])


def test_weather_changes_the_camera_only():
    night = replace(WORLD, weathers=("night",))
    day = replace(WORLD, weathers=("sun",))
    dark, bright = (make_seg_frame(world, 0, "train", 0) for world in (night, day))
    assert dark.images["rgb"].mean() < 0.4 * bright.images["rgb"].mean()
    for name in ("depth", "hha", "event", "lidar"):
        assert np.array_equal(dark.images[name], bright.images[name])
    assert np.array_equal(dark.labels, bright.labels)


def test_every_weather_keeps_the_geometry(seen):
    scene = seen[0]
    for weather in WEATHERS.values():
        lit = under_weather(scene, weather, np.random.default_rng(0))
        assert lit.things == scene.things and lit.background == scene.background


def test_measured_depth_is_near_the_truth_and_ends(seen):
    surfaces = seen[2]
    depth = measure_depth(surfaces, 40.0, 1.0, np.random.default_rng(0))
    is_near = surfaces.depth < 40
    assert (depth[~is_near] == 0).all() and (~is_near).any()
    assert np.abs(depth - surfaces.depth)[is_near].max() < 5
    assert depth_image(depth, 40.0)[~is_near].max() == 0


def test_hha_tells_the_road_from_walls(seen):
    scene, camera, surfaces = seen
    depth = measure_depth(surfaces, 60.0, 0.0, np.random.default_rng(0))
    hha = hha_image(depth, surfaces, camera)
    labels = label_map(scene, surfaces)
    road = (labels == CLASSES.index("Road")) & (depth > 0)
    assert hha[road][:, 1].max() <= 2  # no height
    assert hha[road][:, 2].max() == 0  # faces up
    wall = (labels == CLASSES.index("Building")) & (depth > 0)
    assert np.median(hha[wall][:, 2]) == 128  # upright


def test_events_have_a_sign():
    dark, bright = np.full((3, 5, 3), 50, np.uint8), np.full((3, 5, 3), 60, np.uint8)
    assert event_image(dark, bright, 0.15)[0, 0].tolist() == [85, 0, 0]
    assert event_image(bright, dark, 0.15)[0, 0].tolist() == [0, 0, 85]
    assert event_image(dark, dark, 0.15).max() == 0


def test_lidar_point_falls_on_its_pixel_and_the_nearest_wins(seen):
    camera, matrix = seen[1], make_calibration(RIG).lidar2img
    near, far = np.array([10.0, 0.5, -0.5, 0.2]), np.array([20.0, 1.0, -1.0, 0.9])
    image = lidar_image(np.array([near]), matrix, camera, 50.0)
    (row,), (column,) = np.nonzero(image.sum(axis=2))
    pixel = matrix[:3, :3] @ near[:3] + matrix[:3, 3]
    assert (round(pixel[0] / pixel[2]), round(pixel[1] / pixel[2])) == (column, row)
    behind = far.copy()
    behind[:3] = np.linalg.solve(matrix[:3, :3], 2 * pixel - matrix[:3, 3])
    both = lidar_image(np.array([near, behind]), matrix, camera, 50.0)
    assert (both == image).all()
    assert lidar_image(np.array([-near]), matrix, camera, 50.0).max() == 0


def test_unknown_weather_is_refused():
    with pytest.raises(ValueError, match="weathers=\\('hail',\\)"):
        SegWorld(weathers=("hail",))
