"""The viewer of folders of pictures: inputs, truth and predictions side by side."""

from dataclasses import replace

import numpy as np
import pytest
from browser import needs_browser, title_after, view
from PIL import Image

from gemini_det3d.apis.view.pictures import SegmentationFrames
from gemini_det3d.cli import main
from gemini_det3d.datasets.segmentation import NYUDv2SegDataset
from gemini_det3d.datasets.transforms.seg_loading import LoadModalities
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.taskonomy import domain_path, write_png
from gemini_det3d.visualization.page import Picture, PictureFrame, picture_data, render_pictures


@pytest.fixture
def seg(tmp_path):
    """Two frames in NYUDv2's lists; the first two classes side by side."""
    lines = []
    for n in range(2):
        for kind, fill in (("rgb", (9, 99, 9)), ("depth", (5, 5, 5))):
            write_png(tmp_path / kind / f"{n}.png", np.full((8, 12, 3), fill, np.uint8))
        labels = np.zeros((8, 12), np.uint8)
        labels[:, 9:] = 1
        write_png(tmp_path / "label" / f"{n}.png", labels)
        lines.append(f"rgb/{n}.png\tlabel/{n}.png\tdepth/{n}.png\n")
    (tmp_path / "val.txt").write_text("".join(lines))
    return tmp_path


def test_segmentation_folder_shows_inputs_truth_and_shares(seg):
    data = view(seg / "v.html", seg)
    frame = data["frames"][0]
    assert [p["title"] for p in frame["pictures"]] == ["rgb", "depth", "truth"]
    assert [row[1] for row in frame["rows"]] == ["75.0%", "25.0%"] and frame["error"] is None
    assert set(row[0] for row in frame["rows"]) <= set(data["swatches"])


def test_list_with_blanks_in_its_names_and_before_its_lines_is_known(seg):
    text = (seg / "val.txt").read_text()
    for kind in ("rgb", "depth", "label"):
        (seg / kind / "1.png").rename(seg / kind / "a frame.png")
    text = "\n" + "".join(reversed(text.replace("1.png", "a frame.png").splitlines(keepends=True)))
    (seg / "val.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [frame["name"] for frame in view(seg / "v.html", seg)["frames"]] == ["a frame", "0"]


def test_prediction_is_judged_against_the_labelled_pixels(seg):
    class AllFirst:
        modalities = ("rgb",)

        def __call__(self, images):
            assert set(images) == {"rgb"}
            return np.zeros((4, 6), np.uint8)  # half the size: brought to the truth's

    frames = SegmentationFrames([NYUDv2SegDataset(str(seg), "val")], {"m": AllFirst()})
    frame = frames.read_pictures(frames.names[0])
    assert [p.title for p in frame.pictures][-2:] == ["prediction: m", "wrong: m"]
    assert frame.error == 0.25 and "75.0% of the labelled pixels" in frame.summary
    assert [row[2] for row in frame.rows] == ["0.75", "0.00"]
    wrong = frame.pictures[-1].pixels
    assert (wrong[:, 9:] == wrong[0, 9]).all() and (wrong[:, :9] != wrong[0, 9]).any(axis=2).all()


@pytest.mark.parametrize(("value", "shown"), [(1.0, 127), (np.nan, 0)])
def test_images_of_more_bits_are_scaled_as_the_pipeline_scales_them(seg, value, shown):
    (seg / "val.txt").write_text((seg / "val.txt").read_text().replace("depth/0.png", "d.tif"))
    Image.fromarray(np.full((8, 12), value, np.float32)).save(seg / "d.tif")
    load = LoadModalities(max_values={"depth": 2.0}, on_non_finite="zero")
    frames = SegmentationFrames([NYUDv2SegDataset(str(seg), "val", pipeline=[load])])
    _, depth, _ = frames.read_pictures("0").pictures
    assert (depth.pixels == shown).all()
    folder = SegmentationFrames([NYUDv2SegDataset(str(seg), "val")])
    with pytest.raises(FormatError, match=r"d\.tif: .*; view a config whose LoadModalities says"):
        folder.read_pictures("0")


def test_frames_of_one_name_in_two_splits_are_both_there(seg):
    lines = (seg / "val.txt").read_text().replace("rgb/", "train/rgb/").replace("label", "truth")
    (seg / "train.txt").write_text(lines)
    splits = [NYUDv2SegDataset(str(seg), split) for split in ("train", "val")]
    assert SegmentationFrames(splits).names == ["0", "1", "val/0", "val/1"]


def test_taskonomy_folder_shows_every_domain(tmp_path):
    for domain in ("rgb", "normal"):
        path = domain_path(tmp_path, "point_1_view_0", domain)
        write_png(path, np.full((8, 8, 3), 7, np.uint8))
    (tmp_path / "val.txt").write_text("point_1_view_0\n")
    (frame,) = view(tmp_path / "v.html", tmp_path)["frames"]
    assert [p["title"] for p in frame["pictures"]] == ["rgb", "normal"]


def test_results_of_pictures_are_refused(seg, capsys):
    code = main(["view", str(seg), "--results", str(seg), "--out", str(seg / "v.html")])
    assert code == 2 and "--results are of boxes" in capsys.readouterr().err


@needs_browser
def test_picture_that_a_frame_lacks_is_not_the_former_frame_s(tmp_path):
    picture = Picture("rgb", np.full((8, 12, 3), 9, np.uint8))
    frames = [
        PictureFrame("0", [picture, replace(picture, title="b")]),
        PictureFrame("1", [picture]),
    ]
    page = tmp_path / "v.html"
    page.write_text(render_pictures([picture_data(each) for each in frames], (), "t"))
    said = title_after(page, """
      const under = document.getElementById('under'), said = [];
      const say = () => said.push(getComputedStyle(under).display);
      set('right', 'b'); say(); press('ArrowRight'); say(); press('ArrowLeft'); say();
      document.title = said.join(' ');
    """)  # fmt: skip
    assert said == "block none block"


@needs_browser
def test_browser_slides_between_pictures_and_steps_through_frames(seg):
    view(seg / "v.html", seg)
    said = title_after(seg / "v.html", """
      const over = document.getElementById('over'), said = [];
      set('split', 25, 'input'); said.push(over.style.clipPath.replaceAll(' ', '_'));
      set('left', 'depth'); said.push(over.alt); press('x');
      said.push(over.alt, document.getElementById('under').alt);
      press('ArrowRight'); said.push(document.getElementById('frame').value);
      document.title = said.join(' ');
    """)  # fmt: skip
    assert said == "inset(0px_75%_0px_0px) depth truth depth 1"
