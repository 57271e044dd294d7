"""`gemini-det3d view`: which frames and results it takes, what it refuses, and a real browser."""

import base64
import io
import pickle
import re
import shutil

import browser
import numpy as np
import pytest
from browser import ERROR, dump, needs_browser, page_data, title_after
from kitti_street import objects, write_street
from PIL import Image

from gemini_det3d.cli import main
from gemini_det3d.formats.kitti import write_objects, write_points


@pytest.fixture
def kitti(tmp_path):
    return write_street(tmp_path)


def view(kitti, *arguments) -> dict:
    return browser.view(kitti / "out" / "view.html", kitti / "wörld", *arguments)


def test_page_has_truth_without_dont_care_and_both_sets(kitti):
    data = view(kitti, "--results", kitti / "a", kitti / "b")
    assert data["sets"] == ["truth", "a", "b"] and set(data["classes"]) == {"Car", "<i>Bus"}
    assert [f["missing"] for f in data["frames"]] == [[], [2]]
    boxes = data["frames"][0]["boxes"]
    assert [(b["set"], b["name"]) for b in boxes] == [(0, "Car"), (1, "Car"), (2, "<i>Bus")]
    assert (
        boxes[1]["overlaps"]["0"] == [[0, 1.0]] and data["frames"][1]["boxes"][1]["overlaps"] == {}
    )


def test_frames_come_from_the_split_by_short_numbers_too(kitti):
    (kitti / "val.txt").write_text("1\n")
    assert [f["name"] for f in view(kitti, "--split", kitti / "val.txt")["frames"]] == ["000001"]


@pytest.mark.parametrize(
    ("file", "folder"), [("kitti_infos_test.pkl", ""), ("mine.pkl", "testing/image_2/")]
)
def test_info_file_of_the_test_part_shows_its_frames(kitti, file, folder):
    root = kitti / "wörld"
    for kind in ("velodyne", "image_2", "calib"):
        shutil.copytree(root / "training" / kind, root / "testing" / kind)
    write_points(root / "testing" / "velodyne" / "000000.bin", np.ones((7, 4)))
    frame = {"sample_idx": 0, "images": {"CAM2": {"img_path": f"{folder}000000.png"}}}
    meta = {"categories": {"Car": 0}, "dataset": "kitti"}
    content = {"metainfo": meta, "data_list": [frame]}
    (root / file).write_bytes(pickle.dumps(content))
    shown = browser.view(kitti / "out" / "view.html", root / file)["frames"]
    assert [(f["points"]["shown"], f["boxes"]) for f in shown] == [(7, [])]
    (root / "kitti_infos_val.pkl").write_bytes(
        pickle.dumps({**content, "data_list": [{"sample_idx": 0}]})
    )
    shown = browser.view(kitti / "out" / "view.html", root / "kitti_infos_val.pkl")["frames"]
    assert [(f["points"]["shown"], len(f["boxes"])) for f in shown] == [(503, 1)]


def test_info_file_without_frames_is_named(kitti, capsys):
    path = kitti / "wörld" / "kitti_infos_val.pkl"
    meta = {"categories": {"Car": 0}, "dataset": "kitti"}
    path.write_bytes(pickle.dumps({"metainfo": meta, "data_list": []}))
    assert main(["view", str(path), "--out", str(kitti / "v.html")]) == 2
    assert capsys.readouterr().err == f"gemini-det3d view: {path}: has no frame to show\n"


def test_frames_above_the_limit_are_left_out_and_said_on_the_page(kitti):
    data = view(kitti, "--max-frames", 1)
    assert len(data["frames"]) == 1 and "first 1 of 2 frames" in data["notes"][0]


def test_frames_without_camera_and_labels_show_their_points(kitti):
    for name in ("image_2", "calib", "label_2"):
        shutil.rmtree(kitti / "wörld" / "training" / name)
    data = view(kitti)["frames"][0]
    assert data["points"]["shown"] == 503 and data["boxes"] == [] and data["cameras"] == []


