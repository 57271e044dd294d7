"""Street scenes: bodies that fit their boxes, places that are free, decoys only a camera tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.worlds import Street, guises, make_frame, sample_street
from gemini_det3d.worlds import bodies as bodies_module
from gemini_det3d.worlds import props as props_module
from gemini_det3d.worlds.layout import Rectangle
from gemini_det3d.worlds.presets import get_preset
from gemini_det3d.worlds.solids import BOX, ELLIPSOID

ROAD_USERS = {
    "Car": (bodies_module.make_car, (3.88, 1.63, 1.53)),
    "Van": (bodies_module.make_van, (5.1, 1.92, 2.2)),
    "Pedestrian": (bodies_module.make_pedestrian, (0.80, 0.62, 1.75)),
    "Cyclist": (bodies_module.make_cyclist, (1.76, 0.60, 1.74)),
}


def reach(part) -> np.ndarray:
    """Exact half extents of a part along its body's axes."""
    half = np.array(part.size) / 2
    scaled = np.abs(part.rotation) * half
    if part.shape == BOX:
        return scaled.sum(axis=1)
    if part.shape == ELLIPSOID:
        return np.sqrt((scaled**2).sum(axis=1))
    return np.sqrt((scaled[:, :2] ** 2).sum(axis=1)) + scaled[:, 2]


@pytest.mark.parametrize("name", ROAD_USERS)
def test_road_user_fills_its_box_and_never_leaves_it(name):
    make, mean = ROAD_USERS[name]
    for seed in range(29):
        body = make(np.random.default_rng(seed))
        low = np.min([np.array(p.center) - reach(p) for p in body.parts], axis=0)
        high = np.max([np.array(p.center) + reach(p) for p in body.parts], axis=0)
        length, width, height = body.size
        bounds = np.array([[-length / 2, -width / 2, 0], [length / 2, width / 2, height]])
        assert (low >= bounds[0] - 1e-9).all() and (high <= bounds[1] + 1e-9).all()
        # And the box is no bigger than it must be.
        np.testing.assert_allclose([low, high], bounds, atol=0.12)
        np.testing.assert_allclose(body.size, mean, rtol=0.25)
        assert body.name == name


@pytest.mark.parametrize("make", [getattr(props_module, f"make_{n}") for n in (
    "bush", "hedge", "boxes", "post", "bin", "fence", "sign")])  # fmt: skip
def test_clutter_stays_over_its_footprint(make):
    for seed in range(13):
        body = make(np.random.default_rng(seed))
        for part in body.parts:
            outer = np.abs(np.array(part.center)[:2]) + reach(part)[:2]
            assert (outer <= np.array(body.size[:2]) / 2 + 1e-9).all()


def test_rectangles_touch_when_closer_than_the_margin():
    first = Rectangle(0.0, 0.0, 4.0, 2.0, 0.0)
    beside = Rectangle(0.0, 2.5, 4.0, 2.0, 0.0)  # a gap of 0.5 m
    assert not first.touches(beside, 0.4) and first.touches(beside, 0.6)
    # By hand: the turned one's near side lies on x + y = 3.47, the corner (2, 1) on 3: 0.33 m.
    turned = Rectangle(3.9, 2.4, 4.0, 2.0, np.pi / 4)
    assert not first.touches(turned, 0.3) and not turned.touches(first, 0.3)
    assert first.touches(turned, 0.35) and turned.touches(first, 0.35)
    assert first.touches(Rectangle(0.5, 0.2, 1.0, 0.5, 0.3))  # wholly inside


def test_no_two_bodies_of_a_scene_share_ground(in_box):
    for seed in range(5):
        scene = sample_street(np.random.default_rng(seed))
        ground = ("Terrain", "Road", "Pavement", "Hill", "Tree", "Lamp")
        bodies = [*scene.things, *(b for b in scene.background if b.body.name not in ground)]
        boxes = np.array([placement.box for placement in bodies])
        assert len(boxes) > 20
        for i, box in enumerate(boxes):
            grid = np.stack(np.meshgrid(*(np.linspace(-0.5, 0.5, 23),) * 2), -1).reshape(-1, 2)
            cos, sin = np.cos(box[6]), np.sin(box[6])
            local = grid * box[3:5]
            points = np.column_stack([cos * local[:, 0] - sin * local[:, 1] + box[0],
                                      sin * local[:, 0] + cos * local[:, 1] + box[1]])  # fmt: skip
            for other in np.delete(boxes, i, axis=0):
                flat = np.array([*other[:2], 0.0, *other[3:5], 1.0, other[6]])
                assert not in_box(np.column_stack([points, 0.5 + 0 * points[:, 0]]), flat).any()


