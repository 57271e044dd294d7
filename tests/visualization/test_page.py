"""The page's data are those of formats and ops, and text of users stays text."""

import base64
import json
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from street_frame import CAM2IMG, FOUND, IMAGE, LIDAR2CAM, LIDAR2IMG, TRUTH, frame

from gemini_det3d.geometry.boxes import project_boxes
from gemini_det3d.ops.rotated_iou import iou_3d
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.document import embed_json
from gemini_det3d.visualization.page import (
    Camera,
    dequantize,
    frame_data,
    quantize,
    render_page,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "gemini_det3d" / "visualization" / "page"
ATTACK = "</script><img src=x onerror=alert(1)>&\u2028\u2029<!--"


def test_lines_on_the_page_are_those_of_formats_to_a_tenth_of_a_pixel():
    data = frame_data(frame())
    lines, visible = project_boxes(FOUND.boxes, LIDAR2IMG)
    found = [box["lines"][0] for box in data["boxes"] if box["set"] == 1]
    beside = (lines.max(axis=2) < -0.5) | (lines.min(axis=2) > [121, 73])
    shown = visible & ~beside.any(axis=2)  # edges wholly beside the image are left out
    assert visible[0].all() and not visible[1].all() and shown.any(axis=1).all()
    for mine, ends, seen in zip(found, lines, shown):
        np.testing.assert_allclose(mine, ends[seen].reshape(-1, 4), atol=0.0501)


def test_overlaps_on_the_page_are_those_of_the_evaluation():
    box = next(b for b in frame_data(frame())["boxes"] if b["set"] == 1)
    index, iou = box["overlaps"]["0"][0]
    assert index == 0 and iou == pytest.approx(iou_3d(FOUND.boxes, TRUTH.boxes)[0, 0], abs=1e-4)
    assert 0.5 < iou < 1


def test_quantized_points_move_by_half_a_step_at_most():
    points = np.random.default_rng(0).uniform(-90, 90, (2003, 3))
    grid = quantize(points)
    assert grid.step < 0.003
    assert np.abs(dequantize(grid) - points).max() <= grid.step / 2 + 1e-9


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((1, 3), 7.0)])
def test_no_point_and_one_point_come_back(points):
    np.testing.assert_array_equal(dequantize(quantize(points)), points)


def test_stray_point_leaves_the_others_their_precision_and_is_counted():
    points = np.array([[1, 2, 3, 0], [4, 5, 6, 1], [1e7, 0, 0, 0]], dtype=np.float32)
    data = frame_data(frame(points=points, results=()))["points"]
    assert (data["shown"], data["total"], data["far"]) == (2, 3, 1) and data["step"] < 0.001


def test_two_million_points_are_thinned_out_and_all_counted_in_boxes():
    many = frame(2_000_000)
    data = frame_data(many, max_points=3001)
    assert (data["points"]["shown"], data["points"]["total"]) == (3001, 2_000_000)
    assert len(base64.b64decode(data["points"]["xyz"])) == 3001 * 6
    x, y, z = (
        many.points[:, :3].astype(np.float64) - TRUTH.boxes[1, :3]
    ).T  # a box that is not turned
    inside = (abs(x) < 0.5) & (abs(y) < 0.35) & (z >= 0) & (z <= 1.8)
    assert data["boxes"][1]["inside"] == inside.sum() > 100


def test_camera_colour_is_that_of_the_pixel_a_point_falls_on():
    point = np.array([[10.1, 0.2, 0.4, 0.5], [-5, 0, 0, 0.5]], dtype=np.float32)
    one = frame(points=point)
    u, v = 62, 36  # 0.1 m right, 0.2 m up, 10 m ahead: 61.7, 35.6
    colors = np.frombuffer(base64.b64decode(frame_data(one)["points"]["colors"]), np.uint8)
    np.testing.assert_array_equal(colors[:3], IMAGE[v, u])
    np.testing.assert_array_equal(colors[3:], 128)  # behind the camera


