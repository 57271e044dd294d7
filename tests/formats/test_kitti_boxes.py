"""KITTI objects <-> LiDAR boxes, and the 2D boxes around them."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.kitti import (
    Objects,
    from_lidar_boxes,
    read_calibration,
    read_image_size,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.geometry.boxes import (
    box_corners,
    project_box_outlines,
    project_boxes,
    project_points,
    project_segments,
)

IMAGE_SIZE = (1242, 375)


def _truth(root, frame):
    objects = read_objects(root / "label_2" / f"{frame}.txt")
    calibration = read_calibration(root / "calib" / f"{frame}.txt")
    size = read_image_size(root / "image_2" / f"{frame}.png")
    return objects.select(objects.name != "DontCare"), calibration, size


def _corners_in_camera_frame(height, width, length, location, rotation_y):
    """Eight corners as the KITTI development kit's readme draws them."""
    along = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
    across = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2
    down = np.array([0, 0, 0, 0, -1, -1, -1, -1]) * height
    cos, sin = np.cos(rotation_y), np.sin(rotation_y)
    turned = np.stack([cos * along + sin * across, down, -sin * along + cos * across], axis=1)
    return turned + location


def test_box_of_a_placed_car_is_the_one_computed_by_hand(calibration):
    # 20 m ahead of the camera and 2 m to the right, driving away from it.
    car = Objects(['Car'], [0], [0], [0], [[0, 0, 1, 1]], [[1.5, 1.6, 4]], [[2, 1.7, 20]],
                  [-np.pi / 2])  # fmt: skip
    box = to_lidar_boxes(car, calibration)
    np.testing.assert_allclose(box, [[20.27, -2, -1.78, 4, 1.6, 1.5, 0]], atol=1e-12)


@pytest.mark.parametrize("rotation_y", [-3.0, -1.0, 0.0, 0.5, 2.0, 3.1])
def test_lidar_corners_are_the_corners_of_the_label(calibration, rotation_y):
    car = Objects(['Car'], [0], [0], [0], [[0, 0, 1, 1]], [[1.5, 1.6, 4]], [[2, 1.7, 20]],
                  [rotation_y])  # fmt: skip
    corners = box_corners(to_lidar_boxes(car, calibration))[0]
    ours = corners @ calibration.lidar2cam[:3, :3].T + calibration.lidar2cam[:3, 3]
    theirs = _corners_in_camera_frame(1.5, 1.6, 4, [2, 1.7, 20], rotation_y)
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(distances.min(axis=0), 0, atol=1e-12)


def test_front_corners_lie_where_the_car_faces():
    corners = box_corners(np.array([[5.0, 3, 1, 4, 2, 1.5, np.pi / 2]]))[0]
    np.testing.assert_allclose(corners[[0, 3]], [[4, 5, 1], [6, 5, 1]], atol=1e-12)
    np.testing.assert_allclose(corners[4:, 2], 2.5)


def test_truth_survives_the_way_over_lidar_boxes(frames):
    for root, frame in frames:
        truth, calibration, size = _truth(root, frame)
        boxes = to_lidar_boxes(truth, calibration)
        again = from_lidar_boxes(boxes, truth.name, None, calibration, size)
        np.testing.assert_array_equal(again.name, truth.name)
        np.testing.assert_allclose(again.location, truth.location, atol=1e-9)
        np.testing.assert_allclose(again.dimensions, truth.dimensions, atol=1e-12)
        np.testing.assert_allclose(again.rotation_y, truth.rotation_y, atol=1e-12)
        assert again.score is None
        assert (again.truncated == -1).all() and (again.occluded == -1).all()


def test_alpha_of_real_labels_is_reproduced(frames):
    for root, frame in frames:
        truth, calibration, size = _truth(root, frame)
        boxes = to_lidar_boxes(truth, calibration)
        again = from_lidar_boxes(boxes, truth.name, None, calibration, size)
        # Both angles carry two decimals, and the cameras between which the origin of the ray may
        # be chosen lie 6 cm apart.
        tolerance = 0.01 + 0.06 / truth.location[:, 2]
        assert (np.abs(again.alpha - truth.alpha) < tolerance).all()


def test_projected_boxes_of_real_labels_surround_the_labelled_2d_boxes(frames):
    for root, frame in frames:
        truth, calibration, size = _truth(root, frame)
        boxes = to_lidar_boxes(truth, calibration)
        projected = project_box_outlines(boxes, calibration.lidar2img, size)
        error = np.abs(projected - truth.bbox)
        # The 2D box of something rigid is the projection of its 3D box; a pedestrian's follows
        # the limbs, here 10 px to the side, while head and feet stay the same.
        rigid = truth.name != "Pedestrian"
        assert (error[rigid] < 0.5).all(), error
        assert (error[:, [1, 3]] < 0.5).all(), error
        assert (error < 0.1 * (truth.bbox[:, 3] - truth.bbox[:, 1])[:, None] + 0.5).all(), error


