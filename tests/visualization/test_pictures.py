"""Pictures from arrays: what is drawn lies where the geometry says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.geometry.boxes import project_points
from gemini_det3d.visualization import (
    LabeledBoxes,
    class_color,
    draw_bev,
    draw_boxes_on_image,
    draw_detection_panel,
    draw_points_on_image,
    fit_range,
    save_png,
)

WIDTH, HEIGHT = 401, 127
# Focal length 200 px, x forward becomes depth; no shift between the sensors.
LIDAR2IMG = np.array([[200.0, -200.0, 0, 0], [63.0, 0, -200.0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]])
CAR = np.array([[10.0, 0.0, -1.0, 4.0, 2.0, 1.5, 0.0]])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _rgb(name):
    color = class_color(name)
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def _is_near_color(picture, color, tolerance=40):
    return np.abs(picture.astype(int) - color).max(axis=-1) < tolerance


def test_image_without_boxes_is_left_as_it_is(image):
    picture = draw_boxes_on_image(image, LabeledBoxes.empty(), LIDAR2IMG, LabeledBoxes.empty())
    np.testing.assert_array_equal(picture, image)


def test_box_edges_are_drawn_where_the_corners_project():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture = draw_boxes_on_image(black, LabeledBoxes(CAR, ["Car"]), LIDAR2IMG)
    drawn = _is_near_color(picture, _rgb("Car"))
    # Rear face, 8 m ahead: from y = +1 to -1 m, z = -1 to 0.5 m.
    corners, _ = project_points(np.array([[8.0, 1, -1], [8, -1, -1], [8, -1, 0.5]]), LIDAR2IMG)
    for start, end in ((corners[0], corners[1]), (corners[1], corners[2])):
        for share in (0.1, 0.5, 0.9):
            x, y = np.round(start + share * (end - start)).astype(int)
            assert drawn[y - 1 : y + 2, x - 1 : x + 2].any(), (x, y)
    assert not drawn[:, :150].any() and not drawn[:, 250:].any()


def test_box_behind_the_camera_is_not_drawn(image):
    behind = CAR * [-1, 1, 1, 1, 1, 1, 1]
    picture = draw_boxes_on_image(image, LabeledBoxes(behind, ["Car"], [0.9]), LIDAR2IMG)
    np.testing.assert_array_equal(picture, image)


def test_box_beside_the_camera_is_drawn_on_its_side_only():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    beside = np.array([[1.0, 3.0, -1.0, 6.0, 2.0, 1.5, 0.0]])  # from 2 m behind to 4 m ahead
    picture = draw_boxes_on_image(black, LabeledBoxes(beside, ["Car"]), LIDAR2IMG)
    drawn = _is_near_color(picture, _rgb("Car"))
    right_edge = 200 - 200 * 2 / 4  # y = +2 m at 4 m
    assert drawn[:, : int(right_edge) + 3].any()
    assert not drawn[:, int(right_edge) + 4 :].any()


def test_truth_is_white_and_dashed():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    truth = LabeledBoxes(CAR, ["Car"])
    picture = draw_boxes_on_image(black, LabeledBoxes.empty(), LIDAR2IMG, truth, scale=3.0)
    white = _is_near_color(picture, np.array([255, 255, 255]), 90)
    assert white.any() and not _is_near_color(picture, _rgb("Car")).any()
    # The lower rear edge is a row of pixels; dashes leave gaps between its ends.
    row = 3 * (63 + 200 / 8)
    band = white[round(row) - 3 : round(row) + 4].any(axis=0)
    line = band[3 * 175 + 9 : 3 * 225 - 9]
    assert 0.2 < line.mean() < 0.9


def test_tag_says_the_score_and_its_absence_changes_the_picture(image):
    with_score = draw_boxes_on_image(image, LabeledBoxes(CAR, ["Car"], [0.87]), LIDAR2IMG)
    other = draw_boxes_on_image(image, LabeledBoxes(CAR, ["Car"], [0.31]), LIDAR2IMG)
    changed = (with_score != other).any(axis=-1)
    assert changed.any()
    assert np.flatnonzero(changed.any(axis=1)).max() <= 63 - 200 * 0.5 / 12 + 2  # above the box


def test_only_the_best_of_many_boxes_are_named(image):
    far = np.repeat(CAR, 23, axis=0) + np.linspace(0, 1, 23)[:, None] * [40, 0, 0, 0, 0, 0, 0]
    scores = np.linspace(0.9, 0.1, 23)
    pictures = []
    for last in (0.1, 0.05):  # the score of the last box shows in its tag, if it has one
        scores[-1] = last
        boxes = LabeledBoxes(far, ["Car"] * 23, scores)
        pictures.append(draw_boxes_on_image(image, boxes, LIDAR2IMG))
    np.testing.assert_array_equal(*pictures)


def test_scale_enlarges_the_picture(image):
    picture = draw_boxes_on_image(image, LabeledBoxes.empty(), LIDAR2IMG, scale=2.5)
    assert picture.shape == (round(2.5 * HEIGHT), round(2.5 * WIDTH), 3)


def test_points_are_drawn_on_their_pixels_and_near_ones_differ_from_far_ones():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    points = np.array([[5.0, 2.0, 0, 0], [60.0, -6.0, 0, 0], [-5.0, 2.0, 0, 0]], np.float32)
    picture = draw_points_on_image(black, points, LIDAR2IMG)
    near, far = picture[62:65, 119:122].max(axis=(0, 1)), picture[62:65, 219:222].max(axis=(0, 1))
    assert near.max() > 100 and far.max() > 100
    assert np.abs(near.astype(int) - far).max() > 80
    assert not picture[62:65, 279:282].any()  # where the third would be mirrored to


def test_bev_draws_the_footprint_where_it_is_and_marks_the_front():
    boxes = LabeledBoxes(np.array([[20.0, 5.0, -1, 8, 2, 1.5, 0.0]]), ["Car"])
    picture = draw_bev(np.zeros((0, 4)), boxes, range_m=(0, -20, 40, 20), width_px=800)
    assert picture.shape == (800, 800, 3)
    drawn = _is_near_color(picture, _rgb("Car"))
    drawn[:130, :230] = False  # the legend
    rows, columns = np.nonzero(drawn)
    pixels_per_m = 800 / 40
    assert abs(rows.min() - (20 - 6) * pixels_per_m) <= 2
    assert abs(rows.max() - (20 - 4) * pixels_per_m) <= 2
    assert abs(columns.min() - 16 * pixels_per_m) <= 2
    assert abs(columns.max() - 24.8 * pixels_per_m) <= 2  # 0.8 m beyond the front


def test_bev_shows_points_within_the_range_only():
    points = np.array([[10.0, 3, 0, 0], [50, 3, 0, 0]])
    empty = draw_bev(points[:0], LabeledBoxes.empty(), range_m=(0, -10, 20, 10), width_px=400)
    picture = draw_bev(points, LabeledBoxes.empty(), range_m=(0, -10, 20, 10), width_px=400)
    rows, columns = np.nonzero((picture != empty).any(axis=-1))
    assert len(rows) and abs(rows - 140).max() <= 2 and abs(columns - 200).max() <= 2


def test_bev_marks_truth_apart_from_detections():
    options = dict(range_m=(0, -20, 40, 20), width_px=400)
    none = np.zeros((0, 4))
    boxes = LabeledBoxes(CAR, ["Car"])
    as_truth = draw_bev(none, LabeledBoxes.empty(), boxes, **options)
    as_detection = draw_bev(none, boxes, **options)
    assert _is_near_color(as_detection, _rgb("Car")).any()
    assert not _is_near_color(as_truth, _rgb("Car")).any()


def test_bev_range_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="range_m"):
        draw_bev(np.zeros((0, 4)), LabeledBoxes.empty(), range_m=(0, 10, 40, -10))


def test_fitted_range_holds_all_boxes_and_the_sensor():
    boxes = np.zeros((3, 7))
    boxes[:, :2] = [[55, -3], [7, 22], [-9, 1]]
    boxes[:, 3:6] = [4, 2, 1.5]
    x_min, y_min, x_max, y_max = fit_range(LabeledBoxes(boxes, ["Car"] * 3))
    assert x_min <= -11 and x_max >= 57 and y_max >= 23 and y_min == -y_max
    assert fit_range(LabeledBoxes.empty()) == (-5, -15, 40, 15)


def test_panel_stacks_image_and_bev_at_one_width(image):
    points = np.random.default_rng(0).uniform(-10, 40, (97, 4))
    picture = draw_detection_panel(
        image, points, LIDAR2IMG, LabeledBoxes(CAR, ["Car"], [0.5]), width_px=600
    )
    above = round(HEIGHT * 600 / WIDTH)
    x_min, y_min, x_max, y_max = fit_range(LabeledBoxes(CAR, ["Car"]))
    below = round(600 * (y_max - y_min) / (x_max - x_min))
    assert picture.shape == (above + 4 + below, 600, 3)
    assert (picture[above : above + 4] == 255).all()


def test_same_arrays_give_the_same_picture(image):
    boxes = LabeledBoxes(CAR, ["Car"], [0.5])
    first, second = (draw_boxes_on_image(image, boxes, LIDAR2IMG) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_saved_picture_is_read_back(tmp_path, image):
    save_png(tmp_path / "deep" / "p.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "p.png")), image)


def test_image_of_a_wrong_kind_is_refused(image):
    with pytest.raises(ValueError, match="expected uint8"):
        draw_boxes_on_image(image.astype(float), LabeledBoxes.empty(), LIDAR2IMG)


def test_boxes_refuse_names_and_scores_of_other_lengths():
    with pytest.raises(ValueError, match="2 names for 1 boxes"):
        LabeledBoxes(CAR, ["Car", "Van"])
    with pytest.raises(ValueError, match="2 scores for 1 boxes"):
        LabeledBoxes(CAR, ["Car"], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"\(1, 6\)"):
        LabeledBoxes(CAR[:, :6], ["Car"])


def test_threshold_keeps_boxes_that_score_at_least_it():
    boxes = LabeledBoxes(np.repeat(CAR, 3, 0), ["Car", "Van", "Tram"], [0.2, 0.5, 0.7])
    assert boxes.above(0.5).names == ("Van", "Tram")
    assert len(LabeledBoxes(CAR, ["Car"]).above(0.5)) == 1


def test_colors_do_not_depend_on_the_process_and_kitti_classes_differ():
    names = ["Car", "Pedestrian", "Cyclist", "Van", "Truck", "Tram"]
    assert len({class_color(name) for name in names}) == len(names)
    code = "from gemini_det3d.visualization import class_color; print(class_color('traffic cone'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == class_color("traffic cone")


def test_drawing_needs_no_display_and_leaves_pyplot_alone():
    code = (
        "import sys, numpy as np\n"
        "from gemini_det3d.visualization import LabeledBoxes, draw_bev\n"
        "draw_bev(np.zeros((3, 4)), LabeledBoxes.empty(), width_px=200)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'open3d' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env={"PATH": "", "HOME": "/nowhere"}).returncode == 0
