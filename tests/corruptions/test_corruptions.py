"""Corruptions: seeded, of the right kind, and worse with every severity."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree

from gemini_det3d.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    UnusableDataError,
    corrupt_image,
    corrupt_points,
    generator_of,
)

IMAGES = [name for name, c in CORRUPTIONS.items() if c.target in ("camera", "modalities")]
CLOUDS = [name for name, c in CORRUPTIONS.items() if c.target == "lidar"]
FRAMES = [f"{number:06d}" for number in range(3)]


@pytest.fixture(scope="module")
def image():
    """A picture with smooth parts, edges, colours and texture."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:96, :160].astype(np.float32)
    picture = np.stack([rows * 2, columns * 1.3, 255 - rows * 2], axis=-1)
    picture[30:70, 40:90] = (200, 40, 30)
    picture[40:60, 100:140] = (30, 60, 190)
    return np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cloud():
    """Ground and a few boxes in front, with intensities."""
    rng = np.random.default_rng(4)
    angle, distance = rng.uniform(-0.7, 0.7, 4000), rng.uniform(4, 50, 4000)
    height = np.where(rng.random(4000) < 0.6, -1.7, rng.uniform(-1.5, 1.5, 4000))
    columns = (distance * np.cos(angle), distance * np.sin(angle), height, rng.random(4000))
    return np.stack(columns, axis=1).astype(np.float32)


def test_there_are_at_least_45_in_every_family():
    assert len(CORRUPTIONS) >= 45
    families = Counter(corruption.family for corruption in CORRUPTIONS.values())
    assert min(families.values()) >= 2
    assert all(len(corruption.levels) == 5 for corruption in CORRUPTIONS.values())
    assert all(len(set(corruption.levels)) == 5 for corruption in CORRUPTIONS.values())


@pytest.mark.parametrize("name", IMAGES)
def test_the_distance_to_the_clean_picture_grows_with_severity(name, image):
    distances = [
        np.mean(
            [
                np.abs(corrupt_image(image, name, severity, frame=frame) - image.astype(float))
                for frame in FRAMES
            ]
        )
        for severity in SEVERITIES
    ]
    assert distances[0] > 0
    assert all(less < more for less, more in zip(distances, distances[1:])), distances


@pytest.mark.parametrize("name", CLOUDS)
def test_the_distance_to_the_clean_cloud_grows_with_severity(name, cloud):
    distances = [
        np.mean(
            [
                cloud_distance(cloud, corrupt_points(cloud, name, severity, frame=frame))
                for frame in FRAMES
            ]
        )
        for severity in SEVERITIES
    ]
    assert distances[0] > 0
    assert all(less < more for less, more in zip(distances, distances[1:])), distances


def cloud_distance(clean, changed):
    """Mean distance to the nearest point of the other cloud, 1 at most, there and back."""
    there, back = (
        cKDTree(b).query(a)[0].clip(max=1) for a, b in ((clean, changed), (changed, clean))
    )
    return there.mean() + back.sum() / len(clean)


@pytest.mark.parametrize("name", ["camera_turned", "camera_moved", "camera_late"])
def test_a_calibration_is_moved_rigidly_and_farther_with_severity(name):
    corruption = CORRUPTIONS[name]
    moves = [corruption(None, each, generator_of(name, 0, "frame")) for each in SEVERITIES]
    for move in moves:
        np.testing.assert_allclose(move[:3, :3] @ move[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(move) == pytest.approx(1)
    sizes = [np.abs(move - np.eye(4)).max() for move in moves]
    assert sizes == sorted(sizes) and sizes[0] > 0


def test_a_turned_camera_is_off_by_the_angle_stated():
    corruption = CORRUPTIONS["camera_turned"]
    move = corruption(None, 2, generator_of("camera_turned", 5, "frame"))
    angle = np.arccos((np.trace(move[:3, :3]) - 1) / 2)
    assert np.rad2deg(angle) == pytest.approx(corruption.levels[1])


def test_a_sensor_that_is_gone_stays_gone_at_higher_severities():
    corruption = CORRUPTIONS["camera_gone"]
    there = np.array(
        [
            [corruption(1, s, generator_of("camera_gone", 0, str(f)))[0] for s in SEVERITIES]
            for f in range(200)
        ]
    )
    assert (np.diff(there.astype(int), axis=1) <= 0).all()
    assert not there[:, -1].any()
    assert there.mean(0)[:4] == pytest.approx([0.8, 0.6, 0.4, 0.2], abs=0.1)


def test_of_several_cameras_one_stays():
    corruption = CORRUPTIONS["views_gone"]
    left = [corruption(6, s, generator_of("views_gone", 0, "frame")).sum() for s in SEVERITIES]
    assert left == [5, 4, 3, 1, 1]
    assert corruption(1, 5, generator_of("views_gone", 0, "frame")).all()


@pytest.mark.parametrize("name", IMAGES)
def test_a_picture_depends_on_seed_and_frame_alone(name, image):
    before = image.copy()
    first = corrupt_image(image, name, 3, seed=7, frame="a")
    np.random.seed(1)  # what others draw does not matter
    np.testing.assert_array_equal(corrupt_image(image, name, 3, seed=7, frame="a"), first)
    np.testing.assert_array_equal(image, before)
    assert first.dtype == np.uint8 and first.shape == image.shape


@pytest.mark.parametrize("name", ["rain", "impulse_noise", "glass_blur", "lost_blocks"])
def test_another_frame_is_corrupted_otherwise(name, image):
    first = corrupt_image(image, name, 3, frame="a")
    assert (corrupt_image(image, name, 3, frame="b") != first).any()


def test_another_process_draws_the_same():
    program = (
        "import numpy as np; from gemini_det3d.corruptions import *;"
        "print(corrupt_points(np.ones((50, 4)), 'gaussian_jitter', 4, 3, 'f').sum(dtype=float))"
    )
    ours = corrupt_points(np.ones((50, 4)), "gaussian_jitter", 4, 3, "f").sum(dtype=float)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout.strip() == str(ours), told.stderr


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (7, 3), (5, 6)])
def test_clouds_of_any_size_and_width_keep_their_columns(name, shape):
    cloud = np.random.default_rng(0).normal(0, 5, shape)
    for severity in (1, 5):
        changed = corrupt_points(cloud, name, severity)
        assert changed.shape[1] == shape[1] and np.isfinite(changed).all()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (47, 5)])