def test_things_stand_on_the_surface_under_them():
    heights = set()
    for seed in range(5):
        scene = sample_street(np.random.default_rng(seed))
        heights |= {round(float(z), 6) for z in scene.boxes[:, 2]}
    assert heights == {0.0, 0.12}


def test_scene_follows_its_generator_alone():
    first, again = (sample_street(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.boxes, again.boxes)
    other = sample_street(np.random.default_rng(4))
    assert first.boxes.shape != other.boxes.shape or not np.allclose(first.boxes, other.boxes)


def test_most_scenes_hold_four_to_nine_labels_of_every_class(small_world):
    names = []
    counts = []
    for index in range(20):
        objects = make_frame(small_world, 1, "train", index).objects
        labelled = objects.name[objects.name != "DontCare"]
        names += labelled.tolist()
        counts.append(len(labelled))
    assert set(names) == {"Car", "Van", "Pedestrian", "Cyclist"}
    assert 4 <= np.mean(counts) <= 9
    assert names.count("Car") > 0.35 * len(names)


def test_decoys_change_the_image_and_the_labels_but_no_point(small_world):
    worlds = [
        replace(small_world, street=replace(small_world.street, decoy_share=share))
        for share in (0.0, 1.0)
    ]
    plain, disguised = (make_frame(world, 2, "train", 0) for world in worlds)
    np.testing.assert_array_equal(plain.points, disguised.points)
    np.testing.assert_array_equal(plain.scene.boxes, disguised.scene.boxes)
    assert all(plain.scene.is_labeled) and not any(disguised.scene.is_labeled)
    assert len(plain.objects) > 0 and len(disguised.objects) == 0
    assert np.abs(plain.image.astype(int) - disguised.image).max() > 60


@pytest.mark.parametrize("name", ["look-alikes", "look-alikes-hard"])
def test_class_of_a_look_alike_shows_in_the_image_only(name):
    world = get_preset(name)
    world = replace(world, image_width=207, image_height=62, min_height_px=10.0)
    first, second, third = world.street.shares
    others = replace(world.street, shares=(second, third, first))
    frames = [make_frame(w, 5, "train", 2) for w in (world, replace(world, street=others))]
    np.testing.assert_array_equal(frames[0].points, frames[1].points)
    np.testing.assert_array_equal(frames[0].scene.boxes, frames[1].scene.boxes)
    assert (frames[0].objects.name != frames[1].objects.name).any()
    assert np.abs(frames[0].image.astype(int) - frames[1].image).max() > 40


def test_hard_look_alikes_wear_paints_that_are_close_or_differ_in_pattern_only():
    def apart(liveries, one, other):
        return np.abs(np.subtract(liveries[one].color, liveries[other].color)).max()

    easy, hard = guises.LIVERIES, guises.CLOSE_LIVERIES
    pairs = [("Car", "Truck"), ("Car", "Tram"), ("Truck", "Tram")]
    assert max(apart(hard, *pair) for pair in pairs) < min(apart(easy, *pair) for pair in pairs) / 3
    assert hard["Car"].color == hard["Tram"].color
    assert {livery.pattern for livery in hard.values()} == {"plain", "brick"}


def test_decoy_share_is_how_many_there_are():
    street = Street(decoy_share=0.3)
    flags = [
        flag
        for seed in range(60)
        for flag in sample_street(np.random.default_rng(seed), street).is_labeled
    ]
    assert 1 - np.mean(flags) == pytest.approx(0.3, abs=0.06)


def test_decoys_are_named_apart_and_are_clutter():
    scene = sample_street(np.random.default_rng(1), Street(decoy_share=1.0))
    assert set(scene.names) == {"Decoy"}
    things = scene.solids.group < len(scene.things)
    assert {scene.label_names[i] for i in scene.solids.label[things]} == {"clutter"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoy_share": 1.5}, "decoy_share=1.5"),
        ({"num_objects": (5, 3)}, "num_objects"),
        ({"distance_m": (-1.0, 9.0)}, "distance_m"),
        ({"distance_m": (1.0, float("inf"))}, "distance_m"),
        ({"shares": (("Truck", 1.0),)}, "Truck"),
    ],
)
def test_impossible_street_is_an_error_that_names_the_value(change, message):
    with pytest.raises(ValueError, match=message):
        Street(**change)
