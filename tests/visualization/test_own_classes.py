"""Classes of one's own: each has one colour, in images, from above, in pages and recordings."""

from __future__ import annotations

from types import SimpleNamespace

import browser
import numpy as np
import pytest
from kitti_camera import CALIBRATION, SIZE
from kitti_street import objects, write_street

from gemini_det3d.apis.infer import Frame, write_results
from gemini_det3d.commands import infer, view
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.kitti import write_objects
from gemini_det3d.visualization import (
    LabeledBoxes,
    class_color,
    class_colors,
    draw_bev,
    draw_boxes_on_image,
    draw_detection_panel,
    draw_surround_panel,
)
from gemini_det3d.visualization import rerun_file as rerun_module
from gemini_det3d.visualization.page import ViewFrame, frame_data, render_page
from gemini_det3d.visualization.rerun_file import record_frames

CLASSES = ["Lorry", "Car", "bike", "cone", "forklift", "van", "person", "trailer"]
SHARED = [("Lorry", "Car"), ("bike", "cone"), ("forklift", "van"), ("person", "trailer")]
BOX = np.array([[9.0, 0, -1, 4, 2, 1.5, 0.3]])
LIDAR2IMG = CALIBRATION.lidar2img
IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
NONE = np.zeros((0, 4))


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def num_pixels(picture, color):
    return int((np.abs(picture.astype(int) - rgb(color)).max(axis=-1) < 12).sum())


def pictures_of(boxes, **colors):
    """The box on the image, from above with the legend, and both in one picture, twice."""
    return [
        draw_boxes_on_image(IMAGE, boxes, LIDAR2IMG, **colors),
        draw_bev(NONE, boxes, **colors),
        draw_detection_panel(IMAGE, NONE, LIDAR2IMG, boxes, **colors),
        draw_surround_panel([IMAGE], NONE, [LIDAR2IMG], boxes, **colors),
    ]


@pytest.mark.parametrize("pair", SHARED)
def test_two_classes_of_one_picture_never_have_one_colour(pair):
    assert class_color(pair[0]) == class_color(pair[1])  # each by itself
    near, far = BOX, BOX + [9, 5, 0, 0, 0, 0, 0]
    boxes = LabeledBoxes(np.concatenate([near, far]), pair, [0.5, 0.6])
    first, second = class_colors(pair).values()
    for picture in pictures_of(boxes):
        assert num_pixels(picture, first) > 20 and num_pixels(picture, second) > 20


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_its_colour_whatever_else_the_picture_shows(name):
    colors = class_colors(CLASSES)
    assert len(set(colors.values())) == len(CLASSES)
    for picture in pictures_of(LabeledBoxes(BOX, [name], [0.5]), colors=colors):
        assert num_pixels(picture, colors[name]) > 20


def test_names_beside_the_model_s_take_what_these_leave():
    given = class_colors(["bike", "cone"])
    colors = class_colors(["cone", "aaa", "Car"], given)
    assert colors["cone"] == given["cone"] and set(colors) == {"cone", "aaa", "Car"}
    assert len({*colors.values(), *given.values()}) == 4
    assert len(set(class_colors(["chair", "bicycle", "Cyclist"]).values())) == 3


def test_results_page_and_recording_show_a_class_in_the_model_s_colour(tmp_path, monkeypatch):
    colors, found = class_colors(CLASSES), LabeledBoxes(BOX, ["Lorry"], [0.5])
    assert colors["Lorry"] != class_color("Lorry")
    frame = Frame("a", *(tmp_path / name for name in ("a.png", "a.bin", "a.txt")))
    write_results(tmp_path, frame, found, CALIBRATION, IMAGE, NONE, colors=colors)
    assert num_pixels(read_image(tmp_path / "a.png"), colors["Lorry"]) > 20

    shown = ViewFrame("a", NONE, results=[found])
    stated = f'"Lorry":"{colors["Lorry"]}"'
    assert stated in render_page([frame_data(shown)], ["m"], "t", (), colors)
    source = SimpleNamespace(sets=["m"], classes=CLASSES, read=lambda name: shown)
    args = SimpleNamespace(rrd=None, max_points=9, max_boxes=9, data="a.py")
    assert stated in view._clouds(args, source, ["a"], {}, [])

    logged = []
    stub = SimpleNamespace(
        RecordingStream=lambda title: SimpleNamespace(
            save=lambda path: open(path, "wb").close(), set_time=lambda *_, **__: None,
            log=lambda path, what, static=False: logged.append(what), flush=lambda: None,
            disconnect=lambda: None,
        ),
        ViewCoordinates=SimpleNamespace(RIGHT_HAND_Z_UP=None), TextLog=str, Clear=dict,
        Points3D=lambda *_, **__: None, Boxes3D=lambda **given: given["colors"],
    )  # fmt: skip
    monkeypatch.setattr(rerun_module, "import_rerun", lambda: stub)
    list(record_frames([shown], tmp_path / "a.rrd", ["m"], "t", colors))
    assert [rgb(colors["Lorry"]).tolist()] in logged


@pytest.mark.parametrize("part", ["labels", "results", "both"])
def test_a_class_keeps_its_colour_whichever_frames_of_a_folder_are_shown(tmp_path, part):
    root = write_street(tmp_path) / "wörld"
    labels, results = root / "training" / "label_2", tmp_path / "mine"
    for number, name in enumerate(SHARED[1]):
        write_objects(labels / f"{number:06d}.txt", objects([name] if part != "results" else []))
        found = name if part == "results" else SHARED[2][number]
        write_objects(results / f"{number}.txt", objects([found], 0.8))
    given = () if part == "labels" else ("--results", results)
    page = tmp_path / "v.html"
    whole = browser.view(page, root, *given)["classes"]
    assert len(set(whole.values())) == len(whole) == (4 if part == "both" else 2)
    for number in range(2):
        shown = browser.view(page, root, *given, "--frames", number)["classes"]
        assert len(shown) == len(whole) / 2 and shown.items() <= whole.items()


def test_infer_draws_in_the_colours_of_the_model_s_classes(monkeypatch):
    class Found(LabeledBoxes):
        classes, num_columns = CLASSES, 4

        def __call__(self, *_, **__):
            return self

    handed = []
    for name in ("read_any_calibration", "read_points", "read_image"):
        monkeypatch.setattr(infer, name, lambda *_: None)
    monkeypatch.setattr(infer, "write_results", lambda *given: handed.append(given[-1]))
    args = SimpleNamespace(point_columns=None, all_points=True, score_threshold=0.3, out=None)
    frame = SimpleNamespace(calib=None, points=None, image=None, label=None)
    assert infer._infer_frame(Found(BOX, ["Lorry"], [0.5]), frame, args) == 1
    assert handed == [class_colors(CLASSES)]
