"""Views of the synthetic world in Taskonomy's domains: geometry against closed forms, files."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import decode_depth, domain_path, read_domain, read_list
from gemini_det3d.worlds import Viewpoint, ViewSet, make_taskonomy_views, sample_camera
from gemini_det3d.worlds.materials import Material
from gemini_det3d.worlds.scene import Light, Scene
from gemini_det3d.worlds.shapes import ball, block
from gemini_det3d.worlds.solids import Body, Placement
from gemini_det3d.worlds.views import (
    VIEW_DOMAINS,
    occlusion_edges,
    principal_curvatures,
    render_view,
    texture_edges,
)

STRAIGHT = Viewpoint(size_px=64, yaw_deg=0, pitch_deg=0, height_m=(1.5, 1.5), noise=0.0)


def scene_of(part, position):
    body = Body("Thing", (1.0, 1.0, 1.0), (part,))
    return Scene((), (), (Placement(body, position, 0.0),), Light(direction=(0.0, 0.0, 1.0)))


def look_at(scene):
    rng = np.random.default_rng(0)
    return render_view(scene, sample_camera(rng, STRAIGHT), rng)


@pytest.fixture(scope="module")
def wall():
    """A wall that fills the view, 4 m in front of the camera."""
    plain = Material((0.5, 0.5, 0.5))
    return look_at(scene_of(block((0, 0, 0), (1.0, 40.0, 40.0), plain, "wall"), (4.5, 0.0, -20.0)))


def test_depth_along_the_axis_is_one_for_a_wall_and_the_ray_grows_outwards(wall):
    assert set(wall["depth_zbuffer"].ravel()) == {4 * 512}
    focal = 32 / np.tan(np.radians(35))
    corner = 4 * np.sqrt(1 + 2 * (31.5 / focal) ** 2)
    assert wall["depth_euclidean"][0, 0] == round(corner * 512)
    assert wall["depth_euclidean"].argmin() == 31 * 64 + 31


def test_normals_of_a_wall_point_to_the_camera_in_blue(wall):
    assert (wall["normal"] == [128, 128, 255]).all()


def test_normals_of_the_ground_point_up_in_green_and_the_sky_has_none():
    plain = Material((0.5, 0.5, 0.5))
    view = look_at(scene_of(block((0, 0, 0), (200.0, 200.0, 1.0), plain, "road"), (0, 0, -1.0)))
    assert (view["normal"][-1] == [128, 255, 128]).all()
    assert (view["normal"][0] == 128).all()
    assert (view["depth_zbuffer"][0] == 65535).all() and (view["reshading"][0] == 0).all()


def test_reshading_is_the_cosine_between_normal_and_ray(wall):
    focal = 32 / np.tan(np.radians(35))
    corner = 1 / np.sqrt(1 + 2 * (31.5 / focal) ** 2)
    assert abs(wall["reshading"][0, 0, 0] - 255 * corner) <= 0.5
    assert wall["reshading"][31, 31, 0] == 255


def test_occlusion_edges_are_none_on_any_plane_and_full_at_a_jump():
    rows, columns = np.mgrid[:9, :11]
    slanted = 1 / (0.05 + 0.002 * rows + 0.004 * columns)
    assert occlusion_edges(slanted).max() < 1e-9
    step = np.where(columns < 5, 2.0, np.inf)
    edges = occlusion_edges(step)
    assert (edges[:, 4:6] == 1).all() and edges[:, :4].max() == 0 and edges[:, 6:].max() == 0


def test_a_farther_background_makes_a_stronger_edge():
    columns = np.mgrid[:5, :9][1]
    strengths = [occlusion_edges(np.where(columns < 4, 2.0, far))[2, 4] for far in (2.2, 3.0, 30.0)]
    assert 0 < strengths[0] < strengths[1] < strengths[2] < 1


def test_texture_edges_follow_brightness_alone():
    grey = np.full((9, 9, 3), 100, dtype=np.uint8)
    assert texture_edges(grey).max() == 0
    grey[:, 5:] = 200
    edges = texture_edges(grey)
    assert edges[:, 4:6].min() > 0.5 and edges[:, :2].max() == 0


def test_curvature_of_a_ball_is_one_over_its_radius_twice_and_of_a_plane_none():
    angle = np.linspace(-0.1, 0.1, 21)
    u, v = np.meshgrid(angle, angle)
    normals = np.stack([np.sin(u), np.cos(u) * np.sin(v), np.cos(u) * np.cos(v)], axis=-1)
    inner = principal_curvatures(2.5 * normals, normals)[1:-1, 1:-1]
    np.testing.assert_allclose(inner, 1 / 2.5, rtol=1e-3)
    plane = np.stack([u, v, 0 * u], axis=-1)
    flat = principal_curvatures(plane, np.broadcast_to([0.0, 0.0, 1.0], plane.shape))
    assert np.abs(flat).max() < 1e-9


def test_curvature_of_a_cylinder_is_in_one_direction():
    angle = np.linspace(-0.1, 0.1, 21)
    u, v = np.meshgrid(angle, angle)
    normals = np.stack([np.sin(u), 0 * u, np.cos(u)], axis=-1)
    points = 0.5 * normals + np.stack([0 * u, v, 0 * u], axis=-1)
    inner = principal_curvatures(points, normals)[1:-1, 1:-1]
    np.testing.assert_allclose(inner[..., 0], 2.0, rtol=1e-3)
    np.testing.assert_allclose(inner[..., 1], 0.0, atol=1e-9)


def test_a_ball_is_drawn_convex():
    view = look_at(scene_of(ball((0, 0, 1.5), (2.0, 2.0, 2.0), Material((0.5, 0.5, 0.5)), "ball"),
                            (5.0, 0.0, 0.0)))  # fmt: skip
    middle = view["principal_curvature"][32, 32]
    expected = round((np.tanh(0.3) + 1) * 127.5)
    assert np.abs(middle[:2].astype(int) - expected).max() <= 2 and middle[2] == 128


SMALL = ViewSet(3, 2, seed=5, viewpoint=Viewpoint(size_px=16, supersample=1))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    made = make_taskonomy_views(folder, SMALL)
    assert (made.num_made, made.num_kept) == (5, 0)
    return folder


def test_the_tree_is_taskonomys(tree):
    train, val = read_list(tree / "train.txt"), read_list(tree / "val.txt")
    assert (len(train), len(val)) == (3, 2) and not set(train) & set(val)
    for stem in (*train, *val):
        for domain in VIEW_DOMAINS:
            assert read_domain(domain_path(tree, stem, domain), domain).shape == (16, 16, 3)


def test_scenes_of_training_and_validation_differ(tree):
    scenes = [{stem.split("_view_")[0] for stem in read_list(tree / f"{split}.txt")}
              for split in ("train", "val")]  # fmt: skip
    assert not scenes[0] & scenes[1]


def test_a_second_run_keeps_what_is_there_and_mends_what_is_not(tree):
    path = domain_path(tree, read_list(tree / "val.txt")[1], "normal")
    before = path.read_bytes()
    path.unlink()
    made = make_taskonomy_views(tree, SMALL)
    assert (made.num_made, made.num_kept) == (2, 3)  # the scene's two views
    assert path.read_bytes() == before


def test_rooms_are_views_too(tmp_path):
    viewpoint = Viewpoint(size_px=16, supersample=1)
    make_taskonomy_views(tmp_path, ViewSet(2, 0, world="room", viewpoint=viewpoint))
    path = domain_path(tmp_path, "point_0_view_0", "depth_zbuffer")
    nearest = decode_depth(read_domain(path, "depth_zbuffer")[-1, :, 0])
    assert nearest.max() < 6  # the floor in front of the camera, not the sky


def test_weathers_come_in_turn_and_change_the_light_alone(tree, tmp_path):
    viewpoint = Viewpoint(size_px=16, supersample=1)
    weathers = ViewSet(3, 2, seed=5, viewpoint=viewpoint, weathers=("sun", "night"))
    make_taskonomy_views(tmp_path, weathers)
    by_day, by_night = read_list(tree / "train.txt")[:2], read_list(tree / "train.txt")[2:]
    for stem in (*by_day, *by_night):
        for domain in ("depth_zbuffer", "normal", "edge_occlusion"):
            paths = [domain_path(root, stem, domain) for root in (tree, tmp_path)]
            assert paths[0].read_bytes() == paths[1].read_bytes()
    brightness = {
        stem: [read_domain(domain_path(r, stem, "rgb"), "rgb").mean() for r in (tree, tmp_path)]
        for stem in (*by_day, *by_night)
    }
    assert all(night < 0.4 * day for day, night in (brightness[stem] for stem in by_night))
    assert all(sun > 0.6 * day for day, sun in (brightness[stem] for stem in by_day))


def test_other_parameters_need_another_folder(tree):
    with pytest.raises(FormatError, match=r"seed=5 \(asked for 6\)"):
        make_taskonomy_views(tree, ViewSet(3, 2, seed=6))


@pytest.mark.parametrize(
    "options",
    [
        dict(num_train=-1),
        dict(views_per_scene=0),
        dict(world="sea"),
        dict(weathers=("sun", "sea")),
    ],
)
def test_sets_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options)) + "|sea"):
        ViewSet(**options)
