"""What operating systems leave in a folder of results or labels is no frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from gemini_det3d.apis.eval_kitti import evaluate_files

from gemini_det3d.formats import FormatError

OBJECT = "Car 0.00 0 -1.57 614 181 727 284 1.57 1.73 4.15 1.00 1.75 13.22 -1.62"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, score in (("found", " 0.9"), ("label", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000000.txt").write_text(f"{OBJECT}{score}\n")
    return tmp_path / "found", tmp_path / "label"


@pytest.mark.parametrize(
    "name", ["._000000.txt", ".DS_Store", "Thumbs.db", "desktop.ini", "._x.txt"]
)
@pytest.mark.parametrize("place", [0, 1])
def test_file_of_the_operating_system_changes_nothing(folders, name: str, place: int) -> None:
    before = evaluate_files(*folders, progress=False).as_json()
    (folders[place] / name).write_bytes(b"\x00\x05\x16\x07Mac OS X")
    assert evaluate_files(*folders, progress=False).as_json() == before


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\r\n\r\n"])
@pytest.mark.parametrize("place", [0, 1])
def test_mark_before_the_first_object_loses_none(folders, mark: bytes, place: int) -> None:
    before = evaluate_files(*folders, progress=False).as_json()
    path = folders[place] / "000000.txt"
    path.write_bytes(mark + path.read_bytes())
    assert evaluate_files(*folders, progress=False).as_json() == before


def test_suffix_in_capitals_counts_and_two_files_of_one_frame_are_named(folders) -> None:
    before = evaluate_files(*folders, progress=False).as_json()
    results = folders[0]
    (results / "000000.txt").rename(results / "000000.TXT")
    assert evaluate_files(*folders, progress=False).as_json() == before
    (results / "000000.txt").write_text("")
    with pytest.raises(FormatError, match=r"000000\.txt: is of one frame with .*000000\.TXT"):
        evaluate_files(*folders, progress=False)
