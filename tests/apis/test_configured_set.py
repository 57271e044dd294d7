"""``prepare segmentation --config``: a set of own classes, as a config describes it."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.apis.config import find_config
from gemini_det3d.cli import main
from gemini_det3d.formats.segmentation import write_image

OWN = """
_base_ = {base!r}
given = dict(data_root={root!r}, first_label=1, metainfo=dict(classes={names!r}))
train_dataloader = dict(dataset=given)
val_dataloader = dict(dataset=given)
test_dataloader = val_dataloader
"""
NYUDV2 = "segformer_gemini-pixel_mit-b3_3xb2-300e_nyudv2-40class"


def own_config(root):
    """A set of five classes from 1, in which 0 does not count, and its config."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        names = [f"{kind}/{split}.png" for kind in ("photo", "map", "heat")]
        write_image(root / names[0], rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        write_image(root / names[1], (np.arange(768).reshape(24, 32) % 6).astype(np.uint8))
        write_image(root / names[2], rng.integers(0, 255, (24, 32), dtype=np.uint8))
        (root / f"{split}.txt").write_text("\t".join(names))
    names = ["soil", "leaf", "stem", "fruit", "sky"]
    path = root / "own.py"
    path.write_text(OWN.format(base=str(find_config(NYUDV2)), root=str(root), names=names))
    return path


def test_a_set_of_own_classes_is_checked_by_its_config(tmp_path, capsys):
    root = tmp_path / "set"
    path = own_config(root)
    code = main(["prepare", "segmentation", "--config", str(path), "--workers", "1"])
    text = capsys.readouterr().out
    assert code == 0 and "0 errors, 0 warnings" in text
    assert all(name in text for name in ("soil", "fruit")) and "wall" not in text
    elsewhere = tmp_path / "moved"
    root.rename(elsewhere)
    words = ["prepare", "segmentation", str(elsewhere), "--config", str(elsewhere / "own.py")]
    assert main([*words, "--workers", "1", "--first-label", "0"]) == 1
    assert "holds 5; the 5 classes are 0 to 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["--config", "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"], "is no segmentation set"),
        (["--kind", "nyudv2"], "--kind nyudv2: needs ROOT"),
    ],
)
def test_what_says_no_segmentation_set_is_named(words, said, capsys):
    assert main(["prepare", "segmentation", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_data_sets_of_a_config_that_differ_are_named(tmp_path, capsys):
    root = tmp_path / "set"
    path = own_config(root)
    path.write_text(path.read_text() + "val_dataloader = dict(dataset=dict(data_root='b'))\n")
    assert main(["prepare", "segmentation", "--config", str(path)]) == 2
    assert "val_dataloader.dataset differs from train_dataloader.dataset" in capsys.readouterr().err