def test_pictures_of_any_size_keep_it(name, size):
    picture = np.full((*size, 3), 90, np.uint8)
    for severity in (1, 5):
        assert corrupt_image(picture, name, severity).shape == picture.shape


def test_a_wrong_name_or_severity_is_one_line_that_says_what_there_is():
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="none of the corruptions of cameras.*fog"):
        corrupt_image(picture, "lidar_fog", 1)
    with pytest.raises(ValueError, match=r"severity=6 must be one of \(1, 2, 3, 4, 5\)"):
        corrupt_image(picture, "fog", 6)


def test_holes_in_a_room_are_smaller_than_outdoors(cloud):
    room = (np.random.default_rng(0).random((20000, 3)) * [5, 4, 2.5]).astype(np.float32)
    left = [len(corrupt_points(room, "cutout", severity)) / 20000 for severity in SEVERITIES]
    assert 0.5 < left[0] < 1 and 0.02 < left[-1] < left[0]
    ground = np.mgrid[:20:0.1, -5:5:0.1, :1].reshape(3, -1).T.astype(np.float32)
    lost = 0.01 * (len(ground) - len(corrupt_points(ground, "cutout", 1)))  # m2
    assert lost < 3 * np.pi * 9 * 1.01
    shifted = ground * np.float32([5, 5, 1])  # 100 m long, 0.25 m2 each: metres do not grow
    assert 0.25 * (len(shifted) - len(corrupt_points(shifted, "cutout", 1))) < 3 * np.pi * 9 * 1.1


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 265])
def test_the_middle_of_a_view_is_kept_wherever_it_looks(turn_deg):
    angle = np.deg2rad(np.linspace(-45, 45, 901) + turn_deg)
    seen = np.stack([20 * np.cos(angle), 20 * np.sin(angle), 0 * angle], 1).astype(np.float32)
    for kept, severity in zip((0.9, 0.75, 0.6, 0.45, 0.3), SEVERITIES):
        found = corrupt_points(seen, "narrow_view", severity)
        assert len(found) == pytest.approx(kept * 901, abs=3)
        np.testing.assert_allclose(found.mean(0), seen.mean(0) / np.linalg.norm(seen.mean(0))
                                   * np.linalg.norm(found.mean(0)), atol=0.05)  # fmt: skip


def test_of_a_cloud_all_around_what_is_ahead_is_kept():
    angle = np.deg2rad(np.delete(np.arange(-180.0, 180), slice(100, 150)))  # a gap on one side
    ring = np.stack([20 * np.cos(angle), 20 * np.sin(angle), 0 * angle], 1).astype(np.float32)
    found = corrupt_points(ring, "narrow_view", 5)
    assert np.abs(np.arctan2(found[:, 1], found[:, 0])).max() < np.deg2rad(55)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (np.zeros((6, 8), np.uint8), r"\(H, W, 3\), uint8 or float, got uint8 of shape \(6, 8\)"),
        (np.zeros((6, 8, 1), np.uint8), r"got uint8 of shape \(6, 8, 1\)"),
        (np.zeros((6, 8, 3), np.uint16), "got uint16 of shape"),
        (np.full((6, 8, 3), 0.5), "must hold 0 to 255, got 0.5 to 0.5"),
        (np.full((6, 8, 3), -3.0), "got -3 to -3"),
        (np.full((6, 8, 3), 300.0), "got 300 to 300"),
        (np.full((6, 8, 3), np.nan), "got nan to nan"),
    ],
)
def test_what_is_no_picture_of_0_to_255_is_one_line(image, fault):
    with pytest.raises(UnusableDataError, match=fault):
        corrupt_image(image, "gaussian_noise", 1)
    assert corrupt_image(np.zeros((6, 8, 3)), "gaussian_noise", 1).any()  # black is a picture


def test_the_weakest_echoes_are_lost_whatever_the_scale_of_intensities():
    cloud = np.random.default_rng(0).random((500, 4)).astype(np.float32)
    cloud[:, 3] = np.round(cloud[:, 3] * 64) / 64  # many are equal
    large = cloud * np.float32([1, 1, 1, 256])
    found = corrupt_points(cloud, "lost_echoes", 3, seed=5)
    np.testing.assert_array_equal(
        corrupt_points(large, "lost_echoes", 3, seed=5)[:, :3], found[:, :3]
    )
    assert found[:, 3].min() >= np.sort(cloud[:, 3])[175]
