"""A pixel of known depth lands in the cell computed by hand, however both were augmented."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from gemini_det3d.geometry import (
    BevGrid,
    DepthBins,
    cells_in_view,
    feature_pixels,
    image_matrix,
    in_view,
    lift_pixels,
    measured_depth,
    order_by_cell,
    point_to_pixel_matrix,
    points_matrix,
    pool_to_cells,
    project,
)

# A camera that looks along x with focal length 10 px and centre (40, 30): u = 40 - 10 y / x.
PROJECTION = torch.tensor([[40.0, -10.0, 0.0, 0.0], [30.0, 0.0, -10.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
GRID = BevGrid((0.0, -3.0, -2.0, 7.0, 8.0, 3.0), (0.5, 1.0))  # 14 cells along x, 11 along y


def rotation_about_z(angle_rad: float) -> torch.Tensor:
    """mmdet3d's row-vector rotation."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def test_grid_has_y_along_rows_and_x_along_columns():
    assert GRID.shape == (11, 14)
    assert GRID.centres()[2, 5].tolist() == [2.75, -0.5]


def test_grid_of_a_config_is_the_grid():
    assert BevGrid.from_config([0, -3, -2, 7, 8, 3], [0.5, 1.0]) == GRID


def test_cell_of_a_point_is_the_one_computed_by_hand():
    # x 2.6 is column 5 (2.5 to 3.0), y -0.4 is row 2 (-1 to 0): 2 * 14 + 5.
    assert GRID.cell_of(torch.tensor([2.6, -0.4, 0.0])).item() == 33


def test_every_centre_lies_in_its_own_cell():
    centres = GRID.centres()
    points = torch.cat([centres, torch.zeros(11, 14, 1)], dim=-1)
    assert torch.equal(GRID.cell_of(points).flatten(), torch.arange(154))


@pytest.mark.parametrize(
    "point",
    [(-0.1, 0, 0), (7.0, 0, 0), (1, -3.1, 0), (1, 8.0, 0), (1, 0, -2.1), (1, 0, 3.0)]
    + [(math.nan, 0, 0), (1, math.inf, 0)],
)  # fmt: skip
def test_cell_of_a_point_outside_is_minus_one(point):
    assert GRID.cell_of(torch.tensor(point)).item() == -1


@pytest.mark.parametrize(
    "bounds, size, fault",
    [
        ((0, 0, 0, 0, 1, 1), (0.5, 0.5), "low ends"),
        ((0, 0, 0, 1, 1, 1), (0.3, 0.5), "whole"),
        ((0, 0, 0, 1, 1, 1), (0, 1), "positive"),
    ],
)
def test_grid_that_cannot_be_is_refused(bounds, size, fault):
    with pytest.raises(ValueError, match=fault):
        BevGrid(bounds, size)


@pytest.mark.parametrize("depth", [(5, 2, 1), (1, 2, 0.3), (-1, 2, 1)])
def test_depth_bins_that_cannot_be_are_refused(depth):
    with pytest.raises(ValueError, match="depth_m"):
        DepthBins(*depth)


def test_depth_bins_find_the_bin_and_nothing_outside():
    bins = DepthBins(1.0, 4.0, 0.5)
    depth = torch.tensor([1.0, 1.4, 3.99, 0.99, 4.0, math.nan])
    assert bins.bin_of(depth).tolist() == [0, 0, 5, -1, -1, -1]
    assert bins.bin_of(bins.centres()).tolist() == list(range(6))


def test_feature_pixels_are_the_centres_of_the_cells():
    pixels = feature_pixels((3, 5), (24, 80))
    assert pixels[0, 0].tolist() == [8.0, 4.0] and pixels[2, 4].tolist() == [72.0, 20.0]


def test_lift_of_a_pixel_is_the_point_computed_by_hand():
    # u = 40 - 10 y / x, v = 30 - 10 z / x at depth x = 5: pixel (36, 32) is (5, 2, -1).
    points = lift_pixels(torch.tensor([[36.0, 32.0]]), torch.tensor([5.0]), PROJECTION)
    assert points[0, 0].tolist() == pytest.approx([5.0, 2.0, -1.0], rel=1e-14)


def test_lift_refuses_a_singular_projection():
    with pytest.raises(ValueError, match="singular"):
        lift_pixels(torch.zeros(1, 2), torch.ones(1), torch.zeros(3, 4))