def test_frame_without_camera_keeps_points_and_boxes():
    data = frame_data(frame(cameras=()))
    assert data["cameras"] == [] and data["points"]["colors"] is None
    assert [box["lines"] for box in data["boxes"]] == [[]] * 4


def test_camera_without_calibration_shows_its_image_without_boxes():
    data = frame_data(frame(cameras=[Camera(IMAGE)]))
    assert data["cameras"][0]["pose"] is None and data["cameras"][0]["width"] == 121
    assert [box["lines"] for box in data["boxes"]] == [[[]]] * 4


def test_pose_of_a_camera_is_where_it_stands_and_what_it_sees():
    pose = Camera(IMAGE, LIDAR2IMG).pose()
    np.testing.assert_allclose(pose["position"], [0.1, 0.3, 0.2], atol=1e-12)
    ray = np.array([70, (61 - 60) * 1.0, (37 - 36) * 1.0])  # of the middle pixel (60, 36)
    np.testing.assert_allclose(pose["forward"], ray / np.linalg.norm(ray), atol=1e-12)
    assert pose["fov_deg"][0] == pytest.approx(2 * np.degrees(np.arctan(36.5 / 70)), abs=0.1)


def test_each_camera_gets_its_own_lines_and_the_first_one_colours_a_point():
    behind = LIDAR2CAM * np.array([[-1], [1], [-1], [1]])  # turned by half a circle
    red = np.full((73, 121, 3), [255, 0, 0], np.uint8)
    blue = np.full((73, 121, 3), [0, 0, 255], np.uint8)
    cameras = [Camera(red, LIDAR2IMG), Camera(blue, CAM2IMG @ behind), Camera(blue, LIDAR2IMG)]
    points = np.array([[10, 0, 0, 0], [-10, 0, 0, 0]], dtype=np.float32)
    data = frame_data(frame(points=points, cameras=cameras))
    colors = np.frombuffer(base64.b64decode(data["points"]["colors"]), np.uint8).reshape(-1, 3)
    assert colors.tolist() == [[255, 0, 0], [0, 0, 255]]
    car = data["boxes"][0]["lines"]
    assert len(car[0]) == 12 and car[1] == [] and car[2] == car[0]


def test_owner_of_a_point_is_the_labelled_box_around_it():
    points = np.array([[9, 1, -0.5, 0], [30, 0, 0, 0], [17, -5, 0, 0]], dtype=np.float32)
    owner = frame_data(frame(points=points))["points"]["owner"]
    assert np.frombuffer(base64.b64decode(owner), "<u2").tolist() == [1, 0, 2]


def test_gate_of_each_shown_point_comes_through_and_none_is_told_apart():
    gate = np.linspace(0, 1, 1009)
    gate[::2] = np.nan
    points = frame_data(frame(gate=gate), max_points=101)["points"]
    shown = np.frombuffer(base64.b64decode(points["gate"]), np.uint8)
    kept = np.sort(np.random.default_rng(0).choice(1009, 101, replace=False))
    np.testing.assert_array_equal(shown == 255, np.isnan(gate[kept]))
    known = ~np.isnan(gate[kept])
    np.testing.assert_allclose(shown[known] / 254, gate[kept][known], atol=0.5 / 254 + 1e-9)


def test_results_of_two_sets_know_their_overlaps_with_each_other():
    data = frame_data(frame(truth=None, results=[FOUND, FOUND]))
    assert [box["overlaps"] for box in data["boxes"]] == [
        {"2": [[0, 1.0]]}, {"2": [[1, 1.0]]}, {"1": [[0, 1.0]]}, {"1": [[1, 1.0]]}
    ]  # fmt: skip


def test_frame_without_truth_says_so_and_has_no_overlaps():
    data = frame_data(frame(truth=None))
    assert not data["has_truth"] and all(box["overlaps"] == {} for box in data["boxes"])


