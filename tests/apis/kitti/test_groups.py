"""Conversion in groups gives the files of mmdet3d's converter in one go, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from trees import make_tree

from gemini_det3d.apis.config import mmdet3d_mim

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


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    pytest.importorskip("mmdet3d")
    return staged(tmp_path_factory.mktemp("whole") / "tree", WHOLE)


def staged(root: Path, script: str, *arguments: object) -> Path:
    make_tree(root, train=[f"{i:06d}" for i in (1, 3, 4, 6, 8)], val=("000002", "000005"),
              test=("000001", "000002", "000003"))  # fmt: skip
    run(script, *arguments, mmdet3d_mim(), *(["convert"] if script == RUN else []), root)
    return root


@pytest.mark.parametrize("group", [1, 2, 100])
def test_info_files_are_equal_to_the_byte(whole: Path, tmp_path: Path, group: int) -> None:
    root = tmp_path / "tree"
    for part in ("training", "testing"):
        (root / part / "velodyne_reduced").mkdir(parents=True)
    (root / "v1").mkdir(), (root / "v2").mkdir()
    staged(root, RUN, group)
    for split in ("train", "val", "trainval", "test"):
        name = f"kitti_infos_{split}.pkl"
        assert (root / "v2" / name).read_bytes() == (whole / "v2" / name).read_bytes(), split
    assert len(list((root / "training" / "velodyne_reduced").iterdir())) == 7
    assert len(list((root / "testing" / "velodyne_reduced").iterdir())) == 3
