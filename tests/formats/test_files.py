"""Files are written whole or not at all, and every fault is one line."""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.files import make_folder, require_folder, write_whole
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.kitti import write_points
from gemini_det3d.formats.safe_pickle import load_plain_pickle
from gemini_det3d.formats.segmentation import write_image
from gemini_det3d.formats.sunrgbd_sensors import load_mat
from gemini_det3d.formats.taskonomy import write_png
from gemini_det3d.formats.text import read_text, write_text
from gemini_det3d.visualization import save_png


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"a\n", "a\n", lambda file: file.write(b"a\n")])
def test_content_may_be_bytes_text_or_a_function(tmp_path: Path, content) -> None:
    write_whole(tmp_path / "new" / "a.txt", content)
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"a\n"
    assert listing(tmp_path / "new") == ["a.txt"]


def test_interrupted_write_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def interrupted(file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert path.read_text() == "before"
    assert listing(tmp_path) == ["a.txt"]


def test_file_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"


def test_device_is_written_and_not_replaced() -> None:
    write_whole(os.devnull, "gone")
    assert not Path(os.devnull).is_file()


def test_longest_file_name_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("a" * 255), "x")
    assert listing(tmp_path) == ["a" * 255]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x"),
        lambda path: write_points(path, np.zeros((5, 4))),
        lambda path: write_png(path, np.zeros((3, 5), np.uint8)),
        lambda path: write_image(path, np.zeros((3, 5), np.uint8)),
        lambda path: save_png(path, np.zeros((3, 5, 3), np.uint8)),
    ],
)
class TestFaultsOfEveryWriter:
    def test_folder_under_the_name_is_one_line(self, tmp_path: Path, write) -> None:
        (tmp_path / "a").mkdir()
        with pytest.raises(FormatError, match=r"a: cannot be written \(is a folder\)"):
            write(tmp_path / "a")

    def test_file_in_the_way_is_named(self, tmp_path: Path, write) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(FormatError, match=r"/a: is a file, but a folder is needed"):
            write(tmp_path / "a" / "b" / "c.bin")

    def test_full_disk_is_one_line_and_leaves_nothing(self, tmp_path: Path, write) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            with pytest.raises(FormatError, match=r"a: cannot be written \(File too large\)"):
                write(tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert listing(tmp_path) == []


def test_folder_that_may_not_be_written_to_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root
    with pytest.raises(FormatError, match="may not be written to"):
        make_folder(tmp_path)


EVALUATE = "import sys; from gemini_det3d.cli import main; sys.exit(main(sys.argv[1:]))"
OBJECT = "Car 0.00 0 -1.57 614 181 727 284 1.57 1.73 4.15 1.00 1.75 13.22 -1.62"


def evaluation_command(folder: Path) -> list[str]:
    for name, score in (("label", ""), ("found", " 0.9")):
        (folder / name).mkdir()
        (folder / name / "000000.txt").write_text(OBJECT + score + "\n")
    paths = [str(folder / "found"), str(folder / "label")]
    return [sys.executable, "-c", EVALUATE, "eval-kitti", *paths]


def test_reader_that_has_gone_is_one_line_and_code_2(tmp_path: Path) -> None:
    command = evaluation_command(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        "gemini-det3d eval-kitti: the reader of its output has gone"
    )


def test_full_device_for_the_output_is_one_line_and_code_2(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            evaluation_command(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "gemini-det3d eval-kitti: No space left on device" in done.stderr


def test_file_in_place_of_a_folder_is_named_by_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("train.txt", "1")
    (tmp_path / "notes").write_text("a")
    with pytest.raises(FormatError, match="set.zip: is a file, expected a folder: it is a ZIP"):
        require_folder(tmp_path / "set.zip")
    with pytest.raises(FormatError, match="notes: is a file, expected a folder of labels$"):
        require_folder(tmp_path / "notes", "folder of labels")
    with pytest.raises(FormatError, match="none: no such folder$"):
        require_folder(tmp_path / "none")
    assert require_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "read, fault",
    [(read_text, "is not a text file"), (read_image, "is not a readable image"),
     (load_plain_pickle, "is no readable pickle"), (load_mat, "is not a readable MATLAB file")],
)  # fmt: skip
def test_every_reader_names_an_archive(tmp_path: Path, read, fault: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(bytes(range(256)) * 9, mtime=0))
    with pytest.raises(FormatError, match=rf"a: {fault} \(a gzip archive; unpack it first\)"):
        read(path)