def test_real_points_fill_the_real_boxes(frames):
    for root, frame in frames:
        truth, calibration, _ = _truth(root, frame)
        points = read_points(root / "velodyne" / f"{frame}.bin")[:, :3]
        for name, box in zip(truth.name, to_lidar_boxes(truth, calibration)):
            cos, sin = np.cos(box[6]), np.sin(box[6])
            offset = points - box[:3]
            along = offset[:, 0] * cos + offset[:, 1] * sin
            across = -offset[:, 0] * sin + offset[:, 1] * cos
            inside = (
                (np.abs(along) < box[3] / 2)
                & (np.abs(across) < box[4] / 2)
                & (offset[:, 2] > 0)
                & (offset[:, 2] < box[5])
            )
            assert inside.sum() >= 5, name


def test_box_partly_behind_the_camera_fills_the_image_on_its_side(calibration):
    # A lorry beside the camera, from 6 m behind to 6 m ahead, 3 m to the left.
    outline = project_box_outlines(
        np.array([[0.27, 3.0, -1.7, 12, 1, 3, 0]]), calibration.lidar2img, IMAGE_SIZE
    )[0]
    # Its front right edge, 2.5 m left and 6 m ahead, bounds it on the right.
    right = (-2.5 * 700 + 600 * 6 + 42) / 6.003
    np.testing.assert_allclose(outline, [0, 0, right, 374], rtol=1e-9)


def test_box_behind_the_camera_has_no_outline(calibration):
    box = np.array([[-20.0, 0, -1, 4, 2, 1.5, 0.3]])
    objects = from_lidar_boxes(box, ["Car"], [0.5], calibration, IMAGE_SIZE)
    assert objects.bbox.tolist() == [[0, 0, 0, 0]]
    assert not project_boxes(box, calibration.lidar2img)[1].any()


def test_outline_stays_inside_the_image(calibration):
    rng = np.random.default_rng(11)
    boxes = np.column_stack([rng.uniform(-30, 60, (97, 2)), rng.uniform(-3, 1, 97),
                             rng.uniform(0.5, 9, (97, 3)), rng.uniform(-4, 4, 97)])  # fmt: skip
    outline = project_box_outlines(boxes, calibration.lidar2img, IMAGE_SIZE)
    assert (outline >= 0).all()
    assert (outline[:, 2:] >= outline[:, :2]).all()
    assert (outline <= [1241, 374, 1241, 374]).all()


def test_outline_contains_every_visible_point_of_the_box(calibration):
    rng = np.random.default_rng(13)
    boxes = np.column_stack([rng.uniform(-3, 20, 61), rng.uniform(-5, 5, 61),
                             rng.uniform(-2, 0, 61), rng.uniform(1, 5, (61, 3)),
                             rng.uniform(-4, 4, 61)])  # fmt: skip
    outline = project_box_outlines(boxes, calibration.lidar2img, IMAGE_SIZE)
    corners = box_corners(boxes)
    weights = rng.dirichlet(np.ones(8), size=200)
    pixels, depth = project_points(np.einsum('kc,ncd->nkd', weights, corners),
                                   calibration.lidar2img)  # fmt: skip
    x, y = pixels[..., 0], pixels[..., 1]
    visible = (depth > 0.1) & (x >= 0) & (x <= 1241) & (y >= 0) & (y <= 374)
    assert visible.sum() > 1000
    low, high = outline[:, None, :2] - 1e-6, outline[:, None, 2:] + 1e-6
    assert ((pixels >= low) & (pixels <= high)).all(-1)[visible].all()


def test_cut_edge_keeps_its_direction(calibration):
    start, end = np.array([-4.0, 1, -1]), np.array([16.0, 1, -1])
    line, visible = project_segments(start, end, calibration.lidar2img)
    assert visible
    middle, _ = project_points(np.array([9.0, 1, -1]), calibration.lidar2img)
    direction, offset = line[1] - line[0], middle - line[0]
    # The projection of any point of the segment lies on the projected line, between its ends.
    cross = direction[0] * offset[1] - direction[1] * offset[0]
    np.testing.assert_allclose(cross / np.linalg.norm(direction), 0, atol=1e-8)
    assert 0 < offset @ direction < direction @ direction


def test_point_behind_the_camera_has_no_pixel(calibration):
    pixels, depth = project_points(np.array([[-5.0, 0, 0], [5, 0, 0]]), calibration.lidar2img)
    assert np.isnan(pixels[0]).all() and np.isfinite(pixels[1]).all()
    assert depth[0] < 0 < depth[1]


def test_no_boxes_give_no_objects(calibration):
    objects = from_lidar_boxes(np.zeros((0, 7)), [], np.zeros(0), calibration, IMAGE_SIZE)
    assert len(objects) == 0 and objects.bbox.shape == (0, 4) and objects.score.shape == (0,)


def test_boxes_agree_with_mmdet3d(frames):
    structures = pytest.importorskip("mmdet3d.structures", exc_type=ImportError)
    for root, frame in frames:
        truth, calibration, _ = _truth(root, frame)
        camera = np.column_stack([truth.location, truth.dimensions[:, [2, 0, 1]], truth.rotation_y])
        theirs = structures.Box3DMode.convert(
            camera,
            structures.Box3DMode.CAM,
            structures.Box3DMode.LIDAR,
            rt_mat=np.linalg.inv(calibration.lidar2cam),
        )
        np.testing.assert_allclose(to_lidar_boxes(truth, calibration), theirs, atol=1e-9)
