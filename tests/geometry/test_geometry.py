"""A point placed by hand lands on the pixel computed by hand, however both were augmented."""

from __future__ import annotations

import contextlib
import itertools
import math

import pretend_gpu
import pytest
import torch

from gemini_det3d.geometry import (
    bilinear_corners,
    image_matrix,
    in_view,
    point_to_pixel_matrix,
    points_matrix,
    project,
    sample_maps,
)

# A camera that looks along x with focal length 10 px and centre (40, 30): u = 40 - 10 y / x.
PROJECTION = torch.tensor([[40.0, -10.0, 0.0, 0.0], [30.0, 0.0, -10.0, 0.0], [1.0, 0.0, 0.0, 0.0]])


def rotation_about_z(angle_rad: float) -> torch.Tensor:
    """mmdet3d's row-vector rotation."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def test_project_lands_on_the_pixel_computed_by_hand():
    pixels, depth = project(torch.tensor([[5.0, 2.0, -1.0]]), PROJECTION)
    assert pixels.tolist() == [[36.0, 32.0]]
    assert depth.tolist() == [5.0]


def test_project_of_a_point_in_the_camera_plane_is_finite():
    pixels, depth = project(torch.tensor([[0.0, 2.0, -1.0]]), PROJECTION)
    assert pixels.isfinite().all() and depth.item() == 0


def test_image_matrix_resizes_then_crops_then_flips():
    # (36, 32) resized by (2, 3) is (72, 96), cropped by (7, 5) is (65, 91), flipped in 101 is 36.
    matrix = image_matrix((2, 3), (7, 5), flip=True, width_px=101)
    assert (matrix @ torch.tensor([36.0, 32.0, 1.0]).double()).tolist() == [36.0, 91.0, 1.0]


def test_image_matrix_needs_the_width_to_flip():
    with pytest.raises(ValueError, match="width_px"):
        image_matrix((1, 1), flip=True)


@pytest.mark.parametrize("coord_type, hf, vf", [("LIDAR", 1, 0), ("DEPTH", 0, 1), ("CAMERA", 0, 2)])
def test_points_matrix_flips_the_axis_of_its_frame(coord_type, hf, vf):
    for step, axis in (("HF", hf), ("VF", vf)):
        expected = torch.eye(4).double()
        expected[axis, axis] = -1
        assert torch.equal(points_matrix([step], coord_type=coord_type), expected)


def test_points_matrix_follows_the_order_of_the_flow():
    first = points_matrix(["T", "S"], scale=3.0, translation=torch.tensor([1.0, 0, 0]))
    second = points_matrix(["S", "T"], scale=3.0, translation=torch.tensor([1.0, 0, 0]))
    assert first[0, 3] == 3 and second[0, 3] == 1


def test_points_matrix_rejects_a_step_without_its_value():
    with pytest.raises(ValueError, match="'R'"):
        points_matrix(["R"])


def test_points_matrix_rejects_an_unknown_step():
    with pytest.raises(ValueError, match="'X'"):
        points_matrix(["X"])


def test_point_to_pixel_matrix_rejects_an_augmentation_that_cannot_be_undone():
    with pytest.raises(ValueError, match="singular"):
        point_to_pixel_matrix(PROJECTION, points_matrix(["S"], scale=0.0), torch.eye(3))


AUGMENTATIONS = list(
    itertools.product(
        [[], ["R", "S", "T"], ["HF", "R", "S", "T"], ["T", "VF", "R", "HF"]],
        [0.0, 0.6],  # rotation
        [1.0, 1.05],  # point scale
        [(1.0, 1.0), (1.7, 0.6)],  # image scale
        [(0.0, 0.0), (11.0, 3.0)],  # crop
        [False, True],  # image flip
    )
)


@pytest.mark.parametrize("flow, angle, scale, resize, crop, flip", AUGMENTATIONS)
def test_augmenting_and_telling_equals_not_augmenting(flow, angle, scale, resize, crop, flip):
    generator = torch.Generator().manual_seed(7)
    points = torch.rand(13, 3, generator=generator) * 10 + torch.tensor([4.0, -5.0, -5.0])
    translation, width = torch.tensor([0.2, -0.3, 0.1]), 83.0
    forward = points_matrix(flow, rotation_about_z(angle), scale, translation)
    augmented = points.double() @ forward[:3, :3].T + forward[:3, 3]
    image = image_matrix(resize, crop, flip, width)

    pixels, depth = project(augmented, point_to_pixel_matrix(PROJECTION, forward, image))

    plain, plain_depth = project(points, PROJECTION)
    expected = plain * torch.tensor(resize) - torch.tensor(crop)
    if flip:
        expected[:, 0] = width - expected[:, 0]
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(depth, plain_depth)


def test_in_view_is_false_behind_the_camera_where_pixels_are_mirrored_into_the_image():
    points = torch.tensor([[5.0, 1.0, 1.0], [-5.0, -1.0, -1.0]])
    pixels, depth = project(points, PROJECTION)
    assert torch.equal(pixels[0], pixels[1])
    assert in_view(pixels, depth, 60, 80).tolist() == [True, False]


def test_in_view_ends_at_the_image_and_not_at_its_padding():
    pixels = torch.tensor([[0.0, 0.0], [79.9, 59.9], [80.0, 30.0], [-0.1, 30.0], [40.0, 60.0]])
    assert in_view(pixels, torch.ones(5), 60, 80).tolist() == [True, True, False, False, False]


def ramp(height: int, width: int) -> torch.Tensor:
    """A map whose channels are the pixel centres' u and v."""
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([u, v])[None]


