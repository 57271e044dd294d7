"""Damaged files through the commands: an exit code and lines, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.cli import main
from tests.apis.kitti.trees import make_tree
from tests.formats.test_text import OBJECT
from tests.fuzz.mutations import mutated
from tests.fuzz.test_readers import checkpoint

FILES = {"calib": ".txt", "image_2": ".png", "velodyne": ".bin", "label_2": ".txt"}


@pytest.mark.parametrize("folder", FILES)
def test_check_of_a_frame_finds_damage_and_never_breaks(tmp_path: Path, folder: str) -> None:
    tree = make_tree(tmp_path / "tree")
    path = tree / "training" / folder / f"000001{FILES[folder]}"
    checker = FrameChecker(tree, {})
    good = checker(("training", "000001"))
    number = 0
    for _, content in mutated(path.read_bytes(), [b"\x89PNG\r\n", b"1 2 3"], 36):
        path.write_bytes(content)
        found = checker(("training", "000001"))
        assert all("\n" not in finding.fault for finding in found.findings)
        number += found.findings != good.findings
    assert number >= 10  # damage is found, most of the time


@pytest.mark.parametrize("place", ["found", "label"])
def test_evaluation_of_damaged_files_ends_with_a_code(tmp_path: Path, place: str, capsys) -> None:
    for name, score in (("found", " 0.9"), ("label", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000000.txt").write_text(f"{OBJECT}{score}\n{OBJECT}{score}\n")
    path = tmp_path / place / "000000.txt"
    codes = set()
    for _, content in mutated(path.read_bytes(), [b"\x89PNG\r\n\0"], 36):
        path.write_bytes(content)
        codes.add(main(["eval-kitti", str(tmp_path / "found"), str(tmp_path / "label")]))
        assert "Traceback" not in capsys.readouterr().err
    assert codes == {0, 2}


def test_conversion_of_damaged_checkpoints_ends_with_a_code(tmp_path: Path, capsys) -> None:
    codes = set()
    for _, content in mutated(checkpoint(), [b"\x89PNG\r\n\0", b"PK\x03\x04"], 36):
        (tmp_path / "c.pth").write_bytes(content)
        codes.add(main(["convert-checkpoint", str(tmp_path / "c.pth"), str(tmp_path / "o.pth")]))
        assert "Traceback" not in capsys.readouterr().err
    assert codes <= {1, 2} and 2 in codes
    assert not (tmp_path / "o.pth").exists()