def test_files_in_folders_of_their_own_make_the_same_page(kitti):
    training, out = kitti / "wörld" / "training", kitti / "own.html"
    folders = {"image": "image_2", "points": "velodyne", "calib": "calib", "label": "label_2"}
    given = [a for option, name in folders.items() for a in (f"--{option}", str(training / name))]
    code = main(["view", *given, "--out", str(out)])
    assert code == 0 and page_data(out)["frames"] == view(kitti)["frames"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "DATA"),
        (["{}/nothing"], "no such folder"),
        (["{}"], "velodyne"),
        (["{}/wörld", "--results", "{}/none"], "none"),
        (["{}/wörld", "--results", "{}/b", "--frames", "1"], "no result"),
        (["{}/wörld", "--frames", "7"], "7"),
        (["{}/wörld", "--max-points", "0"], "--max-points"),
        (["{}/wörld", "--image", "x.png"], "two ways"),
        (["{}/wörld", "--out", "{}/wörld/training/calib/000000.txt"], "input"),
    ],
)
def test_fault_is_one_line_that_names_it(kitti, capsys, arguments, word):
    out = [] if "--out" in arguments else ["--out", str(kitti / "v.html")]
    assert main(["view", *(a.format(kitti) for a in arguments), *out]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert word in error and error.startswith("gemini-det3d view:")


@needs_browser
def test_browser_shows_boxes_verdicts_and_no_error(kitti):
    view(kitti, "--results", kitti / "a", kitti / "b")
    page, log = dump(kitti / "out" / "view.html")
    assert 'data-ready="yes"' in page and not ERROR.search(log), ERROR.findall(log)
    table = re.search(r"<tbody>.*?</tbody>", page, re.S)[0]
    assert table.count("<tr tabindex") == 3 and "missed by b" in table and "false positive" in table
    assert "&lt;i&gt;Bus" in table


@needs_browser
def test_browser_draws_box_edges_where_formats_put_them(kitti):
    data = view(kitti)
    page, _ = dump(kitti / "out" / "view.html")
    path = re.search(r'<path d="([^"]*)" class="edge"', page)[1]
    drawn = re.findall(r"M(\S+?) (\S+?)L(\S+?) ([^M]+)", path)
    assert np.array(drawn, float).tolist() == data["frames"][0]["boxes"][0]["lines"][0]


@needs_browser
def test_browser_keys_filter_and_slider_work(kitti):
    view(kitti, "--results", kitti / "a")
    said = title_after(kitti / "out" / "view.html", """
      const said = []; const say = () => said.push(document.getElementById('frame').value + ':' +
        document.querySelectorAll('#boxes tbody tr').length);
      say(); press('x'); press('ArrowRight'); say();
      set('score', 0.9, 'input'); say(); set('score', 0.3, 'input');
      press('ArrowLeft'); set('filter', 'false'); say(); document.title = said.join(' ');
    """)  # fmt: skip
    assert said == "0:2 1:2 1:1 1:2"


@needs_browser
def test_box_of_an_image_is_pointed_at_anywhere_within_and_the_smaller_one_is_before(kitti):
    view(kitti, "--results", kitti / "a")
    said = title_after(kitti / "out" / "view.html", """
      const groups = [...document.querySelectorAll('#images svg')[0].querySelectorAll('g')];
      const size = ({ width, height }) => width * height;
      const areas = groups.map((g) => g.querySelector('.area').getBoundingClientRect());
      const last = areas[areas.length - 1];
      document.querySelector('#images svg').scrollIntoView();
      const { x, y, width, height } = groups[groups.length - 1].querySelector('.area')
        .getBoundingClientRect();
      const hit = document.elementFromPoint(x + 0.4 * width, y + 0.45 * height).closest('g');
      hit.dispatchEvent(new Event('mouseenter'));
      document.title = [groups.length, areas.every((a) => size(a) >= size(last)),
        hit === groups[groups.length - 1], document.querySelectorAll('tr.lit').length].join();
    """)  # fmt: skip
    assert said == "2,true,true,1"


@needs_browser
@pytest.mark.parametrize(("results", "shown"), [((), "false,0"), (("--results", "a"), "true,3")])
def test_labels_alone_have_no_column_or_slider_of_results(kitti, results, shown):
    view(kitti, *(kitti / word if word == "a" else word for word in results))
    said = title_after(kitti / "out" / "view.html", """
      const isSeen = (node) => node.offsetParent !== null, names = /Score|IoU|Verdict/;
      document.title = [isSeen(document.getElementById('score')), [...document.querySelectorAll(
        '#boxes th')].filter((th) => names.test(th.textContent) && isSeen(th)).length];
    """)  # fmt: skip
    assert said == shown


@needs_browser
def test_object_that_no_result_set_finds_is_missed_by_all(kitti):
    shutil.copytree(kitti / "b", kitti / "c")
    view(kitti, "--results", kitti / "b", kitti / "c")
    page, log = dump(kitti / "out" / "view.html")
    assert "missed by all" in page and "missed by b" not in page and not ERROR.search(log)


@needs_browser
def test_browser_puts_the_biggest_difference_of_two_sets_first(kitti):
    for number, count in enumerate((1, 3)):  # frame 0: one each, alike; frame 1: three against one
        write_objects(kitti / "c" / f"{number:06d}.txt", objects(["Car"] * count, 0.8))
        write_objects(kitti / "d" / f"{number:06d}.txt", objects(["Car"], 0.8))
    view(kitti, "--results", kitti / "c", kitti / "d")
    said = title_after(kitti / "out" / "view.html", """
      set('filter', 'biggest'); document.title = document.getElementById('frame').value + ' ' +
        document.getElementById('position').value + ' ' +
        document.getElementById('summary').textContent;
    """)  # fmt: skip
    assert said.startswith("1 1 of 1") and "differ by 2 boxes" in said


@needs_browser
def test_browser_tells_what_one_set_alone_finds_where_there_are_no_labels(kitti):
    shutil.rmtree(kitti / "wörld" / "training" / "label_2")
    view(kitti, "--results", kitti / "a", kitti / "b")
    page, log = dump(kitti / "out" / "view.html")
    table = re.search(r"<tbody>.*?</tbody>", page, re.S)[0]
    assert table.count("in no other set") == 2 and "no labels" in page and not ERROR.search(log)


@needs_browser
def test_browser_colours_the_points_in_every_way(kitti):
    view(kitti)
    kinds = ["height", "intensity", "camera", "label"]
    said = title_after(kitti / "out" / "view.html", f"""
      document.title = {kinds}.map((kind) => {{
        set('color', kind); const colors = View.shownCloud.geometry.attributes.color.array;
        return document.getElementById('color').value + ':' +
          new Set(Array.from({{length: colors.length / 3}}, (_, i) =>
            colors.slice(3 * i, 3 * i + 3).join())).size + ':' + colors.join();
      }}).join(' ');
    """)  # fmt: skip
    shown = [one.split(":") for one in said.split()]
    assert [name for name, _, _ in shown] == kinds
    assert all(int(count) > 1 for _, count, _ in shown)
    assert len({colors for _, _, colors in shown}) == len(kinds)


@needs_browser
def test_box_in_the_camera_view_of_the_cloud_lies_where_projection_says(kitti):
    data = view(kitti, "--results", kitti / "a")
    page = kitti / "out" / "view.html"
    uri = title_after(page, """
      document.querySelector('#sets input').click(); press('c');
      const cloud = View.shownCloud; cloud.rings.forEach((ring) => { ring.visible = false; });
      cloud.points.visible = false; cloud.render(); document.title = cloud.canvas.toDataURL();
    """)  # fmt: skip
    picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
    pixels = np.asarray(picture).astype(int)
    drawn = np.abs(pixels - pixels[0, 0]).sum(axis=2) > 60
    camera = data["frames"][0]["cameras"][0]
    height, width = drawn.shape
    scale = min(height / camera["height"], width / camera["width"])
    lines = np.array(data["frames"][0]["boxes"][1]["lines"][0])
    middles = (lines[:, :2] + lines[:, 2:]) / 2
    center = (np.array([camera["width"], camera["height"]]) - 1) / 2
    places = (middles - center) * scale + np.array([width, height]) / 2
    for x, y in np.rint(places).astype(int):  # within a third of a pixel of the camera
        around = drawn[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        assert around.any(), (x, y)
    assert 0.001 < drawn.mean() < 0.2  # lines, no areas


@needs_browser
def test_long_set_name_is_wrapped_in_its_cell(kitti):
    name = "a_very_long_name_of_a_result_set_without_a_blank_in_it_" * 3
    (kitti / "a").rename(kitti / name)
    view(kitti, "--results", kitti / name)
    said = title_after(kitti / "out" / "view.html", """
      const aside = document.querySelector('aside');
      document.title = [aside.scrollWidth <= aside.clientWidth,
        document.documentElement.scrollWidth <= innerWidth].join();
    """)  # fmt: skip
    assert said == "true,true"


@needs_browser
def test_link_opens_its_frame_colour_and_an_unknown_one_the_first(kitti):
    view(kitti)
    page = kitti / "out" / "view.html"
    state = "frame=000001&color=label"
    said = []
    for link in (state, "frame=x&color=y&view=z"):
        script = f"history.replaceState(null, '', '#{link}');"
        text = page.read_text(encoding="utf-8").replace(
            "<body>", f"<body><script>{script}</script>"
        )
        (page.parent / "link.html").write_text(text, encoding="utf-8")
        said.append(title_after(page.parent / "link.html", """
          document.title = ['frame', 'color'].map((id) => document.getElementById(id).value).join();
        """))  # fmt: skip
    assert said == ["1,label", "0,height"]


@needs_browser
def test_browser_says_how_many_points_are_left_out(kitti):
    view(kitti, "--max-points", 100)
    page, _ = dump(kitti / "out" / "view.html")
    assert "100 of 503 points shown" in page


@needs_browser
def test_browser_forbids_requests_and_its_log_tells(kitti):
    view(kitti)
    _, log = dump(kitti / "out" / "view.html", "fetch('http://127.0.0.1:9/').catch(() => 0)")
    assert ERROR.search(log) and "127.0.0.1:9" in log
