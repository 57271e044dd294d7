"""The LiDAR: returns computed by hand, and agreement with camera and boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.worlds import (
    Scanner,
    cast_rays,
    make_calibration,
    make_camera,
    make_frame,
    sample_street,
    scan,
)
from gemini_det3d.worlds.materials import Material

EXACT = Scanner(num_beams=64, num_azimuths=41, noise_m=0.0, dropout=0.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_beam_meets_flat_ground_where_trigonometry_says(crate, scene_of):
    ground = crate((0.0, 0.0, -1.0), (200.0, 200.0, 1.0))
    points = scan(scene_of([], [ground]), replace(EXACT, range_m=30.0), rng()).points
    directions = EXACT.directions()
    lowest = directions[-1]
    assert np.degrees(np.arcsin(lowest[2])) == pytest.approx(-8.83 - 15.5)
    assert np.linalg.norm(points[-1, :3]) == pytest.approx(
        1.73 / np.sin(np.radians(24.33)), abs=1e-4
    )
    np.testing.assert_allclose(points[:, 2], -1.73, atol=1e-5)


def test_first_beam_looks_up_and_azimuths_run_from_left_to_right():
    directions = Scanner(num_beams=3, num_azimuths=5, field_deg=90.0).directions()
    assert directions.shape == (15, 3)
    assert np.degrees(np.arcsin(directions[0, 2])) == pytest.approx(2.0)
    azimuth = np.degrees(np.arctan2(directions[:5, 1], directions[:5, 0]))
    np.testing.assert_allclose(azimuth, [36, 18, 0, -18, -36], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)


def test_field_of_360_degrees_sees_behind(crate, scene_of):
    behind = scene_of([crate((-10.0, 0.0, 0.0), (2.0, 4.0, 3.0))])
    assert len(scan(behind, EXACT, rng()).points) == 0
    points = scan(behind, replace(EXACT, field_deg=360.0, num_azimuths=359), rng()).points
    assert len(points) > 50 and (points[:, 0] < -8.9).all()


def test_range_ends_the_cloud(crate, scene_of):
    scene = scene_of([crate((20.0, 0.0, 0.0), (2.0, 40.0, 3.0))])
    assert len(scan(scene, replace(EXACT, range_m=18.0), rng()).points) == 0
    assert len(scan(scene, replace(EXACT, range_m=25.0), rng()).points) > 50


def test_range_noise_has_the_deviation_asked_for_along_the_ray(crate, scene_of):
    scene = scene_of([crate((12.0, 0.0, -2.0), (4.0, 60.0, 9.0))])
    scanner = replace(EXACT, num_azimuths=151)
    exact = scan(scene, scanner, rng()).points[:, :3].astype(float)
    noisy = scan(scene, replace(scanner, noise_m=0.05), rng()).points[:, :3].astype(float)
    length = np.linalg.norm(exact, axis=1)
    error = noisy - exact
    along = np.einsum("ni,ni->n", error, exact) / length
    assert along.std() == pytest.approx(0.05, rel=0.05)
    across = error - along[:, None] * exact / length[:, None]
    assert np.abs(across).max() < 1e-5


def test_material_decides_how_many_pulses_return_and_how_bright(crate, scene_of):
    def returns(material):
        wall = crate((12.0, 0.0, -2.0), (4.0, 60.0, 9.0), material=material)
        return scan(scene_of([wall]), replace(EXACT, num_azimuths=151), rng()).points

    solid = returns(Material((0.5, 0.5, 0.5), reflectance=0.8))
    glass = returns(Material((0.5, 0.5, 0.5), reflectance=0.2, dropout=0.4))
    assert len(glass) / len(solid) == pytest.approx(0.6, abs=0.03)
    assert solid[:, 3].mean() == pytest.approx(4 * glass[:, 3].mean(), rel=0.05)
    assert solid[:, 3].min() >= 0 and solid[:, 3].max() < 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_beams", 0),
        ("range_m", -1.0),
        ("noise_m", -0.1),
        ("dropout", 1.0),
        ("field_deg", 360.5),
        *((name, np.nan) for name in ("range_m", "field_deg", "noise_m", "dropout")),
        *((name, np.inf) for name in ("range_m", "field_deg", "noise_m")),
    ],  # fmt: skip
)
def test_impossible_scanner_is_an_error_that_names_the_value(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        Scanner(**{name: value})


@pytest.mark.parametrize("index", [0, 3])
def test_points_projected_by_lidar2img_lie_at_the_cameras_depth(exact_world, index):
    frame = make_frame(exact_world, 5, "train", index)
    camera = make_camera(exact_world, frame.calibration)
    homogeneous = np.column_stack([frame.points[:, :3].astype(float), np.ones(len(frame.points))])
    projected = homogeneous @ frame.calibration.lidar2img.T
    depth = projected[:, 2]
    pixels = projected[:, :2] / depth[:, None]
    in_image = (depth > 1) & (pixels > 0).all(axis=1)
    in_image &= (pixels < [camera.width - 1, camera.height - 1]).all(axis=1)
    assert in_image.sum() > 1000
    seen = cast_rays(frame.scene.solids, camera.center, camera.rays(pixels[in_image])).distance
    # The camera stands 27 cm in front: it may see something nearer, but nothing beyond a point.
    behind = seen - depth[in_image]
    assert behind.max() < 0.02
    assert (np.abs(behind) < 0.02).mean() > 0.95


def test_points_in_a_box_are_its_things_and_a_things_points_are_in_its_box(exact_world, in_box):
    num_points = 0
    for seed in range(4):
        scene = sample_street(np.random.default_rng(seed), exact_world.street)
        sweep = scan(scene, exact_world.scanner, rng())
        world_points = sweep.points[:, :3] + [0, 0, exact_world.scanner.height_m]
        instance = scene.instance_of(sweep.solid)
        for thing, box in enumerate(scene.boxes):
            assert in_box(world_points[instance == thing], box, margin=1e-4).all()
            # The ground just under the bottom is not the thing's.
            inside = in_box(world_points, box, margin=-1e-3)
            assert (instance[inside] == thing).all()
            num_points += inside.sum()
    assert num_points > 1000


def test_toy_cars_get_enough_points_to_be_learned(in_box):
    from gemini_det3d.formats.kitti import to_lidar_boxes
    from gemini_det3d.worlds import PRESETS

    counts = []
    for index in range(3):
        frame = make_frame(
            replace(PRESETS["toy"], image_width=211, image_height=67), 0, "val", index
        )
        clear = (frame.objects.name == "Car") & (frame.objects.occluded <= 1)
        boxes = to_lidar_boxes(frame.objects.select(clear), frame.calibration)
        counts += [in_box(frame.points, box, margin=-0.03).sum() for box in boxes]
    assert len(counts) >= 3
    assert np.median(counts) > 50 and min(counts) > 5


def test_calibration_is_no_identity_by_chance(small_world):
    calibration = make_calibration(small_world)
    for rotation in (calibration.r0_rect, calibration.tr_velo_to_cam[:, :3]):
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        assert (np.abs(rotation) > 1e-4).all()
    assert (calibration.p2[:, 3] != 0).all() and (calibration.tr_velo_to_cam[:, 3] != 0).all()


def test_smaller_image_shows_the_same_rays_at_scaled_pixels(small_world):
    full = make_calibration(replace(small_world, image_width=1242))
    half = make_calibration(replace(small_world, image_width=621))
    point = full.lidar2img @ [13.0, 2.0, -0.5, 1.0]
    scaled = half.lidar2img @ [13.0, 2.0, -0.5, 1.0]
    np.testing.assert_allclose(scaled[:2] / scaled[2], 0.5 * point[:2] / point[2], rtol=1e-12)
