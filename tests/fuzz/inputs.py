"""Small good inputs of every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gemini_det3d.apis.config import find_config
from gemini_det3d.apis.robustness_file import VERSION
from gemini_det3d.cli import main
from gemini_det3d.worlds import RoomWorld, make_rooms
from tests.apis.kitti.trees import make_tree
from tests.formats.test_text import OBJECT

DETECTOR = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
SEGMENTOR = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"
TRANSLATOR = "translator_gemini_mit-toy_views-rgb-edge2depth"


def make_inputs(folder: Path) -> None:
    """Write good inputs of every command."""
    from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti

    assert prepare_kitti(Options(make_tree(folder / "tree"))) == 0
    shutil.copy(folder / "tree" / "kitti_infos_train.pkl", folder / "copy.pkl")
    for name, score in (("found", " 0.9"), ("truth", "")):
        (folder / name).mkdir()
        (folder / name / "000001.txt").write_text(f"{OBJECT}{score}\n{OBJECT}{score}\n")
    (folder / "split.txt").write_text("000001\n")
    make_rooms(folder / "rooms", 2, 1, preset=RoomWorld(image_width=61, image_height=47))
    assert main(["prepare", "sunrgbd", str(folder / "rooms"), "--workers", "1"]) == 0
    (folder / "rooms_found").mkdir()
    (folder / "rooms_found" / "000001.txt").write_text("chair 1.0 2.0 3.0 0.6 0.6 1.0 0.1 0.9\n")
    _make_labels(folder / "nyu")
    (folder / "views").mkdir()
    for name, pixels in (("a", np.zeros((64, 64, 3), np.uint8)), ("b", np.eye(64, dtype="u2"))):
        Image.fromarray(pixels).save(folder / "views" / f"{name}.png")
    _make_configs(folder)
    _make_training(folder / "work" / "20260101")
    (folder / "baseline.json").write_text(
        json.dumps(
            {
                "test": {"version": VERSION, "frames": [0], "metric": None, "seed": 0},
                "scores": {"clean": {"0": 50.0}, "fog": {"1": 20.0}},
            }
        )
    )


def make_slow_inputs(folder: Path) -> None:
    """Write those of the commands that only the slow tests spoil: a tree, a run to go on with."""
    from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti

    if (folder / "raw").exists():
        return
    assert prepare_kitti(Options(make_tree(folder / "raw"))) == 0
    (folder / "resumable.py").write_text(
        "_base_ = ['detector.py']\n"
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=1, val_interval=9)\n"
        "param_scheduler = []\n"
        "default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1))\n"
    )
    assert main(["train", str(folder / "resumable.py"), "--work-dir", str(folder / "resumed")]) == 0


def _make_labels(root: Path) -> None:
    for kind in ("rgb", "labels", "depth"):
        (root / kind).mkdir(parents=True)
    lines = []
    for number in range(2):
        pixels = np.arange(24 * 32).reshape(24, 32)
        names = [f"{kind}/{number}.png" for kind in ("rgb", "labels", "depth")]
        Image.fromarray(np.stack([pixels % 251] * 3, 2).astype(np.uint8)).save(root / names[0])
        Image.fromarray((pixels % 40).astype(np.uint8)).save(root / names[1])
        Image.fromarray((pixels * 9).astype(np.uint16)).save(root / names[2])
        lines.append("\t".join(names))
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")


def _make_configs(folder: Path) -> None:
    from mmdet3d.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import gemini_det3d.plugin  # noqa: F401

    init_default_scope("mmdet3d")
    root = f"{folder / 'tree'}/"
    for name, known in (("detector", DETECTOR), ("segmentor", SEGMENTOR),
                        ("translator", TRANSLATOR)):  # fmt: skip
        config = Config.fromfile(find_config(known))
        state = MODELS.build(config.model).state_dict()
        torch.save({"state_dict": state, "meta": {"epoch": 0, "iter": 0}}, folder / f"{name}.pth")
        (folder / f"{name}.py").write_text(f"_base_ = [{find_config(known).as_posix()!r}]\n")
    (folder / "detector.py").write_text(
        f"_base_ = [{find_config(DETECTOR).as_posix()!r}]\n"
        "train_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(dataset=dict(data_root={root!r})))\n"
        "val_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={root!r}))\n"
        "test_dataloader = val_dataloader\n"
        f"val_evaluator = dict(ann_file={root + 'kitti_infos_val.pkl'!r})\n"
        "test_evaluator = val_evaluator\n"
    )
    (folder / "trained.py").write_text(
        "_base_ = ['detector.py']\n"
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=0, val_interval=9)\n"
        "param_scheduler = []\n"
        f"load_from = {str(folder / 'detector.pth')!r}\n"
    )


def _make_training(folder: Path) -> None:
    (folder / "vis_data").mkdir(parents=True)
    lines = [{"lr": 0.1, "loss": 2.0 - step / 9, "epoch": 1, "iter": step, "step": step}
             for step in range(1, 9)]  # fmt: skip
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "vis_data" / "scalars.json").write_text(text + "\n")
    (folder / "vis_data" / "config.py").write_text(
        "train_cfg = dict(max_epochs=2)\nmodel = dict(type='X', parts=[1, 2])\n"
    )
    (folder / f"{folder.name}.log").write_text(
        "2026/01/01 00:00:00 - mmengine - INFO - \nSystem environment:\n    Python: 3\n"
    )
