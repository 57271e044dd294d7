"""Edges and outlines of boxes, as computed by hand."""

from __future__ import annotations

import numpy as np

from gemini_det3d.geometry.boxes import EDGES, FRONT_EDGES, box_corners, project_box_outlines

# A camera at the origin that looks along x: u = 40 - 10 y / x, v = 30 - 10 z / x.
LIDAR2IMG = np.array([[40.0, -10.0, 0.0, 0.0], [30.0, 0.0, -10.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
BOX = np.array([[8.0, 1.0, -2.0, 5.0, 3.0, 2.0, 0.0]])  # bottom centre, l, w, h, yaw


def test_edges_are_four_of_each_length_and_meet_in_threes():
    corners = box_corners(BOX)[0]
    lengths = np.linalg.norm(corners[EDGES[:, 0]] - corners[EDGES[:, 1]], axis=1)
    assert sorted(lengths) == [2.0] * 4 + [3.0] * 4 + [5.0] * 4
    assert np.bincount(EDGES.ravel()).tolist() == [3] * 8
    assert len({frozenset(pair) for pair in EDGES.tolist()}) == 12


def test_front_edges_go_once_around_the_face_in_front():
    corners = box_corners(BOX)[0]
    assert (corners[FRONT_EDGES, 0] == 8 + 5 / 2).all()
    assert np.array_equal(FRONT_EDGES[:, 1], np.roll(FRONT_EDGES[:, 0], -1))
    sides = corners[FRONT_EDGES[:, 0]] - corners[FRONT_EDGES[:, 1]]
    assert sorted(np.linalg.norm(sides, axis=1)) == [2.0, 2.0, 3.0, 3.0]


def test_outline_of_a_box_beside_the_image_lies_on_the_last_pixel_of_its_side():
    beside = {"right": (8.0, -50.0), "left": (8.0, 50.0)}
    found = {}
    for side, (x, y) in beside.items():
        box = np.array([[x, y, -1.0, 2.0, 2.0, 2.0, 0.0]])
        found[side] = project_box_outlines(box, LIDAR2IMG, (80, 60))[0]
    assert found["right"][[0, 2]].tolist() == [79, 79]
    assert found["left"][[0, 2]].tolist() == [0, 0]
    above, below = (
        project_box_outlines(np.array([[8.0, 0, z, 2, 2, 2, 0]]), LIDAR2IMG, (80, 60))[0]
        for z in (90.0, -90.0)
    )
    assert above[[1, 3]].tolist() == [0, 0] and below[[1, 3]].tolist() == [59, 59]
