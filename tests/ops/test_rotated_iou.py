"""Rotated IoU against hand-made figures, a sampled oracle and shapely."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from gemini_det3d.ops.rotated_iou import bev_iou, grouped_iou, iou_3d, iou_3d_camera


def random_boxes(seed: int, count: int, spread: float = 5.0) -> np.ndarray:
    """``(count, 5)`` BEV boxes."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(-spread, spread, (count, 2))
    return np.column_stack(
        [center, rng.uniform(0.3, 6.0, (count, 2)), rng.uniform(-7.0, 7.0, count)]
    )


def lift(boxes: np.ndarray, seed: int) -> np.ndarray:
    """BEV boxes with random bottoms and heights: ``(N, 7)``."""
    rng = np.random.default_rng(seed)
    bottom, height = rng.uniform(-2.0, 1.0, len(boxes)), rng.uniform(0.5, 3.0, len(boxes))
    return np.column_stack([boxes[:, :2], bottom, boxes[:, 2:4], height, boxes[:, 4]])


def inside(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which ``(P, 2)`` points lie in one BEV box."""
    offset = points - box[:2]
    cos, sin = math.cos(box[4]), math.sin(box[4])
    along = offset @ np.array([cos, sin])
    across = offset @ np.array([-sin, cos])
    return (np.abs(along) <= box[2] / 2) & (np.abs(across) <= box[3] / 2)


def test_bev_iou_of_hand_made_pairs_is_the_figure_computed_by_hand():
    unit = np.array([[0.0, 0.0, 1.0, 1.0, 0.0]])
    octagon = 2 * (math.sqrt(2) - 1)
    cases = [
        ([0.5, 0.0, 1.0, 1.0, 0.0], 0.5 / 1.5),
        ([0.0, 0.0, 1.0, 1.0, math.pi / 4], octagon / (2 - octagon)),
        ([0.0, 0.0, 0.5, 0.5, 0.3], 0.25),
        ([1.0, 0.0, 1.0, 1.0, 0.0], 0.0),
        ([1.0, 1.0, 1.0, 1.0, 0.0], 0.0),
        ([0.0, 0.0, 3.0, 0.5, math.pi / 2], 0.5 / (1 + 1.5 - 0.5)),
        ([9.0, 0.0, 1.0, 1.0, 0.0], 0.0),
    ]
    got = bev_iou(unit, np.array([box for box, _ in cases]))
    np.testing.assert_allclose(got, [[value for _, value in cases]], atol=1e-15)


def test_bev_iou_equals_shapely():
    geometry = pytest.importorskip("shapely.geometry")
    affinity = pytest.importorskip("shapely.affinity")

    def polygon(box):
        flat = geometry.box(-box[2] / 2, -box[3] / 2, box[2] / 2, box[3] / 2)
        turned = affinity.rotate(flat, box[4], origin=(0, 0), use_radians=True)
        return affinity.translate(turned, box[0], box[1])

    boxes_a, boxes_b = random_boxes(1, 61), random_boxes(2, 59)
    pairs = [[(polygon(a), polygon(b)) for b in boxes_b] for a in boxes_a]
    expected = np.array([[p.intersection(q).area / p.union(q).area for p, q in r] for r in pairs])
    assert 0.1 < (expected > 0).mean() < 0.9
    np.testing.assert_allclose(bev_iou(boxes_a, boxes_b), expected, atol=1e-13)


def test_bev_iou_equals_a_count_of_sampled_points():
    boxes_a, boxes_b = random_boxes(3, 11, spread=2.0), random_boxes(4, 13, spread=2.0)
    axis = np.linspace(-7.0, 7.0, 1409)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    in_a = np.stack([inside(points, box) for box in boxes_a])
    in_b = np.stack([inside(points, box) for box in boxes_b])
    both = in_a.astype(np.float32) @ in_b.T.astype(np.float32)
    either = in_a.sum(1)[:, None] + in_b.sum(1)[None] - both
    # The grid's step is 1 cm and the smallest box 0.3 m: outlines miscount below 2 in 100 points.
    np.testing.assert_allclose(bev_iou(boxes_a, boxes_b), both / either, atol=0.02)


@pytest.mark.parametrize("turns", [0, 1, -1, 5])
def test_identical_boxes_have_iou_one_whatever_full_turns_the_yaw_has(turns):
    boxes = lift(random_boxes(5, 997, spread=70.0), 6)
    turned = boxes + np.array([0, 0, 0, 0, 0, 0, 2 * math.pi * turns])
    np.testing.assert_allclose(iou_3d(boxes, turned, aligned=True), 1.0, atol=1e-12, rtol=0)
    np.testing.assert_allclose(
        bev_iou(boxes[:, [0, 1, 3, 4, 6]], turned[:, [0, 1, 3, 4, 6]], aligned=True),
        1.0,
        atol=1e-12,
        rtol=0,
    )


def test_identical_boxes_far_from_the_origin_have_iou_one():
    box = np.array([[6.5e5, 5.3e6, 431.0, 4.1, 1.7, 1.5, 0.7]])
    assert iou_3d(box, box)[0, 0] == pytest.approx(1.0, abs=1e-12)


def test_boxes_that_face_the_other_way_have_iou_one():
    boxes = random_boxes(7, 97)
    np.testing.assert_allclose(
        bev_iou(boxes, boxes + [0, 0, 0, 0, math.pi], aligned=True), 1.0, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("turn", [1e-15, 1e-12, 1e-9, 1e-7, 1e-5])
def test_nearly_identical_angles_change_the_iou_by_no_more_than_the_angle_explains(turn):
    boxes = random_boxes(8, 499, spread=50.0)
    got = bev_iou(boxes, boxes + [0, 0, 0, 0, turn], aligned=True)
    ratio = np.maximum(boxes[:, 2] / boxes[:, 3], boxes[:, 3] / boxes[:, 2])
    assert (got <= 1.0).all()
    assert (1.0 - got <= 1e-12 + turn * ratio).all()


def test_iou_is_symmetric_and_within_zero_and_one():
    boxes_a, boxes_b = lift(random_boxes(9, 101), 10), lift(random_boxes(11, 103), 12)
    there, back = iou_3d(boxes_a, boxes_b), iou_3d(boxes_b, boxes_a)
    assert (there > 0).any()
    assert there.min() >= 0.0 and there.max() <= 1.0
    np.testing.assert_allclose(there, back.T, atol=1e-14)


def test_iou_does_not_change_when_both_boxes_are_moved_and_turned_together():
    boxes_a, boxes_b = random_boxes(13, 31), random_boxes(14, 37)
    angle, shift = 0.83, np.array([13.0, -71.0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])

    def move(boxes):
        return np.column_stack([boxes[:, :2] @ turn + shift, boxes[:, 2:4], boxes[:, 4] + angle])

    np.testing.assert_allclose(
        bev_iou(move(boxes_a), move(boxes_b)), bev_iou(boxes_a, boxes_b), atol=1e-12
    )


def test_swapping_length_and_width_is_a_quarter_turn():
    boxes_a, boxes_b = random_boxes(15, 23), random_boxes(16, 29)
    swapped = boxes_b[:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, math.pi / 2]
    np.testing.assert_allclose(bev_iou(boxes_a, swapped), bev_iou(boxes_a, boxes_b), atol=1e-13)


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 0, 0, 1.0, 1.0, 0],
        [0, 0, 0, 1.0, 0, 1.0, 0],
        [0, 0, 0, 1.0, 1.0, 0, 0],
        [0, 0, 0, -1.0, -1.0, 1.0, 0],
        [0, 0, 0, 1.0, 1.0, -1.0, 0],
        [0, 0, 0, 1.0, 1.0, math.nan, 0],
        [math.nan, 0, 0, 1.0, 1.0, 1.0, 0],
        [0, 0, 0, 1.0, 1.0, 1.0, math.nan],
        [0, 0, math.nan, 1.0, 1.0, 1.0, 0],
        [0, 0, 0, math.inf, 1.0, 1.0, 0],
    ],
)
def test_boxes_without_a_size_have_iou_zero_even_with_themselves(box):
    box = np.array([box], dtype=np.float64)
    unit = np.array([[0, 0, 0, 1.0, 1.0, 1.0, 0]])
    assert iou_3d(box, box)[0, 0] == 0.0
    assert iou_3d(box, unit)[0, 0] == 0.0
    assert iou_3d(unit, box)[0, 0] == 0.0


def test_iou_3d_is_the_shared_volume_over_the_joint_volume():
    boxes_a, boxes_b = lift(random_boxes(17, 41), 18), lift(random_boxes(19, 43), 20)
    flat = [0, 1, 3, 4, 6]
    area_a, area_b = boxes_a[:, 3] * boxes_a[:, 4], boxes_b[:, 3] * boxes_b[:, 4]
    bev = bev_iou(boxes_a[:, flat], boxes_b[:, flat])
    overlap = bev * (area_a[:, None] + area_b[None]) / (1 + bev)
    top = np.minimum(boxes_a[:, None, 2] + boxes_a[:, None, 5], boxes_b[:, 2] + boxes_b[:, 5])
    shared = overlap * np.clip(top - np.maximum(boxes_a[:, None, 2], boxes_b[:, 2]), 0, None)
    joint = (area_a * boxes_a[:, 5])[:, None] + area_b * boxes_b[:, 5] - shared
    assert ((shared == 0) & (bev > 0)).any()
    np.testing.assert_allclose(iou_3d(boxes_a, boxes_b), shared / joint, atol=1e-13)


def test_origin_center_is_the_same_boxes_given_by_their_middle():
    boxes_a, boxes_b = lift(random_boxes(21, 17), 22), lift(random_boxes(23, 19), 24)
    middle_a, middle_b = boxes_a.copy(), boxes_b.copy()
    middle_a[:, 2] += boxes_a[:, 5] / 2
    middle_b[:, 2] += boxes_b[:, 5] / 2
    expected = iou_3d(boxes_a, boxes_b)
    np.testing.assert_allclose(iou_3d(middle_a, middle_b, origin="center"), expected, atol=1e-13)
    assert np.abs(iou_3d(middle_a, middle_b) - expected).max() > 1e-3


def test_camera_boxes_have_the_iou_of_the_same_boxes_in_the_lidar_frame():
    boxes_a, boxes_b = lift(random_boxes(25, 47), 26), lift(random_boxes(27, 53), 28)

    def to_camera(boxes):
        x, y, z, length, width, height, yaw = boxes.T
        # x right = -y left, y down = -z up, z forward = x front.
        return np.column_stack([-y, -z, x, length, height, width, -yaw - math.pi / 2])

    np.testing.assert_allclose(
        iou_3d_camera(to_camera(boxes_a), to_camera(boxes_b)), iou_3d(boxes_a, boxes_b), atol=1e-13
    )


def test_aligned_is_the_diagonal_of_all_pairs():
    boxes_a, boxes_b = lift(random_boxes(29, 67), 30), lift(random_boxes(31, 67), 32)
    flat = [0, 1, 3, 4, 6]
    np.testing.assert_array_equal(
        iou_3d(boxes_a, boxes_b, aligned=True), np.diag(iou_3d(boxes_a, boxes_b))
    )
    np.testing.assert_array_equal(
        bev_iou(boxes_a[:, flat], boxes_b[:, flat], aligned=True),
        np.diag(bev_iou(boxes_a[:, flat], boxes_b[:, flat])),
    )
    np.testing.assert_array_equal(
        iou_3d_camera(boxes_a, boxes_b, aligned=True), np.diag(iou_3d_camera(boxes_a, boxes_b))
    )


def test_grouped_iou_compares_within_groups_only_and_in_order():
    boxes_a, boxes_b = lift(random_boxes(33, 10, 2.0), 34), lift(random_boxes(35, 12, 2.0), 36)
    counts_a, counts_b = [3, 0, 5, 2], [5, 4, 3, 0]
    bev, volume = grouped_iou(boxes_a, counts_a, boxes_b, counts_b)
    flat = [0, 1, 3, 4, 6]
    groups = [(boxes_a[0:3], boxes_b[0:5]), (boxes_a[3:8], boxes_b[9:12])]
    np.testing.assert_array_equal(
        bev, np.concatenate([bev_iou(a[:, flat], b[:, flat]).ravel() for a, b in groups])
    )
    np.testing.assert_array_equal(volume, np.concatenate([iou_3d(a, b).ravel() for a, b in groups]))


@pytest.mark.parametrize("num_a, num_b", [(0, 0), (0, 3), (3, 0)])
def test_no_boxes_give_an_empty_matrix(num_a, num_b):
    boxes_a, boxes_b = random_boxes(37, num_a), random_boxes(38, num_b)
    assert bev_iou(boxes_a, boxes_b).shape == (num_a, num_b)
    assert iou_3d(lift(boxes_a, 39), lift(boxes_b, 40)).shape == (num_a, num_b)


def test_tensors_give_a_float64_tensor_with_the_same_numbers():
    boxes_a, boxes_b = random_boxes(41, 5), random_boxes(42, 7)
    got = bev_iou(torch.from_numpy(boxes_a).requires_grad_(), torch.from_numpy(boxes_b))
    assert got.dtype == torch.float64
    np.testing.assert_array_equal(got.numpy(), bev_iou(boxes_a, boxes_b))


def test_inputs_are_left_as_they_were():
    boxes = lift(random_boxes(43, 7), 44)
    before = pickle.dumps(boxes)
    iou_3d(boxes, boxes, origin="center")
    iou_3d_camera(boxes, boxes)
    assert pickle.dumps(boxes) == before


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: bev_iou(np.zeros((2, 7)), np.zeros((2, 7))), r"boxes_a must be \(N, 5\)"),
        (lambda: iou_3d(np.zeros((2, 7)), np.zeros(7)), r"boxes_b must be \(N, 7\)"),
        (lambda: iou_3d(np.zeros((2, 7)), np.zeros((3, 7)), aligned=True), "got 2 and 3"),
        (lambda: iou_3d(np.zeros((2, 7)), np.zeros((3, 7)), origin="top"), "got 'top'"),
        (lambda: grouped_iou(np.zeros((2, 7)), [1], np.zeros((2, 7)), [2]), "counts_a sum to 1"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_the_module_does_not_import_numba():
    code = 'import sys, gemini_det3d.ops.rotated_iou; sys.exit("numba" in sys.modules)'
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernels_compile_without_a_folder_to_keep_them_in(monkeypatch):
    import numba

    from gemini_det3d.ops._numba import jit

    compile_without_cache = numba.njit

    def refuse_cache(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_without_cache(**options)

    monkeypatch.setattr(numba, "njit", refuse_cache)

    def double(value):
        return 2 * value

    assert jit(double)(21) == 42