FLOWS = [[], ["HF"], ["VF"], ["R", "S", "T"], ["R", "S", "T", "HF", "VF"], ["HF", "R", "S", "T"]]
IMAGES = itertools.product(
    [(1.0, 1.0), (0.7, 1.3)], [(0, 0), (7, 5)], [False, True], [0.0, math.radians(11)]
)


def augmentations(flow, image):
    scale, crop, flip, angle = image
    points = points_matrix(
        flow, rotation_about_z(0.3), scale=1.1, translation=torch.tensor([0.2, -0.3, 0.1])
    )
    return points, image_matrix(scale, crop, flip, 71, angle, 53)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("flow", FLOWS, ids="".join)
def test_pixel_of_known_depth_lands_in_the_cell_of_its_point(flow, image):
    # By hand, step by step: where does the point (5, 2, -1), seen at (36, 32), go?
    point = torch.tensor([5.0, 2.0, -1.0], dtype=torch.float64)
    for step in flow:
        point = {
            "R": lambda p: p @ rotation_about_z(0.3).double(),
            "S": lambda p: p * 1.1,
            "T": lambda p: p + torch.tensor([0.2, -0.3, 0.1], dtype=torch.float64),
            "HF": lambda p: p * torch.tensor([1, -1, 1]),
            "VF": lambda p: p * torch.tensor([-1, 1, 1]),
        }[step](point)
    scale, crop, flip, angle = image
    u, v = 36 * scale[0] - crop[0], 32 * scale[1] - crop[1]
    u = 71 - u if flip else u
    c, s = math.cos(angle), math.sin(angle)
    u, v = 35.5 + c * (u - 35.5) - s * (v - 26.5), 26.5 + s * (u - 35.5) + c * (v - 26.5)
    grid = BevGrid((-13.1, -13.1, -7.0, 12.9, 12.9, 7.0), (0.5, 0.25))
    matrix = point_to_pixel_matrix(PROJECTION, *augmentations(flow, image))
    lifted = lift_pixels(torch.tensor([u, v]).double(), torch.tensor([5.0]), matrix)[0]
    torch.testing.assert_close(lifted, point, rtol=0, atol=1e-5)  # float32 rotation matrices
    column, row = int((point[0] + 13.1) / 0.5), int((point[1] + 13.1) / 0.25)
    assert grid.cell_of(lifted).item() == row * 52 + column


def test_lift_is_the_inverse_of_project():
    matrix = point_to_pixel_matrix(
        PROJECTION, *augmentations(["R", "S", "T", "HF"], ((0.7, 1.3), (7, 5), True, 0.2))
    )
    pixels = feature_pixels((3, 5), (53, 71))
    depths = torch.tensor([2.0, 7.0])
    again, depth = project(lift_pixels(pixels, depths, matrix).flatten(0, 2), matrix)
    torch.testing.assert_close(again.view(2, 3, 5, 2), pixels.expand(2, 3, 5, 2))
    torch.testing.assert_close(depth, depths.double().repeat_interleave(15))


def shows(pixels):
    """An image of 60 x 80."""
    return in_view(pixels, torch.ones(len(pixels)), 60, 80)


def test_cells_in_view_are_those_in_front_of_the_camera_and_inside_the_image():
    # |y| < 4 x sees 0 <= u < 80; the camera stands at x = 0 and sees z 0 in the middle.
    seen = cells_in_view(GRID, PROJECTION, shows)
    x, y = GRID.centres().unbind(-1)
    assert torch.equal(seen, (4 * x >= y) & (y > -4 * x))


def test_cells_in_view_end_at_the_farthest_depth():
    seen = cells_in_view(GRID, PROJECTION, shows, (1.0, 3.0))
    x, y = GRID.centres().unbind(-1)
    assert torch.equal(seen, (4 * x >= y) & (y > -4 * x) & (x >= 1) & (x < 3))


def test_measured_depth_counts_the_points_of_each_feature_cell():
    # Image 60 x 80, map 3 x 5: cells of 20 x 16 px. (5, 2, -1) is pixel (36, 32): row 1, column 2.
    points = torch.tensor([[5.0, 2.0, -1.0], [5.2, 2.0, -1.0], [2.5, 1.0, -0.5], [-5.0, 0, 0]])
    depth = measured_depth(points, PROJECTION, (60, 80), (60, 80), (3, 5), DepthBins(1, 7, 1))
    assert depth[:, 1, 2].tolist() == pytest.approx([0, 1 / 3, 0, 0, 2 / 3, 0])
    assert depth.sum() == pytest.approx(1)


