"""Rooms: calibrated to the last digit, labelled by what is seen, colour beyond geometry."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats import FormatError
from gemini_det3d.ops import points_in_boxes
from gemini_det3d.worlds import (
    RoomStyle,
    RoomWorld,
    make_room_frame,
    make_rooms,
    sample_room,
)
from gemini_det3d.worlds.furniture import FURNITURE
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.views import Viewpoint

SMALL = RoomWorld(image_width=97, image_height=71)


@pytest.fixture(scope="module")
def frames():
    return [make_room_frame(SMALL, 0, "train", index) for index in range(5)]


def test_room_points_have_the_colour_of_the_pixel_they_fall_on(frames):
    for frame in frames:
        image = np.array(Image.open(io.BytesIO(frame.jpeg)))
        pixel = frame.points[:, :3].astype(np.float64) @ frame.calibration.depth2img.T
        where = pixel[:, :2] / pixel[:, 2:] - 1  # counted from 1
        column, row = np.round(where).astype(int).T
        assert np.abs(where - np.round(where)).max() < 1e-3
        np.testing.assert_allclose(image[row, column] / 255, frame.points[:, 3:], atol=1e-6)


def test_room_floor_is_level_in_the_depth_frame(frames):
    heights = [frame.points[:, 2] + frame.camera_height_m for frame in frames]
    near = [height[np.abs(height) < 0.1] for height in heights]
    # Furniture in front may hide the floor of some rooms.
    floors = [n for n, height in zip(near, heights) if len(n) > 0.1 * len(height)]
    assert len(floors) >= 3
    assert max(abs(np.median(floor)) for floor in floors) < 0.01
    assert min(height.min() for height in heights) > -0.15  # nothing lies below it


def test_room_boxes_hold_the_points_of_their_furniture(frames):
    import torch

    held = []
    for frame in frames:
        boxes = torch.from_numpy(frame.objects.bottom_boxes)
        boxes[:, 3:6] += 0.06  # the depth's noise
        boxes[:, 2] -= 0.03
        held += points_in_boxes(torch.from_numpy(frame.points), boxes).sum(0).tolist()
    assert len(held) >= 10 and min(held) >= 5


def test_room_2d_boxes_hold_the_pixels_of_their_surface_counted_from_1(frames):
    """Against a dense cloud of points on each box, clipped to the first and the last pixel."""
    share = np.linspace(-0.5, 0.5, 61)
    edges = np.concatenate(
        [
            np.insert(np.array([a, b]), axis, s)[None]
            for axis in range(3)
            for s in share
            for a in (-0.5, 0.5)
            for b in (-0.5, 0.5)
        ]
    )
    reached = set()
    for frame in frames:
        for box, bbox in zip(frame.objects.boxes, frame.objects.bbox):
            cos, sin = np.cos(box[6]), np.sin(box[6])
            turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
            points = (edges * box[3:6]) @ turn.T + box[:3]
            pixels = points @ frame.calibration.depth2img.T
            if pixels[:, 2].min() < 0.1:  # partly behind the camera
                continue
            uv = np.clip(pixels[:, :2] / pixels[:, 2:], 1, [97, 71])
            np.testing.assert_allclose(bbox, [*uv.min(axis=0), *uv.max(axis=0)], atol=1e-6)
            reached |= {("left", bbox[0]), ("top", bbox[1]), ("right", bbox[2]), ("low", bbox[3])}
    assert {("left", 1.0), ("right", 97.0), ("low", 71.0)} <= reached


@pytest.mark.parametrize("pair", [("table", "desk"), ("dresser", "night_stand")])
def test_room_pairs_of_classes_share_their_shape_and_not_their_colour(pair):
    first, second = (FURNITURE[name](np.random.default_rng(7)) for name in pair)
    assert first.size == second.size
    assert [(p.shape, p.center, p.size) for p in first.parts] == [
        (p.shape, p.center, p.size) for p in second.parts
    ]
    warm = [FURNITURE[n](np.random.default_rng(s)).parts[0].material.color
            for n in ("table", "night_stand") for s in range(20)]  # fmt: skip
    cool = [FURNITURE[n](np.random.default_rng(s)).parts[0].material.color
            for n in ("desk", "dresser") for s in range(20)]  # fmt: skip
    assert min(r - b for r, _, b in warm) > 0.1 > -0.1 > max(r - b for r, _, b in cool)


@pytest.mark.parametrize("name", FURNITURE)
def test_furniture_never_reaches_out_of_its_box(name):
    for seed in range(7):
        body = FURNITURE[name](np.random.default_rng(seed))
        half = np.array(body.size) / 2
        for part in body.parts:
            low = np.array(part.center) - np.array(part.size) / 2
            high = np.array(part.center) + np.array(part.size) / 2
            assert (low >= [-half[0], -half[1], 0] - np.full(3, 1e-9)).all(), part
            assert (high <= [half[0], half[1], body.size[2]] + np.full(3, 1e-9)).all(), part


def test_rooms_of_equal_seed_are_equal_and_of_others_are_not():
    first, again = (make_room_frame(SMALL, 3, "val", 2) for _ in range(2))
    assert first.jpeg == again.jpeg and np.array_equal(first.points, again.points)
    assert make_room_frame(SMALL, 4, "val", 2).jpeg != first.jpeg
    assert make_room_frame(SMALL, 3, "train", 2).jpeg != first.jpeg


def test_room_furniture_does_not_interpenetrate():
    from gemini_det3d.ops import iou_3d

    for seed in range(11):
        scene = sample_room(np.random.default_rng(seed), RoomStyle(num_objects=(6, 9)))
        overlap = iou_3d(scene.boxes, scene.boxes)
        assert (overlap - np.eye(len(overlap)) < 1e-9).all()


def test_make_rooms_goes_on_where_it_stopped(tmp_path):
    make_rooms(tmp_path, 2, 1, preset=SMALL)
    label = tmp_path / "sunrgbd_trainval" / "label" / "000002.txt"
    text = label.read_text()
    label.unlink()
    made = make_rooms(tmp_path, 2, 1, preset=SMALL)
    assert (made.num_made, made.num_kept) == (1, 2)
    assert label.read_text() == text
    folder = tmp_path / "sunrgbd_trainval"
    assert (folder / "train_data_idx.txt").read_text().split() == ["1", "2"]
    assert (folder / "val_data_idx.txt").read_text().split() == ["3"]
    with pytest.raises(FormatError, match="seed=0"):
        make_rooms(tmp_path, 2, 1, seed=5, preset=SMALL)


@pytest.mark.parametrize(
    "arguments", [dict(preset="none"), dict(num_train=-1), dict(workers=0), dict(seed=-1)]
)
def test_make_rooms_refuses_what_it_cannot_make(tmp_path, arguments):
    with pytest.raises(ValueError):
        make_rooms(tmp_path, **{"num_train": 1, "num_val": 1, **arguments})


def test_rooms_refuse_noise_that_is_no_number():
    for name in ("image_noise", "depth_noise"):
        with pytest.raises(ValueError, match=f"{name}=nan"):
            RoomWorld(**{name: float("nan")})
    with pytest.raises(ValueError, match="image_noise=nan"):
        KittiWorld(image_noise=float("nan"))
    with pytest.raises(ValueError, match="noise=nan"):
        Viewpoint(noise=float("nan"))


def test_room_style_refuses_classes_that_nobody_can_make():
    with pytest.raises(ValueError, match="piano"):
        RoomStyle(shares=(("piano", 1.0),))
