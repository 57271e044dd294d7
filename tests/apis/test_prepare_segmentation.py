"""``gemini-det3d prepare segmentation``: whole sets are checked before anything is trained."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.apis.findings import Finding
from gemini_det3d.apis.segmentation_set.report import capped
from gemini_det3d.cli import main
from gemini_det3d.datasets.segmentation_sets import NYUDV2_CLASSES
from gemini_det3d.formats.segmentation import deliver_path, write_image

COUNT = 12


@pytest.fixture
def root(tmp_path):
    """NYUDv2 of small frames; the maps count from 0 and hold every class."""
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(COUNT)), ("val", range(COUNT, COUNT + 3))):
        lines = []
        for number in numbers:
            names = [f"{kind}/{number:04d}.png" for kind in ("rgb", "labels", "depth")]
            write_image(tmp_path / names[0], rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
            labels = rng.permutation(768).reshape(24, 32) % 40
            write_image(tmp_path / names[1], labels.astype(np.uint8))
            depth = rng.integers(0, 65536, (24, 32)).astype(np.uint16)
            Image.fromarray(depth).save(_made(tmp_path / names[2]))
            lines.append("\t".join(names))
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    return tmp_path


def _made(path):
    path.parent.mkdir(exist_ok=True)
    return path


def check(root, capsys, *options):
    code = main(["prepare", "segmentation", str(root), "--kind", "nyudv2", "--workers", "1",
                 *options])  # fmt: skip
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_good_set_has_no_finding_and_a_table(root, capsys):
    code, text = check(root, capsys)
    assert code == 0 and "0 errors, 0 warnings" in text
    assert f"{COUNT + 3} frames (train {COUNT}, val 3)" in text and "15 of 32 x 24" in text
    assert all(name in text for name in NYUDV2_CLASSES)


def test_another_numbering_is_found_once_for_the_set_and_named(root, capsys):
    for path in (root / "labels").iterdir():
        write_image(path, np.asarray(Image.open(path)) + 1)
    code, text = check(root, capsys)
    assert code == 1 and "1 errors" in text
    assert "holds 40; the 40 classes are 0 to 39 (first_label=1 would fit); so do 15 of 15" in text
    assert check(root, capsys, "--first-label", "1")[0] == 0


def test_a_set_whose_last_class_never_occurs_beside_0_and_255_is_suspicious(root, capsys):
    for path in (root / "labels").iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[0, 0] = 255
        write_image(path, labels)
    code, text = check(root, capsys, "--first-label", "1")
    assert code == 0 and "if 0 is the class 'wall', first_label=0 is right" in text


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("colour", "labels/0002.png: is colour-coded"),
        ("jpeg", "labels/0002.png: is a JPEG file"),
        ("half", "labels/0002.png: is 16 x 12 pixels, rgb/0002.png is 32 x 24: another resolution"),
        ("cut", "depth/0002.png: is not a readable image"),
        ("missing", "rgb/0002.png: no such file"),
        ("float", "depth/0002.png: holds 32-bit floats"),
    ],
)
def test_every_kind_of_bad_file_is_named(root, capsys, kind, fault):
    labels, depth = root / "labels/0002.png", root / "depth/0002.png"
    if kind == "colour":
        write_image(labels, np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    elif kind == "jpeg":
        Image.open(labels).save(labels, format="JPEG")
    elif kind == "half":
        write_image(labels, np.zeros((12, 16), np.uint8))
    elif kind == "cut":
        depth.write_bytes(depth.read_bytes()[:40])
    elif kind == "missing":
        (root / "rgb/0002.png").unlink()
    else:
        Image.fromarray(np.zeros((24, 32), np.float32)).save(depth, format="TIFF")
    code, text = check(root, capsys)
    assert code == 1 and fault in text, text
    if kind == "float":
        assert check(root, capsys, "--max-values", "depth=10")[0] == 0


@pytest.mark.parametrize(("size", "code"), [((48, 64), 0), ((24, 24), 1)])
def test_events_of_deliver_may_have_another_size_as_its_recipe_resizes_them(
    tmp_path, capsys, size, code
):
    for modality in ("rgb", "depth", "event", "lidar", "labels"):
        place = deliver_path(tmp_path, modality, "sun/train/map", "7_{}_front")
        fill = np.arange(3).repeat(256).reshape(24, 32)
        pixels = fill if modality == "labels" else np.stack([fill * 99] * 3, -1)
        if modality == "event":
            pixels = np.resize(pixels, (*size, 3))
        write_image(place, pixels.astype(np.uint8))
    assert main(["prepare", "segmentation", str(tmp_path), "--kind", "deliver"]) == code
    assert ("not the same view" in capsys.readouterr().out) == bool(code)


def test_one_fault_of_many_frames_is_three_lines_and_a_count(root, capsys):
    for number in range(10):
        (root / f"depth/{number:04d}.png").write_bytes(b"no image")
    code, text = check(root, capsys)
    assert code == 1 and "10 errors" in text
    assert text.count("is not a readable image") == 3
    assert "... and 7 more of this kind" in text


def test_faults_that_differ_in_numbers_only_are_alike():
    findings = [
        Finding("error", f"a{i}.png", f"is {i} x 7 pixels, b{i}.png is 3 x 4") for i in range(9)
    ]
    assert len(capped([*findings, Finding("error", "c", "no such file")])) == 5


def test_a_report_is_taken_over_for_unchanged_files_only(root, capsys, monkeypatch):
    report = root / "report.json"
    assert check(root, capsys, "--report", str(report))[0] == 0
    first = json.loads(report.read_text())
    assert first["summary"]["errors"] == 0 and len(first["frames"]) == COUNT + 3
    path = root / "labels/0003.png"
    os.utime(path, (1, 1))
    seen = []
    from gemini_det3d.apis.segmentation_set.check import SegFrameChecker

    before = SegFrameChecker.__call__

    def counted(self, frame):
        seen.append(frame.name)
        return before(self, frame)

    monkeypatch.setattr(SegFrameChecker, "__call__", counted)
    assert check(root, capsys, "--report", str(report))[0] == 0
    assert seen == ["0003"]
    assert check(root, capsys, "--report", str(report), "--modalities", "rgb")[0] == 0
    assert len(seen) == 1 + COUNT + 3


def test_frames_of_two_splits_are_a_warning(root, capsys):
    (root / "val.txt").write_text((root / "train.txt").read_text())
    code, text = check(root, capsys)
    assert code == 0 and f"split train: shares {COUNT} frames with val (first: 0000)" in text


def change(folder, of):
    for path in folder.iterdir():
        Image.fromarray(of(np.asarray(Image.open(path)))).save(path)


@pytest.mark.parametrize(
    "kind, of, code, said",
    [
        ("labels", lambda a: (a % 2 * 255).astype(np.uint8), 1, "holds 0 and 255 alone, which is"),
        ("depth", lambda a: (a // 8).astype(np.uint16), 0, "no pixel of any image is above 32 of"),
        ("depth", lambda a: a // a.max() * 0 + 9, 0, "depth/0000.png: all pixels are 0.035"),
    ],
)
def test_set_that_loads_and_shows_little_is_told(root, capsys, kind, of, code, said):
    change(root / kind, of)
    found, text = check(root, capsys)
    assert found == code and said in text, text


def test_files_of_other_frames_are_counted(root, capsys):
    lines = (root / "train.txt").read_text().splitlines()
    parts = [line.split("\t") for line in lines]
    shifted = [[a[0], b[1], a[2]] for a, b in zip(parts, parts[1:] + parts[:1])]
    (root / "train.txt").write_text("\n".join("\t".join(row) for row in shifted))
    _, text = check(root, capsys)
    assert f"frame 0000: {COUNT} files have the names of other frames (first: 0001)" in text


def test_list_that_cannot_be_read_is_no_list_that_is_missing(root, capsys):
    path = root / "train.txt"
    path.write_text(path.read_text().replace("\t", ","))
    code, text = check(root, capsys)
    assert code == 2 and "train.txt: line 1: expected 3 paths, got 1" in text
    path.unlink()
    assert check(root, capsys)[0] == 0  # val alone


def test_frames_of_one_name_in_two_lists_are_two(root, capsys):
    for split in ("train", "val"):
        for kind in ("rgb", "labels", "depth"):
            (root / split / kind).mkdir(parents=True)
            source = root / kind / ("0000.png" if split == "train" else f"{COUNT:04d}.png")
            source.rename(root / split / kind / "a.png")
        (root / f"{split}.txt").write_text(
            "\t".join(f"{split}/{kind}/a.png" for kind in ("rgb", "labels", "depth"))
        )
    (root / "train/labels/a.png").write_bytes(b"no image")
    code, text = check(root, capsys)
    assert code == 1 and "train/labels/a.png: is not a readable image" in text
    assert "2 frames (train 1, val 1)" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modalities", "sonar"], "sonar: the set has ['rgb', 'depth']"),
        (["--splits", "test"], "test.txt: no such file"),
        (["--max-values", "depth"], "expected NAME=NUMBER"),
        (["--max-values", "dpeth=10"], "dpeth: the set has ['rgb', 'depth']"),
        (["--max-values", "depth=0"], "depth=0.0 must be a number above 0"),
        (["--max-values", "depth=nan"], "depth=nan must be a number above 0"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_options_that_cannot_be_are_one_line(root, capsys, options, message):
    code, text = check(root, capsys, *options)
    assert code == 2 and message in text and len(text.strip().splitlines()) == 1


def test_a_folder_that_is_no_such_set_is_one_line(tmp_path, capsys):
    for kind in ("nyudv2", "sunrgbd", "deliver"):
        assert main(["prepare", "segmentation", str(tmp_path), "--kind", kind]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_set_without_a_pixel_that_counts_is_an_error(root, capsys):
    for path in (root / "labels").iterdir():
        write_image(path, np.full((24, 32), 255, np.uint8))
    code, text = check(root, capsys)
    assert code == 1 and text.count("no pixel counts: every label is 255") == 2


def test_listed_files_are_found_whatever_the_case_of_their_suffix(root, capsys):
    for path in (root / "labels").iterdir():
        path.rename(path.with_suffix(".PNG"))
    assert check(root, capsys)[0] == 0


def test_two_files_of_one_frame_of_deliver_are_named(tmp_path, capsys):
    for suffix in (".png", ".JPG"):
        place = deliver_path(tmp_path, "rgb", "sun/train/map", "7_{}_front").with_suffix(suffix)
        write_image(place, np.zeros((24, 32, 3), np.uint8))
    assert main(["prepare", "segmentation", str(tmp_path), "--kind", "deliver"]) == 2
    assert "7_rgb_front.png: is of one frame with" in capsys.readouterr().err
