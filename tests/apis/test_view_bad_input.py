"""`gemini-det3d view` with files that are broken, huge or hostile: a page or a line says it."""

import html
import json
import shutil

import browser
import numpy as np
import pytest
from browser import dump, needs_browser, title_after
from kitti_street import objects, write_street
from PIL import Image

from gemini_det3d.cli import main
from gemini_det3d.formats.kitti import write_objects

NAMES = [
    '"><img/src=x/onerror=alert(1)>', "</script><b>", "it's&amp;", "🚲é", "{{7*7}}", "__proto__"
]  # fmt: skip


@pytest.fixture
def kitti(tmp_path):
    return write_street(tmp_path)


def view(kitti, *arguments) -> dict:
    return browser.view(kitti / "out" / "view.html", kitti / "wörld", *arguments)


def fault(capsys, *arguments) -> str:
    """The one line that the command ends with."""
    capsys.readouterr()
    code = main(["view", *map(str, arguments)])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and "Traceback" not in " ".join(lines)
    return lines[-1]


def first(kitti, folder: str, ending: str):
    return kitti / "wörld" / "training" / folder / f"000000.{ending}"


def spoil_points(path):
    points = np.fromfile(path, "<f4")
    points[7] = np.nan
    points.tofile(path)


SPOILERS = {
    "image_2/png": lambda path: path.write_bytes(b""),
    "velodyne/bin": spoil_points,
    "calib/txt": lambda path: path.write_bytes(b""),
    "label_2/txt": lambda path: path.write_text("Car 0 0\n"),
}


@pytest.mark.parametrize("which", SPOILERS)
def test_broken_file_of_a_frame_is_named(kitti, capsys, which):
    path = first(kitti, *which.split("/"))
    SPOILERS[which](path)
    assert path.name in fault(capsys, kitti / "wörld", "--out", kitti / "v.html")
    assert not (kitti / "v.html").exists()


def test_empty_cloud_and_empty_labels_make_a_page(kitti):
    first(kitti, "velodyne", "bin").write_bytes(b"")
    first(kitti, "label_2", "txt").write_bytes(b"")
    frame = view(kitti)["frames"][0]
    assert frame["points"]["shown"] == 0 and frame["boxes"] == [] and frame["has_truth"]


def test_empty_folder_and_empty_files_are_a_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "empty" in fault(capsys, tmp_path / "empty")
    for name in ("kitti_infos_val.pkl", "nuscenes_infos_val.pkl", "sunrgbd_infos_val.json"):
        (tmp_path / name).write_bytes(b"")
        assert name in fault(capsys, tmp_path / name)


def test_results_of_another_data_set_are_a_line_that_names_the_file(kitti, capsys):
    (kitti / "nus.json").write_text(json.dumps({"results": {}, "meta": {}}))
    assert "nus.json" in fault(capsys, kitti / "wörld", "--results", kitti / "nus.json")
    room = kitti / "room"
    room.mkdir()
    (room / "000000.txt").write_text("bed 0.2 3.0 -0.4 2.0 1.5 0.8 0.3 0.9\n")
    assert "000000.txt" in fault(capsys, kitti / "wörld", "--results", room)


def test_other_frames_are_shown_where_no_result_is_of_the_first(kitti):
    (kitti / "c").mkdir()
    (kitti / "a" / "000001.txt").rename(kitti / "c" / "000001.txt")
    names = lambda *given: [f["name"] for f in view(kitti, "--results", *given)["frames"]]  # noqa: E731
    assert names(kitti / "c", "--max-frames", 1) == ["000001"]
    assert names(kitti / "c") == ["000000", "000001"]
    assert names(kitti / "c", "--frames", "0", "1") == ["000000", "000001"]


