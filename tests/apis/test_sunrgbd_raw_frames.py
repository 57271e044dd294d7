"""Two real SUN RGB-D frames in the layout of the MATLAB extraction, through prepare."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.cli import main
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.sunrgbd_infos import SunInfos

STEMS = ("000001", "000003")


@pytest.fixture
def root(shared_dir: Path, tmp_path: Path) -> Path:
    """A copy that prepare may write to, with the lists that the sample lacks."""
    shutil.copytree(shared_dir / "data" / "sunrgbd_raw_mini", tmp_path / "sun")
    folder = tmp_path / "sun" / "sunrgbd_trainval"
    folder.chmod(0o755)
    (folder / "train_data_idx.txt").write_text("1\n")
    (folder / "val_data_idx.txt").write_text("3\n")
    return tmp_path / "sun"


@pytest.fixture
def prepared(root: Path, tmp_path: Path) -> Path:
    assert (
        main(["prepare", "sunrgbd", str(root), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    )
    return tmp_path / "out"


@pytest.mark.parametrize("split, stem", zip(("train", "val"), STEMS))
def test_projected_points_have_the_colours_of_their_pixels(prepared, root, split, stem) -> None:
    infos = SunInfos(prepared / f"sunrgbd_infos_{split}.pkl")
    assert infos.frames == (stem,)
    points = np.fromfile(prepared / "points" / f"{stem}.bin", "<f4").reshape(-1, 6)
    image = read_image(root / "sunrgbd_trainval" / "image" / f"{stem}.jpg")
    pixels = points[:, :3].astype(float) @ infos.depth2img(stem)[:3, :3].T
    column, row = np.round(pixels[:, :2] / pixels[:, 2:]).T.astype(int) - 1
    height, width = image.shape[:2]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    assert inside.mean() > 0.95
    seen = image[row[inside], column[inside]] / 255.0
    difference = np.abs(seen - points[inside, 3:]).mean()
    other = np.abs(seen - np.roll(points[inside, 3:], 997, axis=0)).mean()
    assert difference < 0.02 < 0.1 < other


@pytest.mark.parametrize("split, stem", zip(("train", "val"), STEMS))
def test_boxes_hold_points(prepared: Path, split: str, stem: str) -> None:
    boxes = SunInfos(prepared / f"sunrgbd_infos_{split}.pkl").objects(stem).boxes
    points = np.fromfile(prepared / "points" / f"{stem}.bin", "<f4").reshape(-1, 6)[:, :3]
    assert len(boxes)
    for box in boxes:
        assert (np.abs(points - box[:3]) < np.max(box[3:6]) / 2).all(axis=1).sum() > 50


def test_second_run_reads_nothing_anew(prepared: Path, root: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in (prepared / "points").iterdir()}
    assert main(["prepare", "sunrgbd", str(root), "--out", str(prepared), "--jobs", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (prepared / "points").iterdir()} == before


def test_mirrored_image_is_told_by_the_colours_of_the_points(root: Path, capsys) -> None:
    path = root / "sunrgbd_trainval" / "image" / "000001.jpg"
    mirrored = np.ascontiguousarray(read_image(path)[:, ::-1])
    path.chmod(0o644)
    Image.fromarray(mirrored).save(path, quality=95)
    assert main(["prepare", "sunrgbd", str(root), "--jobs", "1", "--check-only"]) == 1
    found = capsys.readouterr().out
    assert "% from the mirrored one's: was the image flipped?" in found
    assert "1 errors" in found