def test_measured_depth_without_points_is_zero():
    depth = measured_depth(
        torch.zeros(0, 4), PROJECTION, (60, 80), (60, 80), (3, 5), DepthBins(1, 7, 1)
    )
    assert depth.shape == (6, 3, 5) and not depth.any()


def slow_pool(features, weights, cells, num_cells):
    pooled = torch.zeros(num_cells, features.shape[1], dtype=features.dtype)
    for feature, row_weights, row_cells in zip(features, weights, cells):
        for weight, cell in zip(row_weights, row_cells):
            if cell >= 0:
                pooled[cell] += weight * feature
    return pooled


def entries(num_rows=7, num_bins=5, num_cells=11):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(num_rows, 4, generator=generator, dtype=torch.float64)
    weights = torch.rand(num_rows, num_bins, generator=generator, dtype=torch.float64)
    cells = torch.randint(-2, num_cells, (num_rows, num_bins), generator=generator)
    return features, weights, cells, num_cells


def test_pool_to_cells_equals_a_loop():
    torch.testing.assert_close(pool_to_cells(*entries()), slow_pool(*entries()))


def test_pool_to_cells_passes_gradcheck():
    features, weights, *rest = entries()
    inputs = (features.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(lambda f, w: pool_to_cells(f, w, *rest), inputs)


def test_pool_to_cells_reads_no_row_without_an_entry():
    features, weights, cells, num_cells = entries()
    features[3] = math.nan
    features.requires_grad_()
    cells[3] = -1
    pooled = pool_to_cells(features, weights, cells, num_cells)
    pooled.sum().backward()
    assert pooled.isfinite().all() and features.grad.isfinite().all()


def test_pool_to_cells_of_nothing_is_zero_and_part_of_the_graph():
    features = torch.randn(7, 5, requires_grad=True)
    weights = torch.rand(7, 3, requires_grad=True)
    pooled = pool_to_cells(features, weights, torch.full((7, 3), -1), 11)
    pooled.sum().backward()
    assert not pooled.any() and features.grad is not None and weights.grad is not None


def test_pool_to_cells_refuses_a_cell_outside_the_grid():
    with pytest.raises(ValueError, match="cell 11"):
        pool_to_cells(torch.ones(1, 5), torch.ones(1, 1), torch.tensor([[11]]), 11)


@pytest.mark.parametrize("number", [10, 12])
def test_pool_to_cells_refuses_an_order_of_another_grid(number):
    features, weights, cells, num_cells = entries()
    order = order_by_cell(cells, num_cells)
    expected = pool_to_cells(features, weights, cells, num_cells)
    assert torch.equal(pool_to_cells(features, weights, order, num_cells), expected)
    with pytest.raises(ValueError, match=f"num_cells={number}, and .* of 11 cells"):
        pool_to_cells(features, weights, order, number)


def test_pool_to_cells_refuses_what_is_of_other_rows():
    features, weights, cells, num_cells = entries()
    order = order_by_cell(cells, num_cells)
    for given in ((features[:6], weights), (features, weights[:6])):
        with pytest.raises(ValueError, match="one number of rows, got .* and 7"):
            pool_to_cells(*given, order, num_cells)
    with pytest.raises(ValueError, match=r"one shape \(P, D\), got \(7, 5\) and \(7, 4\)"):
        pool_to_cells(features, weights, cells[:, :4], num_cells)


def test_pool_to_cells_on_cuda_equals_cpu(cuda):
    *tensors, num_cells = entries()
    pooled = pool_to_cells(*(tensor.to(cuda) for tensor in tensors), num_cells)
    torch.testing.assert_close(pooled.cpu(), pool_to_cells(*entries()))


@pytest.mark.parametrize("asked", ["features", "weights"])
@pytest.mark.parametrize("power", [1, 2])
def test_a_gradient_of_a_gradient_of_pooling_is_refused(asked, power):
    leaves = dict(
        features=torch.rand(4, 3).requires_grad_(), weights=torch.rand(4, 2).requires_grad_()
    )
    cells = torch.tensor([[0, 1], [1, 2], [-1, 0], [2, 2]])
    pooled = pool_to_cells(*leaves.values(), cells, 3).pow(power).sum()
    (grad,) = torch.autograd.grad(pooled, leaves[asked], create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of its gradient"):
        torch.autograd.grad(grad.square().sum(), list(leaves.values()), allow_unused=True)
