"""``gemini-det3d prepare kitti``: a tree is checked to its end, lists included, and only once."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from kitti_camera import CALIBRATION
from trees import edit, make_tree

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.apis.kitti.prepare import Options, check_tree, prepare_kitti
from gemini_det3d.apis.kitti.splits import read_splits
from gemini_det3d.cli import main
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    Calibration,
    read_objects,
    write_calibration,
    write_objects,
)


def test_checking_goes_on_after_a_bad_file(tree, tmp_path, capsys):
    (tree / "training" / "image_2" / "000001.png").write_bytes(b"no image")
    (tree / "training" / "calib" / "000002.txt").unlink()
    report = tmp_path / "report.json"
    assert prepare_kitti(Options(tree, check_only=True, report=report)) == 1
    data = json.loads(report.read_text())
    files = {f["file"] for f in data["findings"] if f["level"] == "error"}
    assert files == {"training/image_2/000001.png", "training/calib/000002.txt"}
    assert len(data["frames"]) == 3
    text = capsys.readouterr().out
    assert "error    training/calib/000002.txt: no such file" in text
    assert "2 errors" in text


def test_check_only_writes_nothing_into_the_tree(tree):
    before = sorted(tree.rglob("*"))
    assert prepare_kitti(Options(tree, check_only=True)) == 0
    assert sorted(tree.rglob("*")) == before


def test_tree_with_errors_is_not_converted(tree, capsys):
    (tree / "training" / "velodyne" / "000001.bin").write_bytes(b"abc")
    assert prepare_kitti(Options(tree)) == 1
    assert "nothing converted: mend the errors, or leave 1 frames out with --skip-bad" in (
        capsys.readouterr().err
    )
    assert not list(tree.rglob("*.pkl"))


def test_lists_without_bad_frames_lie_beside_those_of_the_tree(tree, monkeypatch, capsys):
    from gemini_det3d.apis.kitti import prepare as module

    asked = []
    monkeypatch.setattr(module, "convert", lambda *args: asked.append(args) or {})
    (tree / "training" / "velodyne" / "000001.bin").write_bytes(b"abc")
    assert prepare_kitti(Options(tree, skip_bad=True)) == 0
    assert asked[0][1].frames == {"train": ["000003"], "val": ["000002"], "test": []}
    assert (tree / "ImageSets" / "train.txt").read_text().split() == ["000001", "000003"]
    assert (tree / "ImageSets_checked" / "train.txt").read_text().split() == ["000003"]
    assert "left out 1 frames with errors (training/000001)" in capsys.readouterr().out


def test_tree_of_bad_frames_is_not_converted_at_all(tree, capsys):
    for path in (tree / "training" / "calib").iterdir():
        path.write_text("")
    assert prepare_kitti(Options(tree)) == 1
    assert capsys.readouterr().err.endswith("nothing converted: mend the errors\n")
    with pytest.raises(FormatError, match="every frame has an error; none is left"):
        prepare_kitti(Options(tree, skip_bad=True))


def test_unchanged_frames_are_taken_from_the_last_report(tree, tmp_path, monkeypatch):
    options = Options(tree, report=tmp_path / "report.json")
    first = check_tree(tree, options, options.report)
    checked = []
    original = FrameChecker.__call__
    monkeypatch.setattr(
        FrameChecker, "__call__", lambda self, task: checked.append(task) or original(self, task)
    )
    again = check_tree(tree, options, options.report)
    assert checked == []
    assert again.to_json() == first.to_json()
    (tree / "training" / "image_2" / "000002.png").write_bytes(b"no image")
    assert check_tree(tree, options, options.report).bad_frames() == {("training", "000002")}
    assert checked == [("training", "000002")]


def test_report_of_another_class_map_is_not_taken_over(tree, tmp_path):
    edit(tree / "training" / "label_2" / "000001.txt", "Car", "auto")
    report = tmp_path / "report.json"
    mapped = Options(tree, report=report, class_map={"auto": "Car"})
    assert not check_tree(tree, mapped, report).bad_frames()
    assert check_tree(tree, Options(tree), report).bad_frames() == {("training", "000001")}


def test_workers_find_what_one_process_finds(tmp_path):
    frames = [f"{i:06d}" for i in range(17)]
    tree = make_tree(tmp_path / "tree", frames)
    (tree / "training" / "velodyne" / "000005.bin").write_bytes(b"abc")
    reports = [check_tree(tree, Options(tree, workers=n)).to_json() for n in (1, 2)]
    assert reports[0] == reports[1]
    assert reports[0]["summary"]["errors"] == 1


def test_labels_that_never_fit_are_an_error_of_the_tree(tmp_path):
    frames = [f"{i:06d}" for i in range(7)]
    tree = make_tree(tmp_path / "tree", frames)
    wrong = Calibration(
        CALIBRATION.p2 * [[3.0], [3.0], [1.0]], np.eye(3), CALIBRATION.tr_velo_to_cam
    )
    for frame in frames:
        write_calibration(tree / "training" / "calib" / f"{frame}.txt", wrong)
    findings = check_tree(tree, Options(tree)).findings
    assert any("labels and calibration do not fit together" in f.fault for f in findings)


def test_class_that_cannot_score_is_said(tree):
    path = tree / "training" / "label_2" / "000002.txt"
    objects = read_objects(path)
    objects.occluded[0] = 3
    write_objects(path, objects)
    faults = [f.fault for f in check_tree(tree, Options(tree)).findings]
    assert any("all 1 'Car' are beyond KITTI's hardest level" in fault for fault in faults)
    assert "no object of class 'Cyclist' in these frames" in faults


@pytest.mark.parametrize(
    ("split", "text", "level", "fault"),
    [
        ("train", "000001\n12\n", "error", "line 2: '12' is no frame of 6 digits"),
        ("train", "000001\n\n000001\n", "warning", "line 3: 000001 is listed twice"),
        ("val", "000001\n", "warning", "1 frames are in train.txt too"),
        ("val", None, "error", "no such file"),
        ("test", None, "warning", "no such file"),
    ],
)
def test_fault_of_a_frame_list_is_named(tree, split, text, level, fault):
    path = tree / "ImageSets" / f"{split}.txt"
    path.unlink() if text is None else path.write_text(text)
    findings = read_splits(tree).findings
    assert [(f.level, f.file) for f in findings] == [(level, f"ImageSets/{split}.txt")]
    assert fault in findings[0].fault


def test_tree_without_lists_or_without_a_folder_is_one_line(tree, tmp_path):
    shutil.rmtree(tree / "ImageSets")
    with pytest.raises(FormatError, match="train.txt: no such file; it lists the frames"):
        prepare_kitti(Options(tree))
    with pytest.raises(FormatError, match="nowhere: no such folder"):
        prepare_kitti(Options(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["Training", "kitti", "training\\image_2"])
def test_tree_whose_folder_has_another_name_is_one_line(tmp_path, capsys, name):
    root = make_tree(tmp_path / "tree")
    (root / "training").rename(root / name)
    assert main(["prepare", "kitti", str(root), "--check-only"]) == 2
    said = capsys.readouterr().err
    assert "training: no such folder (there: ImageSets, " in said and name in said


def test_class_that_mmdet3d_does_not_know_is_refused(tree):
    with pytest.raises(ConfigError, match="class 'Auto' is none of mmdet3d's"):
        prepare_kitti(Options(tree, classes=("Auto",)))


def test_real_frames_pass_the_check(shared_dir):
    root = shared_dir / "data" / "kitti_mini"
    report = check_tree(root, Options(root))
    assert not [f for f in report.all_findings() if f.level == "error"]
    assert not [f for frame in report.frames.values() for f in frame.findings]
    table = report.class_table("train")
    assert {name: entry["count"] for name, entry in table.items()} == {
        "Car": 2, "Cyclist": 1, "Misc": 1, "Pedestrian": 1, "Truck": 1,
    }  # fmt: skip
    assert min(iou for entry in table.values() for iou in entry["iou"]) > 0.85


@pytest.mark.parametrize(
    ("name", "level", "hint"),
    [
        ("Carr", "warning", "; close to it: Car"),
        ("Rickshaw", "warning", ""),
        ("Car", None, ""),
        ("Pedestrin", "error", "; close to it: Pedestrian"),
    ],
)
def test_name_to_be_mapped_that_no_object_has_is_told(tree, name, level, hint):
    report = check_tree(tree, Options(tree, class_map={name: "Car"}))
    found = [(f.level, f.fault) for f in report.all_findings() if "--map-class" in f.fault]
    fault = f"--map-class {name}=Car: no object has this name{hint}"
    assert found == ([(level, fault)] if level else [])
