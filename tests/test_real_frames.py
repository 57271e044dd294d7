"""Three real KITTI frames, learned by heart at the published range and voxel size."""

from __future__ import annotations

import os
import shutil

import pytest
from programs import run_python

from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.apis.kitti.evaluate import evaluate_files

CONFIG = "mvxnet_gemini-point_r18_1xb1-overfit_kitti-3d-3class"


@pytest.fixture(scope="module")
def fitted(shared_dir, tmp_path_factory):
    """Folder with the frames, converted, and the detections of a detector fitted to them."""
    folder = tmp_path_factory.mktemp("real")
    root = folder / "kitti"
    shutil.copytree(shared_dir / "data" / "kitti_mini", root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    run_python("-m", "gemini_det3d.cli", "prepare", "kitti", root, cwd=folder)
    config = folder / "config.py"
    data = f"{root.as_posix()}/"
    config.write_text(
        f"_base_ = [{find_config(CONFIG).as_posix()!r}]\n"
        f"train_dataloader = dict(dataset=dict(dataset=dict(data_root={data!r})))\n"
        f"val_dataloader = dict(dataset=dict(data_root={data!r}))\n"
        "test_dataloader = val_dataloader\n"
        f"val_evaluator = dict(ann_file={data + 'kitti_infos_train.pkl'!r},\n"
        f"    txt_dir={(folder / 'detections').as_posix()!r})\n"
        "test_evaluator = val_evaluator\n"
        "randomness = dict(seed=0)\n"
    )
    script = mmdet3d_mim() / "tools" / "train.py"
    run_python(
        script,
        config,
        "--work-dir",
        folder / "work",
        cwd=folder,
        OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "2"),
    )
    return folder


@pytest.mark.slow
def test_fitted_boxes_sit_on_every_object_that_kitti_counts(fitted):
    result = evaluate_files(
        fitted / "detections",
        fitted / "kitti" / "training" / "label_2",
        classes=("Pedestrian", "Car"),
    ).result
    values = result.as_dict()
    assert values["Pedestrian/3d_AP40_easy_0.50"] == 100
    assert values["Car/3d_AP40_moderate_0.70"] == 100
