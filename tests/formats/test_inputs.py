"""What a command reads, it does not write over."""

from __future__ import annotations

import pytest

from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.inputs import keep_arguments, keep_files, keep_folders


@pytest.fixture
def files(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "link.png").symlink_to(tmp_path / "in" / "a.png")
    return tmp_path


def test_an_input_is_known_through_links_and_other_spellings(files):
    source = files / "in" / "a.png"
    for same in (source, files / "link.png", files / "in" / ".." / "in" / "a.png"):
        with pytest.raises(FormatError, match="is an input and would be overwritten"):
            keep_files([same], [source])
    keep_files([files / "in" / "b.png"], [source])


def test_a_folder_of_inputs_takes_no_results(files):
    source = files / "in" / "a.png"
    for out in (files / "in", files / "in" / ".", files / "out" / ".." / "in"):
        with pytest.raises(FormatError, match="a folder of inputs"):
            keep_folders(out, [source])
        with pytest.raises(FormatError, match="a folder of inputs"):
            keep_folders(out, [files / "in"])
    keep_folders(files / "in" / "out", [files / "in"])
    with pytest.raises(FormatError, match="a folder of inputs"):
        keep_folders(files / "in" / "out", [files / "in"], with_subfolders=True)


def test_json_is_written_over_json_only(files):
    with pytest.raises(FormatError, match="no .json file"):
        keep_arguments({"json": str(files / "in" / "a.png")})
    (files / "old.json").write_text("{}")
    keep_arguments({"json": files / "old.json", "results": files / "in"})
    with pytest.raises(FormatError, match="is an input"):
        keep_arguments({"json": files / "old.json", "results": [files, files / "old.json"]})


@pytest.mark.parametrize("option", ["json", "report", "markdown", "rrd", "target"])
def test_every_file_that_a_command_writes_is_none_that_it_reads(files, option):
    source = files / "in" / "a.png"
    with pytest.raises(FormatError, match="is an input and would be overwritten"):
        keep_arguments({option: source, "split": str(source)})


@pytest.mark.parametrize("option", ["json", "report", "markdown", "rrd"])
def test_file_of_another_kind_is_not_written_over(files, option):
    with pytest.raises(FormatError, match=f"--{option} would overwrite it"):
        keep_arguments({option: files / "in" / "a.png"})


@pytest.mark.parametrize("command", ["convert-checkpoint", "eval-kitti", "eval-sunrgbd"])
def test_commands_end_in_one_line_before_they_start(files, command, capsys):
    source = str(files / "in" / "a.png")
    argv = [command, source, source]
    if command != "convert-checkpoint":
        argv = [command, str(files), str(files), "--json", source]
    assert main(argv) == 2
    assert "overwrit" in capsys.readouterr().err
    assert (files / "in" / "a.png").read_bytes() == b"a"
