"""What editors leave around a text is no text, for every reader; what is no text is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.splits import read_splits
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.kitti import read_objects
from gemini_det3d.formats.segmentation import list_nyudv2
from gemini_det3d.formats.sunrgbd import read_labels
from gemini_det3d.formats.sunrgbd_sensors import read_calibration as read_room_calibration
from gemini_det3d.formats.taskonomy import read_list
from gemini_det3d.formats.text import parse_numbers, read_json, read_lines

OBJECT = "Car 0.00 0 -1.57 614 181 727 284 1.57 1.73 4.15 1.00 1.75 13.22 -1.62"
CALIBRATION = (
    "P2: 700 0 600 0 0 700 180 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
)
MATRICES = {
    "cam2img": [[700, 0, 600], [0, 700, 180], [0, 0, 1]],
    "lidar2cam": [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]],
}
ROOM = "1 0 0 0 1 0 0 0 1\n529.5 0 0 0 529.5 0 365 265 1\n"
ROOM_LABEL = "chair 1 2 3 4 0.1 0.2 0.3 0.4 0.5 0.6 1.0 0.0\n"


def splits(path: Path) -> list[str]:
    (path.parent / "ImageSets").mkdir()
    (path.parent / "ImageSets" / "train.txt").write_bytes(path.read_bytes())
    return read_splits(path.parent).frames["train"]


READERS = {
    "lines": ("one\ntwo words\n", read_lines),
    "objects": (f"{OBJECT}\n{OBJECT}\n", lambda p: vars(read_objects(p))),
    "calibration": (CALIBRATION, lambda p: read_any_calibration(p).lidar2img),
    "splits": ("000001\n000002\n", splits),
    "rows": ("a.png b.png c.png\n", lambda p: [f.name for f in list_nyudv2(p.parent, p.stem)]),
    "list of views": ("a/point_1_view_2\n", read_list),
    "room calibration": (ROOM, lambda p: vars(read_room_calibration(p))),
    "room labels": (ROOM_LABEL, lambda p: vars(read_labels(p))),
    "canonical labels": (f"{OBJECT}\n", lambda p: canonical_labels(p, {}) or f"{OBJECT}\n"),
}  # fmt: skip
CHANGES = {
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "old Mac": lambda text: text.replace("\n", "\r").encode(),
    "trailing blanks": lambda text: text.replace("\n", "  \t\n").encode(),
    "no last end": lambda text: text.rstrip("\n").encode(),
    "blank lines": lambda text: ("\n\n" + text + "\n \n").encode(),
    "all": lambda text: b"\xef\xbb\xbf" + text.replace("\n", " \r\n").encode() + b"\r\n\r\n",
}


def same(first: object, second: object) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    return first == second


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("change", CHANGES)
def test_reader_sees_the_same_whatever_the_editor_left(tmp_path, reader, change) -> None:
    text, read = READERS[reader]
    for folder in ("plain", "changed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plain" / "a.txt").write_bytes(text.encode())
    (tmp_path / "changed" / "a.txt").write_bytes(CHANGES[change](text))
    first, second = (read(tmp_path / folder / "a.txt") for folder in ("plain", "changed"))
    if reader == "lines":
        first, second = ([line for _, line in lines] for lines in (first, second))
    assert same(first, second)


@pytest.mark.parametrize("change", ["byte-order mark", "CRLF", "all"])
def test_json_is_read_the_same(tmp_path: Path, change: str) -> None:
    path = tmp_path / "calib.json"
    path.write_bytes(CHANGES[change](json.dumps(MATRICES, indent=1) + "\n"))
    assert read_any_calibration(path).p2[0, 0] == 700


@pytest.mark.parametrize(
    "write, canonical",
    [(OBJECT + "\n", lambda p: canonical_labels(p, {})), (CALIBRATION, canonical_calibration)],
)
def test_file_with_a_mark_is_rewritten_for_the_converter(tmp_path, write, canonical) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text(write)
    plain.write_text(canonical(plain) or write)
    assert canonical(plain) is None
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    assert canonical(tmp_path / "marked.txt") == plain.read_text()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "encode, fault",
    [
        (lambda text: text.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (lambda text: text.encode("utf-16-le"), "is not a text file"),
        (lambda text: b"\xff" + text.encode(), "is not a text file"),
        (lambda text: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not a text file"),
    ],
)
def test_what_is_no_text_is_one_line(tmp_path: Path, reader: str, encode, fault: str) -> None:
    text, read = READERS[reader]
    (tmp_path / "a.txt").write_bytes(encode(text))
    with pytest.raises(FormatError, match=fault) as error:
        read(tmp_path / "a.txt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", ["1_000", "nan", "inf", "0x1f", "1,5"])
def test_word_that_is_no_plain_number_is_named(word: str) -> None:
    with pytest.raises(FormatError, match=word):
        parse_numbers("a.txt", ["1.0", word], "line 3")


def test_nan_is_no_key_given_twice(tmp_path):
    (tmp_path / "a.json").write_text('{"s": NaN, "t": [1]}')
    assert math.isnan(read_json(tmp_path / "a.json")["s"])
    (tmp_path / "a.json").write_text('{"s": 1, "s": 2}')
    with pytest.raises(FormatError, match="'s' is given twice, with other values"):
        read_json(tmp_path / "a.json")
