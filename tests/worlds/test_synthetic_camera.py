"""The camera: pixels, depths and identities computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.worlds import Camera, Light, render_image, render_surfaces
from gemini_det3d.worlds._shading_kernels import noise
from gemini_det3d.worlds.materials import Material


@pytest.fixture
def camera() -> Camera:
    """At (0, 0, 1), looking along +x; focal length 50 px, principal point (30, 20)."""
    look = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    intrinsics = np.array([[50.0, 0.0, 30.0], [0.0, 50.0, 20.0], [0.0, 0.0, 1.0]])
    return Camera(world2img=intrinsics @ look, width=61, height=41)


def test_center_is_where_the_camera_stands(camera):
    np.testing.assert_allclose(camera.center, [0, 0, 1], atol=1e-12)


def test_rays_through_projected_points_meet_them_at_their_depth(camera):
    points = np.random.default_rng(0).uniform((3, -5, -3), (40, 5, 6), size=(97, 3))
    homogeneous = points @ camera.world2img[:, :3].T + camera.world2img[:, 3]
    depth = homogeneous[:, 2:]
    met = camera.center + depth * camera.rays(homogeneous[:, :2] / depth)
    np.testing.assert_allclose(met, points, atol=1e-9)


def test_box_placed_by_hand_covers_the_pixels_by_hand(camera, crate, scene_of):
    # Front face at x = 10: 50 px / 10 m = 5 px per metre. y from -1.1 to 0.9 is column 30 - 4.5
    # to 30 + 5.5; z from 0 to 1.9 is row 20 + 5 - 9.5 to 20 + 5, both ends between pixels but
    # the lowest, so centres 26..35 and 16..25.
    scene = scene_of([crate((12.0, -0.1, -0.02), (4.0, 2.0, 1.92))])
    seen = render_surfaces(scene, camera).instance == 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert (columns[0], columns[-1]) == (26, 35)
    assert (rows[0], rows[-1]) == (16, 25)
    assert seen[16:26, 26:36].all()


def test_depth_is_along_the_axis_and_infinite_in_the_sky(camera, crate, scene_of):
    surfaces = render_surfaces(scene_of([crate((12.0, 0.0, 0.0), (4.0, 2.0, 2.0))]), camera)
    np.testing.assert_allclose(surfaces.depth[surfaces.instance == 0], 10.0, atol=1e-12)
    assert np.isinf(surfaces.depth[surfaces.instance < 0]).all()
    np.testing.assert_allclose(surfaces.normal[20, 30], [-1, 0, 0], atol=1e-12)


def test_near_thing_hides_a_far_one(camera, crate, scene_of):
    far, near = crate((22.0, 0, 0), (4.0, 4.0, 2.0)), crate((12.0, 0, 0), (4.0, 2.0, 2.0))
    for things, index in (((far, near), 1), ((near, far), 0)):
        assert render_surfaces(scene_of(things), camera).instance[20, 30] == index


def test_labels_follow_the_list_of_classes_asked_for(camera, crate, scene_of):
    scene = scene_of([crate((12.0, 0, 0), (4.0, 2.0, 2.0))])
    solid = render_surfaces(scene, camera).solid
    assert scene.label_of(solid, ["tree", "crate"])[20, 30] == 1
    assert scene.label_of(solid, ["tree", "crate"])[0, 0] == 255
    assert scene.label_of(solid, ["tree"], missing=7)[20, 30] == 7


def test_background_has_no_instance_but_a_solid(camera, crate, scene_of):
    scene = scene_of([], [crate((12.0, 0, 0), (4.0, 2.0, 2.0))])
    surfaces = render_surfaces(scene, camera)
    assert surfaces.instance[20, 30] == -1 and surfaces.solid[20, 30] == 0
    assert surfaces.solid[0, 0] == -1


def test_supersampling_blends_edges_and_nothing_else(camera, crate, scene_of):
    red = Material((0.9, 0.1, 0.1))
    scene = scene_of([crate((12.0, 0.07, 0.03), (4.0, 2.0, 2.0), material=red)])
    rng = np.random.default_rng(0)
    plain = render_image(scene, camera, rng).astype(int)
    soft = render_image(scene, replace(camera, supersample=3), rng).astype(int)
    surfaces = render_surfaces(scene, camera)
    inside = surfaces.instance == 0
    middle = inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0)
    middle &= np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    changed = np.abs(soft - plain).max(axis=2) > 10
    assert changed.sum() > 5
    assert not changed[middle].any()


def test_colour_comes_from_the_material(camera, crate, scene_of):
    white, dim = (1.0, 1.0, 1.0), (0.1, 0.1, 0.1)
    light = Light((-1.0, 0.0, 0.0), sun=white, sky=dim, clouds=0, haze_m=np.inf)
    pixels = {}
    for name, color in (("red", (0.9, 0.1, 0.1)), ("blue", (0.1, 0.1, 0.9))):
        thing = crate((12.0, 0, 0), (4.0, 2.0, 2.0), material=Material(color))
        image = render_image(scene_of([thing], light=light), camera, np.random.default_rng(0))
        pixels[name] = image[20, 30].astype(int)
    assert pixels["red"][0] > pixels["red"][2] + 100
    np.testing.assert_array_equal(pixels["red"], pixels["blue"][::-1])


def test_shadow_darkens_what_lies_behind_an_obstacle(camera, crate, scene_of):
    light = Light(direction=(-0.8, 0.0, 0.6), clouds=0)
    target = crate((12.0, 0, 0), (4.0, 2.0, 2.0))
    # Hangs above the camera's view, between the sun and the target.
    shield = crate((4.0, 0.0, 5.0), (3.0, 6.0, 3.0))
    rng = np.random.default_rng(0)
    lit = render_image(scene_of([target], light=light), camera, rng)[20, 30].astype(int)
    dark = render_image(scene_of([target], [shield], light), camera, rng)[20, 30].astype(int)
    assert (dark < lit - 50).all()


@pytest.mark.parametrize(
    "pattern",
    [
        "asphalt",
        "bark",
        "brick",
        "cardboard",
        "cloth",
        "facade",
        "grass",
        "leaves",
        "stone",
        "tiles",
    ],
)
def test_pattern_varies_over_a_surface_that_plain_paint_leaves_even(
    camera, crate, scene_of, pattern
):
    def spread(material):
        # A wall, or for what lies on the ground a floor, that fills the pixels looked at.
        is_floor = pattern in ("asphalt", "grass", "tiles")
        size = (20.0, 8.0, 1.0) if is_floor else (4.0, 8.0, 4.0)
        thing = crate((12.0, 0, -1.0), size, material=material)
        scene = scene_of([thing], light=Light((-0.6, 0.0, 0.8), haze_m=np.inf))
        rows = slice(25, 35) if is_floor else slice(15, 25)
        image = render_image(scene, camera, np.random.default_rng(0))[rows, 22:38]
        return image.std(axis=(0, 1)).max()

    plain, second = (0.6, 0.5, 0.2), (0.2, 0.3, 0.5)
    assert spread(Material(plain)) == 0.0
    assert spread(Material(plain, pattern, second, period_m=0.7)) > 2.0


def test_unknown_pattern_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="'plaid' is none of plain"):
        Material((0, 0, 0), "plaid")


def test_noise_has_the_strength_asked_for(camera, crate, scene_of):
    scene = scene_of([crate((12.0, 0, 0), (4.0, 2.0, 2.0))])
    clean = render_image(scene, camera, np.random.default_rng(0)).astype(float)
    noisy = render_image(scene, replace(camera, noise=0.02), np.random.default_rng(0))
    dark = clean.max(axis=2) < 200  # away from white, where clipping cuts the noise
    assert (noisy - clean)[dark].std() / 255 == pytest.approx(0.02, rel=0.1)


def test_texture_noise_is_smooth_bounded_and_not_constant():
    points = np.random.default_rng(29).uniform(-50, 50, size=(997, 3))
    values = np.array([noise(*point) for point in points])
    assert values.min() >= 0 and values.max() < 1 and values.std() > 0.1
    moved = np.array([noise(*(point + 1e-4)) for point in points])
    assert 0 < np.abs(moved - values).max() < 1e-3
