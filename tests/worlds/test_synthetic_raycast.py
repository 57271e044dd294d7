"""Rays x solids: distances, normals and surface places computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.worlds.materials import Material
from gemini_det3d.worlds.raycast import cast_rays, is_blocked
from gemini_det3d.worlds.shapes import ball, block, column, limb, wheel
from gemini_det3d.worlds.solids import Body, Placement, stack_solids
from gemini_det3d.worlds.street import sample_street

GREY = Material((0.5, 0.5, 0.5))
FRONT = np.array([1.0, 0.0, 0.0])


def solids_of(*parts, position=(0.0, 0.0, 0.0), yaw=0.0):
    body = Body("Thing", (1.0, 1.0, 1.0), tuple(parts))
    return stack_solids([Placement(body, position, yaw)])[0]


def cast_one(solids, origin, direction, **kwargs):
    return cast_rays(solids, np.array(origin), np.array([direction], dtype=float), **kwargs)


def test_box_is_hit_on_its_front_at_the_distance_by_hand():
    hits = cast_one(solids_of(block((10, 0, 0), (4, 2, 2), GREY, "box")), (0, 0.3, 0.5), (1, 0, 0))
    assert hits.distance[0] == pytest.approx(8.0, abs=1e-12)
    np.testing.assert_allclose(hits.normal[0], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(hits.local[0], [-2, 0.3, -0.5], atol=1e-12)


def test_distance_counts_lengths_of_the_direction():
    solids = solids_of(block((10, 0, 0), (4, 2, 2), GREY, "box"))
    assert cast_one(solids, (0, 0, 1), (4, 0, 0)).distance[0] == pytest.approx(2.0)


def test_box_turned_by_45_degrees_is_hit_at_its_edge():
    solids = solids_of(block((0, 0, 0), (2, 2, 2), GREY, "box"), position=(10, 0, 0), yaw=np.pi / 4)
    hits = cast_one(solids, (0, 0.01, 1), (1, 0, 0))
    assert hits.distance[0] == pytest.approx(10 - np.sqrt(2) + 0.01, abs=1e-12)
    np.testing.assert_allclose(hits.normal[0], [-np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-12)


def test_taper_moves_the_face_inwards_and_tilts_its_normal():
    # Half-size 1 everywhere; a taper of 0.5 leaves 0.75 at half height, and a slope of 1 in 4.
    solids = solids_of(block((10, 0, 0), (2, 2, 2), GREY, "box", taper=(0.5, 0.0)))
    hits = cast_one(solids, (0, 0, 1), (1, 0, 0))
    assert hits.distance[0] == pytest.approx(10 - 0.75, abs=1e-12)
    np.testing.assert_allclose(hits.normal[0], np.array([-4, 0, 1]) / np.sqrt(17), atol=1e-12)


def test_taper_leaves_the_other_side_as_it_was():
    solids = solids_of(block((0, 10, 0), (2, 2, 2), GREY, "box", taper=(0.5, 0.0)))
    assert cast_one(solids, (0, 0, 1), (0, 1, 0)).distance[0] == pytest.approx(9.0, abs=1e-12)


def test_ellipsoid_is_hit_at_its_half_axis_with_its_gradient_as_normal():
    solids = solids_of(ball((10, 0, 1), (4, 2, 6), GREY, "ball"))
    assert cast_one(solids, (0, 0, 1), (1, 0, 0)).distance[0] == pytest.approx(8.0, abs=1e-12)
    hits = cast_one(solids, (0, 0.6, 1), (1, 0, 0))  # x/2 = 0.8 where y/1 = 0.6
    assert hits.distance[0] == pytest.approx(10 - 1.6, abs=1e-12)
    gradient = np.array([-1.6 / 4, 0.6, 0])
    np.testing.assert_allclose(hits.normal[0], gradient / np.linalg.norm(gradient), atol=1e-12)


def test_cylinder_is_hit_on_its_side_and_on_its_top():
    solids = solids_of(column((10, 0, 0), (2, 2, 3), GREY, "column"))
    side = cast_one(solids, (0, 0, 1), (1, 0, 0))
    assert side.distance[0] == pytest.approx(9.0, abs=1e-12)
    np.testing.assert_allclose(side.normal[0], [-1, 0, 0], atol=1e-12)
    top = cast_one(solids, (10.2, 0.1, 5), (0, 0, -1))
    assert top.distance[0] == pytest.approx(2.0, abs=1e-12)
    np.testing.assert_allclose(top.normal[0], [0, 0, 1], atol=1e-12)


def test_wheel_rolls_along_x():
    solids = solids_of(wheel((10, 0, 0.5), 1.0, 0.2, GREY, "wheel"))
    assert cast_one(solids, (0, 0.05, 0.5), (1, 0, 0)).distance[0] == pytest.approx(9.5)
    assert not cast_one(solids, (0, 0.11, 0.5), (1, 0, 0)).found[0]
    flank = cast_one(solids, (10.3, 5, 0.5), (0, -1, 0))
    assert flank.distance[0] == pytest.approx(4.9, abs=1e-12)
    np.testing.assert_allclose(flank.normal[0], [0, 1, 0], atol=1e-12)


def test_limb_reaches_from_one_end_to_the_other():
    start, end = np.array([0.0, 0.0, 0.0]), np.array([3.0, 0.0, 4.0])
    solids = solids_of(limb(start, end, 0.5, GREY, "limb"))
    along = (end - start) / 5
    far = cast_one(solids, start - 2 * along, along)
    assert far.distance[0] == pytest.approx(2.0, abs=1e-12)
    back = cast_one(solids, end + 3 * along, -along)
    assert back.distance[0] == pytest.approx(3.0, abs=1e-12)


def test_nearest_of_two_solids_wins_whatever_their_order():
    near = block((5, 0, 0), (1, 1, 1), GREY, "near")
    far = block((9, 0, 0), (1, 1, 1), GREY, "far")
    for parts, index in (((near, far), 0), ((far, near), 1)):
        hits = cast_one(solids_of(*parts), (0, 0, 0.5), (1, 0, 0))
        assert (hits.distance[0], hits.solid[0]) == (4.5, index)


@pytest.mark.parametrize("shape", [block, column])
def test_what_lies_behind_or_around_the_origin_is_not_hit(shape):
    solids = solids_of(shape((0, 0, 0), (4, 4, 4), GREY, "around"))
    assert not cast_one(solids, (0, 0, 1), (1, 0, 0)).found[0]
    assert not cast_one(solids, (7, 0, 1), (1, 0, 0)).found[0]
    assert cast_one(solids, (-7, 0, 1), (1, 0, 0)).found[0]


def test_hits_beyond_the_limit_do_not_count():
    solids = solids_of(block((10, 0, 0), (4, 2, 2), GREY, "box"))
    assert not cast_one(solids, (0, 0, 1), (1, 0, 0), max_distance=7.9).found[0]
    miss = cast_one(solids, (0, 0, 1), (1, 0, 0), max_distance=7.9)
    assert (miss.distance[0], miss.solid[0]) == (np.inf, -1)
    assert cast_one(solids, (0, 0, 1), (1, 0, 0), max_distance=8.1).found[0]


def test_no_rays_and_no_solids_give_no_hits():
    solids = solids_of(block((10, 0, 0), (4, 2, 2), GREY, "box"))
    assert len(cast_rays(solids, np.zeros(3), np.zeros((0, 3))).distance) == 0
    assert not cast_one(stack_solids([])[0], (0, 0, 0), (1, 0, 0)).found.any()


def test_origins_that_match_no_ray_are_an_error():
    solids = solids_of(block((10, 0, 0), (4, 2, 2), GREY, "box"))
    with pytest.raises(ValueError, match="2 origins for 3 directions"):
        cast_rays(solids, np.zeros((2, 3)), np.ones((3, 3)))


def test_skipping_groups_by_their_bounds_changes_no_hit():
    solids = sample_street(np.random.default_rng(7)).solids
    rng = np.random.default_rng(11)
    directions = rng.normal(size=(997, 3)) * [1.0, 1.0, 0.3] + [0.5, 0.0, -0.1]
    directions[:3] = [[1, 0, 0], [1, 0, -0.02], [0, 0, -1]]
    origin = np.array([0.0, 0.0, 1.7])
    # The slow way: every solid alone, in a group of its own, one ray at a time.
    nearest = np.full(997, np.inf)
    for group in range(len(solids.group_bounds)):
        alone = solids.groups([group])
        for i in range(0, 997, 31):
            hit = cast_rays(alone, origin, directions[i : i + 1])
            nearest[i] = min(nearest[i], hit.distance[0])
    all_at_once = cast_rays(solids, origin, directions)
    np.testing.assert_array_equal(all_at_once.distance[::31], nearest[::31])
    assert np.isfinite(nearest[::31]).sum() > 20


def test_hit_points_lie_on_the_ray_and_normals_face_it():
    solids = sample_street(np.random.default_rng(13)).solids
    directions = np.random.default_rng(17).normal(size=(499, 3)) + FRONT
    origin = np.array([0.0, 0.0, 1.7])
    hits = cast_rays(solids, origin, directions)
    index = np.flatnonzero(hits.found)
    solid = hits.solid[index]
    on_surface = solids.center[solid] + np.einsum(
        "nij,nj->ni", solids.rotation[solid], hits.local[index]
    )
    on_ray = origin + hits.distance[index, None] * directions[index]
    np.testing.assert_allclose(on_surface, on_ray, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(hits.normal[index], axis=1), 1, atol=1e-12)
    assert (np.einsum("ni,ni->n", hits.normal[index], directions[index]) < 1e-9).all()


def test_shadow_falls_where_something_stands_towards_the_light():
    solids = solids_of(block((0, 0, 3), (2, 2, 1), GREY, "roof"))
    points = np.array([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [1.1, 0.0, 0.0], [0.0, 0.0, 4.0]])
    up = np.tile([0.0, 0.0, 1.0], (4, 1))
    blocked = is_blocked(solids, points, up, np.array([0.0, 0.0, 1.0]))
    assert blocked.tolist() == [True, True, False, False]


def test_shadow_agrees_with_casting_a_ray_to_the_light():
    solids = sample_street(np.random.default_rng(19)).solids
    rng = np.random.default_rng(23)
    points = rng.uniform((2, -12, 0.2), (50, 12, 4.0), size=(499, 3))
    light = np.array([0.5, 0.3, 0.8])
    blocked = is_blocked(solids, points, np.zeros((499, 3)), light)
    hits = cast_rays(solids, points, np.tile(light, (499, 1)))
    np.testing.assert_array_equal(blocked, hits.found)
    assert 0 < blocked.sum() < 499