@pytest.mark.parametrize("num_points", [0, 1, 2, 17])
def test_sample_maps_reads_the_pixel_it_was_asked_for(num_points):
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(num_points, 2, generator=generator) * torch.tensor([20.0, 9.0]) + 1
    sampled = sample_maps([ramp(11, 23)], [pixels], (11, 23))
    torch.testing.assert_close(sampled, pixels)


def test_sample_maps_reads_a_coarse_level_at_the_same_place_of_the_scene():
    pixels = torch.tensor([[8.0, 4.0], [12.0, 6.0]])
    sampled = sample_maps([ramp(12, 24), ramp(6, 12)], [pixels], (12, 24))
    torch.testing.assert_close(sampled[:, :2], 2 * sampled[:, 2:])


def test_sample_maps_keeps_frames_apart():
    maps = torch.cat([torch.zeros(1, 3, 5, 7), torch.ones(1, 3, 5, 7)])
    inside = torch.tensor([[3.0, 2.0]])
    sampled = sample_maps([maps], [inside, inside], (5, 7))
    assert sampled.tolist() == [[0.0] * 3, [1.0] * 3]


def test_sample_maps_takes_frames_with_other_numbers_of_points():
    maps = torch.cat([ramp(5, 7), 100 + ramp(5, 7), 200 + ramp(5, 7)])
    pixels = [torch.tensor([[3.0, 2.0]]), torch.zeros(0, 2), torch.tensor([[2.0, 1.0], [4.0, 3.0]])]
    sampled = sample_maps([maps], pixels, (5, 7))
    torch.testing.assert_close(sampled, torch.tensor([[3.0, 2.0], [202, 201], [204, 203]]))


def test_sample_maps_outside_the_image_is_zero():
    assert sample_maps([ramp(5, 7)], [torch.tensor([[-9.0, 2.0]])], (5, 7)).abs().sum() == 0


def test_sample_maps_without_points_still_gives_the_maps_a_gradient():
    maps = torch.ones(2, 3, 5, 7, requires_grad=True)
    empty = torch.zeros(0, 2)
    sample_maps([maps], [empty, empty], (5, 7)).sum().backward()
    assert maps.grad is not None and maps.grad.abs().sum() == 0