def test_missing_result_file_is_told_from_one_without_detections():
    data = frame_data(frame(results=[None, LabeledBoxes.empty()]))
    assert data["missing"] == [1] and {box["set"] for box in data["boxes"]} == {0}


@pytest.mark.parametrize(("scores", "kept"), [((0.2, 0.9, 0.5), [1, 2]), (None, [0, 1])])
def test_of_too_many_boxes_the_best_or_nearest_stay_and_all_are_counted(scores, kept):
    boxes = LabeledBoxes([[9 + n, 0, 0, 4, 2, 1, 0] for n in range(3)], list("abc"), scores)
    sets = {"truth": boxes} if scores is None else {"results": [boxes]}
    data = frame_data(frame(**{"truth": None, "results": [], **sets}), max_boxes=2)
    assert [box["name"] for box in data["boxes"]] == ["abc"[n] for n in kept]
    assert data["cut"] == {str(int(scores is not None)): 3}


def test_intensity_that_is_not_finite_leaves_the_others_theirs():
    points = np.zeros((5, 4), np.float32)
    points[:, 3] = [2, np.nan, 1, np.inf, -np.inf]
    shown = frame_data(frame(points=points, results=()))["points"]["intensity"]
    assert [*base64.b64decode(shown)] == [255, 0, 128, 255, 0]


def test_cloud_without_intensity_has_none():
    assert frame_data(frame(points=frame().points[:, :3]))["points"]["intensity"] is None


class Elements(HTMLParser):
    """Elements of a page, and the text of the one with the data."""

    def __init__(self, text):
        super().__init__()
        self.found, self.data, self.in_data = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.in_data = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self.in_data = False

    def handle_data(self, data):
        self.data += data if self.in_data else ""


def attacked_page() -> Elements:
    boxes = LabeledBoxes(FOUND.boxes, [ATTACK, "Fußgänger"], FOUND.scores)
    data = frame_data(frame(name=ATTACK, results=[boxes, None]))
    return Elements(render_page([data], [ATTACK, "b"], ATTACK, [ATTACK]))


def test_names_that_are_markup_make_no_element_and_come_back_as_they_are():
    page = attacked_page()
    assert not [tag for tag, _ in page.found if tag == "img"]
    assert sum(tag == "script" for tag, _ in page.found) == 7  # data, three.js, five of ours
    data = json.loads(page.data)
    assert data["frames"][0]["name"] == data["sets"][1] == ATTACK
    assert {ATTACK, "Fußgänger", "Car"} <= set(data["classes"])


def test_embedded_json_holds_no_character_that_ends_a_script():
    text = embed_json({ATTACK: [ATTACK]})
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == {ATTACK: [ATTACK]}


def test_page_asks_for_nothing_from_elsewhere_and_forbids_it():
    page = attacked_page()
    asked = [v for _, attrs in page.found for k, v in attrs.items() if k in ("src", "href")]
    assert asked == []
    policy = next(a["content"] for t, a in page.found if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "http" not in policy


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.js")), ids=lambda path: path.name)
def test_script_writes_no_markup(path):
    script = path.read_text()
    assert not [w for w in ("innerHTML", "outerHTML", "insertAdjacent", "eval(") if w in script]


def test_wheel_has_template_style_and_script(tmp_path):
    source = tmp_path / "source"
    page = source / "gemini_det3d" / "visualization" / "page"
    page.mkdir(parents=True)
    (source / "configs").mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "gemini_det3d/__init__.py"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    (page.parent / "__init__.py").touch()
    (page / "vendor").mkdir()
    for path in (*PAGE.glob("*.*"), *PAGE.glob("vendor/*")):
        (page / path.relative_to(PAGE)).write_bytes(path.read_bytes())
    build = f"import setuptools.build_meta as b; b.build_wheel({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {Path(n).name for n in zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()}
    wanted = {p.name for p in (*PAGE.glob("*.*"), *PAGE.glob("vendor/*"))}
    assert {"view.html", "three.min.js", "three.LICENSE"} <= wanted <= names