def test_result_sets_without_a_common_class_are_both_shown(kitti):
    for number in range(2):
        write_objects(kitti / "rooms" / f"{number:06d}.txt", objects(["bed"], 0.8))
    data = view(kitti, "--results", kitti / "a", kitti / "rooms")
    assert {"Car", "bed"} <= set(data["classes"])
    assert data["classes"]["Car"] != data["classes"]["bed"]


def test_image_of_48_million_pixels_makes_a_page_of_usual_size(kitti):
    Image.new("RGB", (8000, 6000), (9, 90, 9)).save(first(kitti, "image_2", "png"))
    camera = view(kitti)["frames"][0]["cameras"][0]
    assert (camera["width"], camera["height"]) == (8000, 6000)  # boxes keep their pixels
    assert len(camera["uri"]) < 200_000 and (kitti / "out" / "view.html").stat().st_size < 3e6


@needs_browser
def test_ten_thousand_boxes_are_cut_to_the_best_and_the_page_says_so(kitti):
    many = objects(["Car"] * 10_000, 0.5)
    many.location[:, :2] = [1, 1.5]
    many.score[:] = np.linspace(0.4, 0.9, 10_000)
    write_objects(kitti / "many" / "000000.txt", many)
    data = view(kitti, "--results", kitti / "many", "--frames", 0)
    scores = [box["score"] for box in data["frames"][0]["boxes"] if box["set"]]
    assert len(scores) == 1000 and min(scores) > 0.84
    said = title_after(kitti / "out" / "view.html", """
      document.title = document.querySelectorAll('#boxes tbody tr').length + ' ' +
        document.getElementById('notes').textContent;
    """)  # fmt: skip
    assert said.startswith("1001 many: 1000 of 10,000 boxes, those that score best")


@needs_browser
def test_names_that_are_markup_or_words_of_the_language_are_shown_as_they_are(kitti):
    write_objects(first(kitti, "label_2", "txt"), objects(NAMES))
    folder = kitti / "<b>&'set"
    for number in range(2):
        write_objects(folder / f"{number:06d}.txt", objects(NAMES, 0.9))
    shutil.copytree(kitti / "wörld" / "training", kitti / "<i>'data\"" / "training")
    page = kitti / "out" / "view.html"
    browser.view(page, kitti / "<i>'data\"", "--results", folder)
    said = title_after(page, """
      set('score', 0, 'input'); press('ArrowRight'); press('ArrowLeft');
      const bad = document.querySelectorAll('main img, main b, main i, main script, h1 *').length;
      const all = (selector, of) => [...document.querySelectorAll(selector)].map(of);
      const names = all('#boxes tbody tr', (row) => row.cells[1].textContent);
      const colors = all('#classes .swatch', (swatch) => swatch.style.background).filter(Boolean);
      document.title = JSON.stringify([bad, names, document.querySelector('h1').textContent,
        all('#sets label', (label) => label.textContent), new Set(colors).size]);
    """)  # fmt: skip
    bad, names, title, sets, colors = json.loads(html.unescape(said))
    assert bad == 0 and names == NAMES * 2 and title == "<i>'data\""
    assert sets == ["truth", "<b>&'set"] and colors == len(NAMES) + 1  # and the car


@needs_browser
def test_page_of_one_frame_without_anything_opens_without_an_error(kitti):
    for name in ("image_2", "calib", "label_2"):
        shutil.rmtree(kitti / "wörld" / "training" / name)
    first(kitti, "velodyne", "bin").write_bytes(b"")
    view(kitti, "--frames", 0)
    page, log = dump(kitti / "out" / "view.html")
    assert 'data-ready="yes"' in page and not browser.ERROR.search(log)


@pytest.mark.parametrize(
    "option", [["--device", "cpu"], ["--allow-missing", "a"], ["--cfg-options", "a=1"]]
)
def test_options_of_a_model_are_refused_where_there_is_none(kitti, capsys, option):
    said = f"{option[0]} is for a config's model; DATA is no config"
    assert fault(capsys, kitti / "wörld", *option).endswith(said)
