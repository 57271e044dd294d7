"""Whether a cloud fits its image, on a street of boards whose paint and distance are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.turned_cloud import AS_IS

WIDTH, HEIGHT = 832, 256
# The principal point lies off the middle, so that a mirrored image is no mirrored cloud.
TO_PIXEL = np.array([[400.0, -500, 0, 0], [120, 0, -500, 0], [1, 0, 0, 0]])
MIRRORED = "image mirrored left-right"


def boards(seed: int, colours: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A frame: ``(N, 4)`` points in LiDAR axes, and the image; boards in front of a far wall."""
    rng = np.random.default_rng(seed)
    distance, paint = np.full((HEIGHT, WIDTH), 50.0), np.full((HEIGHT, WIDTH), 90.0)
    for _ in range(60):
        left, top = rng.integers(0, WIDTH - 40), rng.integers(0, HEIGHT - 60)
        where = np.s_[top : top + rng.integers(40, 120), left : left + rng.integers(20, 90)]
        distance[where], paint[where] = rng.uniform(5, 40), rng.uniform(0, 255)
    v, u = (axis.ravel() for axis in np.mgrid[2:HEIGHT:4, 1:WIDTH:3])
    ahead = distance[v, u]
    rays = np.column_stack([ahead, (400 - u) / 500 * ahead, (120 - v) / 500 * ahead])
    image = paint.astype(np.uint8)
    cloud = np.column_stack([rays, paint[v, u] / 255])
    return cloud, np.repeat(image[..., None], 3, axis=2) if colours else image


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_frame_that_fits_stands_out_and_no_other_way_is_tried(seed, colours):
    fit = fit_of(*boards(seed, colours), TO_PIXEL)
    assert list(fit) == [AS_IS]
    assert fit[AS_IS] > 10
    assert check_fit(fit) == []


def mirror_image(points, image):
    return points, image[:, ::-1]


def turn_image(points, image):
    return points, image[::-1, ::-1]


def mirror_cloud(points, image):
    return points * [1, -1, 1, 1], image


def turn_cloud(points, image):
    return points * [-1, -1, 1, 1], image


def swap_axes(points, image):
    return points[:, [1, 0, 2, 3]], image


def keep_camera_axes(points, image):
    return points[:, [1, 2, 0, 3]] * [-1, -1, 1, 1], image


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (mirror_image, MIRRORED),
        (turn_image, "image turned by 180 degrees"),
        (mirror_cloud, "cloud mirrored (y negated)"),
        # of a cloud cut to the view nothing is left there
        (turn_cloud, "cloud turned by 180 degrees about z"),
        (swap_axes, "cloud given with x and y swapped"),
        (keep_camera_axes, "cloud taken from camera axes (x right, y down, z ahead)"),
    ],
)
def test_frame_that_fits_in_another_way_alone_is_told_with_the_way(change, said):
    fit = fit_of(*change(*boards(0)), TO_PIXEL)
    (fault,) = check_fit(fit)
    assert fault.level == "warning"
    assert fault.text == (
        f"edges of cloud and image agree by {fit[AS_IS]:.1f} deviations as they are, "
        f"but by {fit[said]:.1f} with the {said}"
    )


@pytest.mark.parametrize("seed", range(3))
def test_cloud_of_another_frame_fits_in_no_way(seed):
    cloud, _ = boards(seed)
    _, image = boards(seed + 10)
    assert check_fit(fit_of(cloud, image, TO_PIXEL)) == []


def test_frames_that_tell_nothing_are_not_judged():
    cloud, image = boards(0)
    assert fit_of(cloud, image[:, :200], TO_PIXEL) == {}  # narrower than the grid
    assert fit_of(cloud[:50], image, TO_PIXEL) == {}
    assert fit_of(cloud[:0], image, TO_PIXEL) == {}
    assert check_fit({}) == []


def test_flat_image_stands_out_nowhere():
    cloud, image = boards(0)
    fit = fit_of(cloud, np.full_like(image, 90), TO_PIXEL)
    assert len(fit) == 3 + 7  # every other way was tried
    assert all(value == 0 for value in fit.values())
    assert check_fit(fit) == []


def test_warning_wants_a_clear_fit_that_is_twice_the_present_one():
    other = f"cloud {MIRRORED}"
    assert check_fit({AS_IS: 3.4, other: 6.9}) == []
    assert check_fit({AS_IS: 3.6, other: 7.1}) == []
    assert len(check_fit({AS_IS: 3.4, other: 7.1})) == 1
    assert len(check_fit({AS_IS: 3.5, other: 7.0})) == 1
