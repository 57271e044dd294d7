"""Many frames with one fault are a few lines; disks without links are worked around or named."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import make_tree

from gemini_det3d.apis.findings import Finding, capped
from gemini_det3d.apis.kitti import convert as convert_module
from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError


@pytest.mark.parametrize("number", [1, 3, 4, 300])
def test_equal_faults_are_three_lines_and_a_count(number: int) -> None:
    found = [Finding("error", f"calib/{i:06d}.txt", f"has {i} values") for i in range(number)]
    lines = capped([*found, Finding("warning", "a", "is alone")])
    assert len(lines) == min(number, 3) + (number > 3) + 1
    assert lines[0] == "error    calib/000000.txt: has 0 values"
    if number > 3:
        assert lines[3] == f"error    ... and {number - 3} more of this kind"
    assert lines[-1] == "warning  a: is alone"


def test_report_of_a_tree_caps_and_counts(tmp_path: Path, capsys) -> None:
    frames = [f"{i:06d}" for i in range(1, 9)]
    tree = make_tree(tmp_path / "tree", train=frames)
    for frame in frames:
        (tree / "training" / "velodyne" / f"{frame}.bin").write_bytes(b"abc")
    assert main(["prepare", "kitti", str(tree), "--check-only", "--jobs", "1"]) == 1
    text = capsys.readouterr().out
    assert text.count("3 bytes are no whole number of points") == 3
    assert "error    ... and 5 more of this kind" in text and "8 errors" in text


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree's disk has no symbolic links; the system's folder for short-lived files has."""
    original = Path.symlink_to

    def refuse(self: Path, *args, **kwargs) -> None:
        if "out" in self.parts or "tree" in self.parts and ".prepare_" not in str(self):
            raise OSError(95, "Operation not supported")
        original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "symlink_to", refuse)


def test_disk_without_links_is_named_before_anything_is_converted(tree, tmp_path, no_links) -> None:
    from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti

    with pytest.raises(FormatError, match=r"out: lies on a disk without symbolic links"):
        prepare_kitti(Options(tree, out=tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.pkl"))


def test_tree_on_such_a_disk_is_prepared_in_place(tree, no_links) -> None:
    pytest.importorskip("mmdet3d")
    assert main(["prepare", "kitti", str(tree), "--jobs", "1"]) == 0
    assert (tree / "kitti_infos_train.pkl").is_file()
    assert not list(tree.glob(".prepare_*")) and not list(tree.glob(".link_*"))


def test_file_is_moved_to_another_disk_whole(tmp_path: Path, monkeypatch) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"points")

    def other_disk(*_) -> None:
        monkeypatch.undo()
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(convert_module.os, "replace", other_disk)
    convert_module._move(source, target)
    assert target.read_bytes() == b"points"
