"""Labels: truncation and occlusion against counts by hand, and what becomes DontCare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.formats.kitti import to_lidar_boxes
from gemini_det3d.worlds import (
    PRESETS,
    Rules,
    annotate,
    make_calibration,
    make_camera,
)
from gemini_det3d.worlds.annotation import occlusion_level, visible_share

WORLD = replace(PRESETS["toy"], image_width=1242, image_height=375)
CALIBRATION = make_calibration(WORLD)
CAMERA = make_camera(WORLD, CALIBRATION)
CAR = (3.9, 1.6, 1.5)


def label(scene, rules=None):
    return annotate(scene, CAMERA, CALIBRATION, WORLD.scanner.height_m, rules or Rules())


def test_free_car_is_fully_visible_and_its_box_comes_back(crate, scene_of):
    objects = label(scene_of([crate((15.0, -2.0, 0.0), CAR, yaw=0.3)]))
    assert objects.name.tolist() == ["Car"]
    assert (objects.occluded[0], objects.truncated[0]) == (0, 0.0)
    box = to_lidar_boxes(objects, CALIBRATION)[0]
    np.testing.assert_allclose(box, [15.0, -2.0, -1.73, *CAR, 0.3], atol=1e-9)
    np.testing.assert_allclose(objects.dimensions[0], [1.5, 1.6, 3.9])


def test_angles_follow_kittis_definition(crate, scene_of):
    objects = label(scene_of([crate((15.0, -2.0, 0.0), CAR, yaw=0.3)]))
    assert objects.rotation_y[0] == pytest.approx(-0.3 - np.pi / 2)
    x, _, z = objects.location[0]
    assert objects.alpha[0] == pytest.approx(objects.rotation_y[0] - np.arctan2(x, z))


@pytest.mark.parametrize(("covered", "level"), [(0.0, 0), (0.1, 0), (0.4, 1), (0.7, 2), (0.85, 3)])
def test_screen_in_front_raises_the_level_with_what_it_covers(crate, scene_of, covered, level):
    camera_y = float(CAMERA.center[1])
    car = crate((20.0, camera_y, 0.0), (0.2, 2.0, 1.5))
    # A thin screen half-way between camera and car, seen from the camera as half as wide.
    middle = 0.5 * (CAMERA.center[0] + 20.0 - 0.1)
    left = camera_y + 0.5
    edge = left - covered * 1.0
    screen = crate((middle, (left + 2 + edge) / 2, 0.0), (0.01, left + 2 - edge, 3.0))
    scene = scene_of([car], [screen] if covered else [])
    objects = label(scene)
    share = visible_share(scene, CAMERA, 0, objects.bbox[0])
    assert share == pytest.approx(1 - covered, abs=0.03)
    assert objects.occluded[0] == level


def test_one_thing_occludes_another_but_not_the_other_way_round(crate, scene_of):
    far, near = crate((20.0, 0.4, 0.0), CAR), crate((10.0, -0.3, 0.0), CAR)
    objects = label(scene_of([far, near]), Rules(min_visible=0.0))
    assert objects.occluded[0] > 0 and objects.occluded[1] == 0


def test_levels_change_at_the_limits_of_the_rules():
    rules = Rules(occlusion=(0.8, 0.5, 0.2))
    share = np.array([1.0, 0.8, 0.79, 0.5, 0.49, 0.2, 0.19, 0.0])
    assert occlusion_level(share, rules).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_thing_half_out_of_the_image_is_truncated_by_half(crate, scene_of):
    # The left edge of the image, 12 m ahead: the ray through pixel x = 0 at the car's height.
    ray = CAMERA.rays(np.array([[0.0, 172.0]]))[0]
    y = float(CAMERA.center[1] + ray[1] * (12.0 - CAMERA.center[0]) / ray[0])
    objects = label(scene_of([crate((12.0, y, 0.0), (0.05, 2.0, 1.5))]))
    assert objects.truncated[0] == pytest.approx(0.5, abs=0.02)
    assert objects.bbox[0, 0] == 0.0
    inside = label(scene_of([crate((12.0, y - 1.2, 0.0), (0.05, 2.0, 1.5))]))
    assert inside.truncated[0] == 0.0


@pytest.mark.parametrize(
    ("position", "size", "reason"),
    [
        ((60.0, 0.0, 0.0), (1.0, 1.0, 1.2), "low"),
        ((12.0, 9.6, 0.0), (0.05, 2.0, 1.5), "truncated"),
    ],
)
def test_thing_that_is_hard_to_see_becomes_dontcare(crate, scene_of, position, size, reason):
    scene = scene_of([crate(position, size)])
    everything = Rules(min_height_px=0.0, min_visible=0.0, max_truncation=1.0)
    assert label(scene, everything).name.tolist() == ["Car"]
    only = {"low": Rules(max_truncation=1.0), "truncated": Rules(max_truncation=0.2)}[reason]
    objects = label(scene, only)
    assert objects.name.tolist() == ["DontCare"]
    values = (objects.truncated[0], objects.occluded[0], objects.alpha[0], objects.rotation_y[0])
    assert values == (-1, -1, -10, -10)
    assert objects.dimensions[0].tolist() == [-1] * 3
    assert objects.location[0].tolist() == [-1000] * 3
    assert (objects.bbox[0, 2:] > objects.bbox[0, :2]).all()


def test_thing_behind_a_wall_becomes_dontcare(crate, scene_of):
    car, wall = crate((20.0, 0.0, 0.0), CAR), crate((10.0, 0.0, 0.0), (0.2, 8.0, 4.0))
    assert label(scene_of([car])).name.tolist() == ["Car"]
    assert label(scene_of([car], [wall])).name.tolist() == ["DontCare"]


@pytest.mark.parametrize("position", [(-15.0, 0.0, 0.0), (10.0, 30.0, 0.0)])
def test_thing_outside_the_image_has_no_line(crate, scene_of, position):
    assert len(label(scene_of([crate(position, CAR)]))) == 0


def test_unlabelled_thing_has_no_line_but_still_occludes(crate, scene_of):
    scene = scene_of([crate((20.0, 0.4, 0.0), CAR), crate((10.0, -0.3, 0.0), CAR)])
    alone = label(scene_of([scene.things[0]]), Rules(min_visible=0.0))
    objects = label(replace(scene, is_labeled=(True, False)), Rules(min_visible=0.0))
    assert len(objects) == 1
    assert objects.occluded[0] > alone.occluded[0]


def test_dontcare_lines_come_last(crate, scene_of):
    scene = scene_of([crate((60.0, 8.0, 0.0), (1.0, 1.0, 1.2)), crate((15.0, 0.0, 0.0), CAR)])
    assert label(scene).name.tolist() == ["Car", "DontCare"]
