"""Clouds that are turned against their labels, and labels of a mirrored image."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.turned_cloud import (
    AS_IS,
    TURNS,
    check_full,
    check_mirrored_labels,
    count_full,
)

# bottom centre, size, yaw: no two are each other's image under any of the turns
BOXES = np.array(
    [
        [12.0, 3, -1.5, 4, 1.6, 1.5, 0.3],
        [20.0, -7, -1.5, 4, 1.6, 1.5, -1.2],
        [31.0, 1, -1.5, 4, 1.6, 1.5, 0.0],
        [8.0, -2, -1.5, 1, 0.8, 1.8, 0.0],
    ]
)


def cloud_in(boxes: np.ndarray, a_box: int = 6) -> np.ndarray:
    """Points in the upper half of each box, around its axis."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(-0.2, 0.2, (len(boxes), a_box, 3))
    centres = boxes[:, None, :3] + [0, 0, 0.7] * boxes[:, None, 5:6]
    return (centres + spread).reshape(-1, 3)


@pytest.mark.parametrize("name", TURNS)
def test_turns_leave_lengths_and_each_is_told_by_the_boxes_it_fills(name):
    turn = TURNS[name]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    found = count_full(BOXES, cloud_in(BOXES) @ turn)  # `points @ turn.T` takes it back
    assert found[AS_IS] == 0
    assert found[name] == len(BOXES)
    (fault,) = check_full([found], len(BOXES))
    assert fault.level == "warning"
    assert fault.text == (
        f"0 of 4 labelled boxes hold points of the cloud; of the others 4 do if it is {name}"
    )


def test_cloud_as_it_is_fills_its_boxes_and_nothing_is_said():
    found = count_full(BOXES, cloud_in(BOXES))
    assert found == {AS_IS: 4, **dict.fromkeys(TURNS, 0)}
    assert check_full([found, found], 8) == []


def test_box_is_full_with_five_points_above_the_ground():
    box = BOXES[:1]
    assert count_full(box, cloud_in(box, 5))[AS_IS] == 1
    assert count_full(box, cloud_in(box, 4))[AS_IS] == 0
    on_ground = cloud_in(box)
    on_ground[:, 2] = box[0, 2] + 0.34
    assert count_full(box, on_ground)[AS_IS] == 0
    on_ground[:, 2] = box[0, 2] + 0.36
    assert count_full(box, on_ground)[AS_IS] == 1


def test_points_may_have_further_values_and_boxes_may_be_none():
    points = np.column_stack([cloud_in(BOXES), np.zeros(24)])
    assert count_full(BOXES, points)[AS_IS] == 4
    assert count_full(BOXES[:0], points)[AS_IS] == 0


@pytest.mark.parametrize(("as_is", "turned", "told"), [(0, 2, 0), (0, 3, 1), (2, 4, 0), (2, 5, 1)])
def test_a_turn_is_told_from_three_boxes_and_twice_as_many_on(as_is, turned, told):
    counts = [{AS_IS: as_is}, {"mirrored (y negated)": turned}]
    assert len(check_full(counts, 9)) == told


def outlines(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=float)


LEFT, RIGHT, MIDDLE = (10, 20, 30, 40), (69, 20, 89, 40), (40, 20, 59, 40)


def test_boxes_that_fall_on_the_mirrored_image_s_are_told():
    (fault,) = check_mirrored_labels(outlines(LEFT, LEFT), outlines(RIGHT, RIGHT), 100)
    assert fault.level == "warning"
    assert fault.text.startswith(
        "projected 3D boxes fall on 0 of 2 2D boxes beside the middle, but on 2 if these are mirror"
    )


@pytest.mark.parametrize(
    ("projected", "labels"),
    [
        (outlines(LEFT), outlines(LEFT)),  # they fit
        (outlines(LEFT, LEFT), outlines(RIGHT, LEFT)),  # one fits as it is
        (outlines(MIDDLE), outlines(MIDDLE)),  # fits both ways
        (outlines(LEFT), outlines((69, 20, 89, 28))),  # mirrored, it is another object's
        (outlines(), outlines()),
    ],
)
def test_boxes_that_tell_nothing_else_are_not_judged(projected, labels):
    assert check_mirrored_labels(projected.reshape(-1, 4), labels.reshape(-1, 4), 100) == []
