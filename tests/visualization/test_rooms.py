"""Rooms in pictures: the quarter turn moves nothing in the image."""

from __future__ import annotations

import numpy as np

from gemini_det3d.formats.sunrgbd import RoomObjects
from gemini_det3d.geometry.boxes import box_corners
from gemini_det3d.visualization import draw_room_panel
from gemini_det3d.visualization.rooms import turned_boxes


def test_turned_boxes_have_the_turned_corners():
    boxes = np.array([[0.4, 2.5, -0.3, 0.7, 1.1, 1.3, 0.5], [-1.0, 3.0, 0.1, 0.5, 0.3, 0.2, -2.0]])
    objects = RoomObjects(["bed", "chair"], boxes)
    corners = box_corners(objects.bottom_boxes)
    expected = np.stack([corners[..., 1], -corners[..., 0], corners[..., 2]], axis=-1)
    np.testing.assert_allclose(box_corners(turned_boxes(objects).boxes), expected, atol=1e-12)


def test_room_panel_draws_a_box_where_the_camera_sees_it():
    image = np.full((71, 97, 3), 30, np.uint8)
    # Looks along y: the box is ahead, right of the middle and above it.
    depth2img = np.array([[80.0, 49, 0], [0, 36, -80], [0, 1, 0]])
    truth = RoomObjects(["bed"], np.array([[0.8, 3.0, 0.5, 0.6, 0.6, 0.6, 0.0]]))
    nothing = RoomObjects([], np.zeros((0, 7)), scores=[])
    points = np.random.default_rng(0).uniform((-1, 2, -1), (1, 4, 1), (101, 3))
    plain = draw_room_panel(image, points, depth2img, nothing, range_m=(0, -3, 6, 3), width_px=97)
    drawn = draw_room_panel(
        image, points, depth2img, nothing, truth, range_m=(0, -3, 6, 3), width_px=97
    )
    changed = np.argwhere((plain[:71] != drawn[:71]).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    # Centre: 48 + 80 * 0.8 / 3 = 69.3 right, 35 - 80 * 0.5 / 3 = 21.7 down, from 0.
    assert abs((left + right) / 2 - 69.3) < 5 and abs((top + bottom) / 2 - 21.7) < 5
    assert right - left < 40
