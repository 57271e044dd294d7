"""Training and testing by mmdet3d's own scripts, as a user starts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import run_python

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"


@pytest.mark.slow
def test_scenes_train_test_and_sensors(tmp_path):
    cli = ("-m", "gemini_det3d.cli")
    scenes = ("make-scenes", tmp_path / "scenes", "--layout", "deliver")
    run_python(*cli, *scenes, "--train", 8, "--val", 4, "--workers", 1, cwd=ROOT)
    root = f"{tmp_path / 'scenes'}/"
    options = [f"{part}_dataloader.dataset.data_root={root}" for part in ("train", "val", "test")]
    options += [
        "train_cfg.max_epochs=2",
        "train_cfg.val_interval=2",
        "model.autocast_dtype=bfloat16",
    ]
    work = tmp_path / "work"
    options = ["--work-dir", work, "--cfg-options", *options]
    output = run_python("tools/train.py", CONFIG, *options, cwd=ROOT)
    assert "seg/mIoU" in output
    checkpoint = work / "epoch_2.pth"
    output = run_python("tools/test.py", CONFIG, checkpoint, *options, cwd=ROOT)
    assert "seg/mIoU" in output
    out = tmp_path / "sensors.json"
    arguments = (CONFIG, checkpoint, "--data-root", root, "--json", out, "--out", tmp_path)
    output = run_python(*cli, "eval-sensors", *arguments, cwd=ROOT)
    assert "without depth, event, lidar" in output
    assert set(json.loads(out.read_text())["mean"]) >= {"clean", "EMM", "RMM", "NM"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "IoU by class" in page and ">Pedestrian<" in page and "without depth" in page


@pytest.mark.slow
def test_demo_ends_with_tables_and_pictures(tmp_path):
    folders = ("--data", tmp_path / "scenes", "--work-dir", tmp_path / "work")
    sizes = ("--train", 8, "--val", 5, "--epochs", 2)
    output = run_python("-m", "gemini_det3d.cli", "demo-segmentation", *folders, *sizes, cwd=ROOT)
    assert "| all four, dropout | ensemble |" in output
    summary = json.loads((tmp_path / "work" / "summary.json").read_text())
    assert set(summary["metrics"]["all four"]) >= {"clean", "EMM", "RMM", "NM"}
    assert (tmp_path / "work" / "pictures.png").stat().st_size > 10_000
    assert output.rstrip().endswith(f"report: {tmp_path / 'work' / 'report.html'}")
