"""Which pixel a point is: the conventions, with the synthetic camera, whose truth is known."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from gemini_det3d.geometry import MIN_DEPTH_M, boxes, image_matrix, in_view, sample_maps
from gemini_det3d.models.metas import image_geometry, view_geometries
from gemini_det3d.worlds.camera import Camera

SIZE = (23, 31)  # height, width
# Looks along x, 19 px focal length, centre (14, 11): KITTI's way, pixel (0, 0) is a centre.
LIDAR2IMG = np.array([[14.0, -19, 0, 1], [11, 0, -19, 2], [1, 0, 0, 0.5], [0, 0, 0, 1]])
FROM_CENTRES = (0.5, 0.5)


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """What stands in the middle of every pixel: points ``(H W, 3)`` and their pixels' numbers."""
    camera = Camera(LIDAR2IMG[:3], SIZE[1], SIZE[0])
    pixels = camera.pixel_grid()
    depth = np.random.default_rng(0).uniform(2, 9, (len(pixels), 1))
    points = camera.center + depth * camera.rays(pixels)
    return torch.from_numpy(points), torch.arange(len(pixels), dtype=torch.float64)


def read(geometry, image: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The image's values where the points fall, as a fusion neck reads a map of the same size."""
    homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], dim=1) @ geometry.matrix.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    return sample_maps([image[None, None]], [pixels], geometry.padded_size)[:, 0]


def meta(flip: bool, **others) -> dict:
    return dict(
        lidar2img=LIDAR2IMG, scale_factor=(1.0, 1.0), flip=flip, img_shape=SIZE, ori_shape=SIZE,
        batch_input_shape=SIZE, transformation_3d_flow=[], **others,
    )  # fmt: skip


@pytest.mark.parametrize("flip", [False, True])
def test_a_point_reads_the_pixel_that_the_camera_saw_it_in(flip):
    points, numbers = scene()
    image = numbers.view(SIZE)
    image = image.flip(1) if flip else image
    geometry = image_geometry(meta(flip), pixel_offset=FROM_CENTRES)
    torch.testing.assert_close(read(geometry, image, points), numbers, rtol=0, atol=1e-6)
    beside = read(image_geometry(meta(flip)), image, points).view(SIZE)[1:-1, 1:-1]
    # without the offset: half a row up and half a column to the left of the unflipped image
    error = (beside - numbers.view(SIZE)[1:-1, 1:-1]).unique()
    torch.testing.assert_close(error, torch.full_like(error, -SIZE[1] / 2 - 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_a_point_reads_its_pixel_in_every_view(flip):
    points, numbers = scene()
    image = numbers.view(SIZE)
    image = image.flip(1) if flip else image
    moved = np.stack([image_matrix((1, 1), flip=flip, width_px=SIZE[1]).numpy()] * 2)
    several = meta(False, img_aug_matrix=moved)
    several["lidar2img"] = np.stack([LIDAR2IMG] * 2)
    for geometry in view_geometries(several, 2, pixel_offset=FROM_CENTRES):
        torch.testing.assert_close(read(geometry, image, points), numbers, rtol=0, atol=1e-6)


def test_in_view_is_one_rule_for_tensors_and_arrays():
    edges = [-0.5, -1e-9, 0.0, 0.4, 79.9, 80.0, 60.0, 59.99, np.nan]
    depths = [-1.0, 0.0, MIN_DEPTH_M, 2 * MIN_DEPTH_M, 50.0, np.nan]
    rows = np.array(list(itertools.product(edges, edges, depths)))
    pixels, depth = rows[:, :2], rows[:, 2]
    ours = in_view(torch.from_numpy(pixels), torch.from_numpy(depth), 60, 80).numpy()
    assert np.array_equal(boxes.in_view(pixels, depth, 60, 80), ours)
    assert ours.sum() == 5 * 3 * 2  # columns, rows, depths


def test_boxes_as_arrays_need_no_torch():
    code = "import sys, gemini_det3d.formats.kitti; print('torch' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout == "False\n"