def test_sample_maps_gradient_is_right():
    maps = torch.rand(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    pixels = torch.tensor([[1.3, 0.9], [3.1, 2.2]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: sample_maps([m], [pixels], (3, 5)), maps)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_four_cells_and_their_shares_are_what_sample_maps_reads(padding, align):
    maps = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    far = [[-1e30, 3.0], [2.0, 1e30], [-0.2, -0.3], [14.1, 10.2], [14.0, 10.0], [0.0, 0.0]]
    far += [[torch.nan, 3.0], [2.0, torch.nan], [torch.inf, 3.0], [2.0, -torch.inf]]
    inside = torch.rand(31, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([14, 10])
    pixels = torch.cat([inside, torch.tensor(far)]).double()
    x, y, share = bilinear_corners(pixels, (10, 14), (5, 7), padding, align, torch.float64)
    read = (maps[0, :, y, x] * share).sum(dim=2).T
    torch.testing.assert_close(read, sample_maps([maps], [pixels], (10, 14), "bilinear", padding,
                                                 align))  # fmt: skip


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_point_that_is_nowhere_reads_zeros_of_whole_maps(mode):
    nan, inf = torch.nan, torch.inf
    nowhere = torch.tensor([[nan, 2.0], [3.0, nan], [inf, 2.0], [3.0, -inf]])
    for size in ((5, 7), (1, 1)):
        read = sample_maps([1 + ramp(*size)], [nowhere], (5, 7), mode)
        assert torch.equal(read, torch.zeros(4, 2))


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_maps_of_a_gpu_in_deterministic_mode_are_read_the_same(padding, align):
    torch.manual_seed(0)
    levels = [torch.randn(2, 3, 5, 7), torch.randn(2, 4, 3, 4)]
    pixels = [torch.rand(31, 2) * torch.tensor([20, 14]) - 2, torch.rand(9, 2) * 9]
    found = []
    for how in (contextlib.nullcontext, pretend_gpu.deterministic_gpu):
        leaves = [level.clone().requires_grad_() for level in levels]
        with how():
            read = sample_maps(leaves, pixels, (10, 14), "bilinear", padding, align)
            read.square().sum().backward()
        found.append([read, *(leaf.grad for leaf in leaves)])
    for first, second in zip(*found):
        torch.testing.assert_close(first, second)


def test_four_cells_of_a_reflected_image_are_refused():
    with pytest.raises(ValueError, match="padding_mode must be 'zeros' or 'border', got 'reflec"):
        bilinear_corners(torch.zeros(1, 2), (10, 14), (5, 7), "reflection")


def test_a_point_that_is_nowhere_reads_no_cell():
    nowhere = torch.full((1, 2), torch.nan)
    x, y, share = bilinear_corners(nowhere, (10, 14), (5, 7))
    assert not share.any() and x.amax() < 7 and y.amax() < 5


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("far", [1e39, -1e300, 3e38, -1e12])
def test_sample_maps_of_pixels_that_float32_cannot_hold(mode, padding_mode, align_corners, far):
    """The maps' precision is float32; these pixels, float64, are finite."""
    maps = [ramp(5, 7).requires_grad_(), ramp(1, 1).requires_grad_()]
    pixels = torch.tensor([[far, 2.0], [2.5, far]], dtype=torch.float64)
    how = dict(mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    sampled = sample_maps(maps, [pixels], (5, 7), **how)
    sampled.sum().backward()
    assert sampled.isfinite().all() and all(level.grad.isfinite().all() for level in maps)
    if padding_mode == "zeros":
        assert not sampled[:, : ramp(5, 7).shape[1]].any()


def test_sample_maps_of_one_cell_has_zeros_where_a_pixel_is_not_finite():
    pixels = torch.tensor([[torch.inf, 0.5], [0.5, torch.nan], [0.5, 0.5]])
    sampled = sample_maps([torch.ones(1, 3, 1, 1)], [pixels], (1, 1), align_corners=True)
    assert sampled.tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
