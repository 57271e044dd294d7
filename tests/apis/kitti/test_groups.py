"""Conversion in groups, killed or not: mmdet3d's files in one go, byte for byte.

The trees have no DontCare regions, whose name mmdet3d's files have only by chance.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from trees import make_tree

from gemini_det3d.apis.config import mmdet3d_mim
from gemini_det3d.apis.kitti import convert as converting
from gemini_det3d.apis.kitti.convert_child import _metainfo
from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti
from gemini_det3d.apis.kitti.stage import lock
from gemini_det3d.formats.errors import FormatError

RUN = """
import sys
from gemini_det3d.apis.kitti import convert_child
convert_child._GROUP = int(sys.argv.pop(1))
convert_child.main()
"""
# mmdet3d's own order of things
WHOLE = """
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
mim, root = sys.argv[1:]
package = ModuleType("converters")
package.__path__ = [str(Path(mim) / "tools" / "dataset_converters")]
sys.modules["converters"] = package
converter = import_module("converters.kitti_converter")
update = import_module("converters.update_infos_to_v2")
(Path(root) / "v1").mkdir(); (Path(root) / "v2").mkdir()
converter.create_kitti_info_file(root, "kitti", save_path=f"{root}/v1")
for split in ("train", "val", "trainval", "test"):
    source = f"{root}/v1/kitti_infos_{split}.pkl"
    update.update_pkl_infos("kitti", out_dir=f"{root}/v2", pkl_path=source)
"""

LISTS = {
    "train": [f"{i:06d}" for i in (1, 3, 4, 6, 8)],
    "val": ("000002", "000005"),
    "test": ("000001", "000002", "000003"),
}


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    pytest.importorskip("mmdet3d")
    return staged(tmp_path_factory.mktemp("whole") / "tree", WHOLE)


def staged(root: Path, script: str, *arguments: object) -> Path:
    make_tree(root, **LISTS)
    run(script, *arguments, mmdet3d_mim(), *(["convert"] if script == RUN else []), root)
    return root


@pytest.mark.parametrize("group", [1, 2, 100])
def test_info_files_are_equal_to_the_byte(whole: Path, tmp_path: Path, group: int) -> None:
    root = tmp_path / "tree"
    for part in ("training", "testing"):
        (root / part / "velodyne_reduced").mkdir(parents=True)
    (root / "groups").mkdir()
    staged(root, RUN, group)
    for split in ("train", "val", "trainval", "test"):
        name = f"kitti_infos_{split}.pkl"
        assert (root / "infos" / name).read_bytes() == (whole / "v2" / name).read_bytes(), split
    assert len(list((root / "training" / "velodyne_reduced").iterdir())) == 7
    assert len(list((root / "testing" / "velodyne_reduced").iterdir())) == 3


@pytest.mark.parametrize("has_region", [True, False])
def test_regions_have_a_name_wherever_a_frame_has_one(tmp_path: Path, has_region: bool) -> None:
    """The converter looks at its last frame alone, and ``KittiMetric`` stops at the others."""
    for number, labels in enumerate([[0, -1] if has_region else [0], [2]]):
        frame = {"sample_idx": number, "instances": [{"bbox_label": label} for label in labels]}
        content = {"metainfo": {"categories": {"Car": 2}}, "data_list": [frame]}
        path = tmp_path / "groups" / str(number) / "kitti_infos_train.pkl"
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(content))
    found = _metainfo(tmp_path, ("train",))["categories"]
    assert found == {"Car": 2, "DontCare": -1} if has_region else {"Car": 2}


# Groups of one frame, each of which is noted; the third kills the process where it is told so.
NOTED = """
import os, signal
from pathlib import Path
from gemini_det3d.apis.kitti import convert_child
made, convert_child._GROUP = convert_child._convert_group, 1
notes = Path({notes!r})
def noted(stage, group, result):
    if {kill} and len(notes.read_text().split()) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    made(stage, group, result)
    notes.write_text(notes.read_text() + result.name + "\\n")
convert_child._convert_group = noted
convert_child.main()
"""


def killed(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A tree whose conversion was killed after two groups, and the notes of what was converted."""
    root, notes = tmp_path / "tree", tmp_path / "notes"
    notes.write_text("")
    make_tree(root, **LISTS)
    monkeypatch.setattr(converting, "_CHILD", NOTED.format(notes=str(notes), kill=True))
    with pytest.raises(FormatError, match="ended by signal 9"):
        prepare_kitti(Options(root, workers=1))
    return root, notes


def test_killed_conversion_goes_on_where_it_stopped(whole, tmp_path, monkeypatch, capsys) -> None:
    root, notes = killed(tmp_path, monkeypatch)
    assert not list(root.glob("*.pkl"))
    monkeypatch.setattr(converting, "_CHILD", NOTED.format(notes=str(notes), kill=False))
    assert prepare_kitti(Options(root, workers=1)) == 0
    assert "going on where an earlier run stopped" in capsys.readouterr().out
    assert [int(name) for name in notes.read_text().split()] == [0, 1, 2, 3, 4]  # each once
    for split in ("train", "val", "trainval", "test"):
        name = f"kitti_infos_{split}.pkl"
        assert (root / name).read_bytes() == (whole / "v2" / name).read_bytes(), split
    assert len(list((root / "training" / "velodyne_reduced").iterdir())) == 7
    assert not list(root.glob(".prepare_*"))


def test_conversion_of_changed_files_starts_anew(tmp_path, monkeypatch) -> None:
    pytest.importorskip("mmdet3d")
    root, notes = killed(tmp_path, monkeypatch)
    (old,) = root.glob(".prepare_*")
    label = root / "training" / "label_2" / "000001.txt"
    label.write_text(label.read_text().splitlines()[0] + "\n")
    monkeypatch.setattr(converting, "_CHILD", "raise OSError('disk full')")
    with pytest.raises(FormatError, match="disk full"):
        prepare_kitti(Options(root, workers=1))
    assert not old.exists()


def test_stage_takes_one_process_at_a_time(tmp_path, monkeypatch) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.setattr("gemini_det3d.apis.kitti.stage._PATIENCE_S", 0)
    with lock(tmp_path), pytest.raises(FormatError, match="another conversion is at work there"):
        with lock(tmp_path):
            pass
    with lock(tmp_path):
        pass
