"""mmdet3d's own scripts on a small synthetic set: train, resume, test, two processes, infer."""

from __future__ import annotations

import json

import pytest
from programs import run_python, run_warm, warm_python

from docs import code_blocks
from gemini_det3d.apis.config import find_config, mmdet3d_mim

CONFIG = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Four training and two test scenes, converted."""
    folder = tmp_path_factory.mktemp("scenes")
    command = ["-m", "gemini_det3d.cli"]
    run_warm(*command, "make-scenes", folder, "--train", 4, "--val", 2, "--workers", 1, cwd=folder)
    run_warm(*command, "prepare", "kitti", folder, "--workers", 1, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def config(scenes):
    """The toy config on these scenes, one epoch, every option that a user would set."""
    root = f"{scenes.as_posix()}/"
    path = scenes / "config.py"
    path.write_text(
        f"_base_ = [{find_config(CONFIG).as_posix()!r}]\n"
        f"train_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(dataset=dict(data_root={root!r})))\n"
        f"val_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={root!r}))\n"
        "test_dataloader = val_dataloader\n"
        f"val_evaluator = dict(ann_file={root + 'kitti_infos_val.pkl'!r})\n"
        "test_evaluator = val_evaluator\n"
        "param_scheduler = []\n"
        "train_cfg = dict(max_epochs=1, val_interval=1)\n"
        "default_hooks = dict(logger=dict(interval=1))\n"
    )
    return path


@pytest.fixture(scope="session")
def trained(scenes, config):
    """Working directory of a finished training by mmdet3d's unmodified script."""
    work_dir = scenes / "work"
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_python(script, config, "--work-dir", work_dir, cwd=scenes)
    (work_dir / "train.log").write_text(log)
    return work_dir


def test_train_by_mmdet3d_own_script_evaluates_and_saves(trained):
    log = (trained / "train.log").read_text()
    assert "KITTI/Car/3d_AP40_moderate" in log
    assert (trained / "epoch_1.pth").is_file()


def test_train_resumes_where_it_stopped(scenes, config, trained):
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_warm(
        script, config, "--work-dir", trained, "--resume",
        "--cfg-options", "train_cfg.max_epochs=2", cwd=scenes,
    )  # fmt: skip
    assert "resumed epoch: 1" in log and (trained / "epoch_2.pth").is_file()
    assert "Epoch(train) [1]" not in " ".join(log.split())


def test_test_by_mmdet3d_own_script_writes_kitti_text(scenes, config, trained):
    script = mmdet3d_mim() / "tools" / "test.py"
    log = run_warm(
        script, config, trained / "epoch_1.pth", "--work-dir", scenes / "test",
        "--cfg-options", f"test_evaluator.txt_dir={scenes / 'detections'}", cwd=scenes,
    )  # fmt: skip
    assert "KITTI/Car/bev_AP40_moderate" in log
    frames = (scenes / "ImageSets" / "val.txt").read_text().split()
    assert sorted(p.stem for p in (scenes / "detections").glob("*.txt")) == sorted(frames)


def test_two_processes_train_without_cuda_and_without_unused_parameters(scenes, config):
    # Two iterations each: a parameter left unused in the first stops the second.
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_warm(
        "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", script, config,
        "--work-dir", scenes / "two", "--launcher", "pytorch",
        "--cfg-options", "train_dataloader.batch_size=1", cwd=scenes, PYTHON_EXEC=warm_python(),
    )  # fmt: skip
    assert "Epoch(train) [1][2/2]" in " ".join(log.split())
    assert (scenes / "two" / "epoch_1.pth").is_file()


def test_infer_needs_no_info_file(scenes, config, trained):
    frame = (scenes / "ImageSets" / "val.txt").read_text().split()[0]
    folder, out = scenes / "training", scenes / "inferred"
    run_warm(
        "-m", "gemini_det3d.cli", "infer", "--config", config,
        "--checkpoint", trained / "epoch_1.pth",
        "--image", folder / "image_2" / f"{frame}.png",
        "--points", folder / "velodyne" / f"{frame}.bin",
        "--calib", folder / "calib" / f"{frame}.txt",
        "--out", out, "--score-threshold", 0.0, cwd=scenes,
    )  # fmt: skip
    written = sorted(p.suffix for p in out.rglob(f"{frame}*"))
    assert written == [".json", ".png", ".txt"]
    assert json.loads(next(out.rglob(f"{frame}.json")).read_text())


@pytest.mark.parametrize("kind", ["velodyne_reduced/{}.bin", "image_2/{}.png"])
def test_training_names_a_bad_file(scenes, config, kind):
    frame = (scenes / "ImageSets" / "train.txt").read_text().split()[0]
    path = scenes / "training" / kind.format(frame)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2 - 3])
    try:
        log = run_warm(mmdet3d_mim() / "tools" / "train.py", config, "--work-dir", scenes / "bad",
                       cwd=scenes, expect=1)  # fmt: skip
    finally:
        path.write_bytes(good)
    last = log.strip().splitlines()[-1]
    assert "FormatError" in last and path.name in last


@pytest.fixture
def studies(config, trained, tmp_path, monkeypatch):
    """The last blocks of docs/guide/python.md, on the small set, among what they name."""
    (tmp_path / "epoch_6.pth").symlink_to(trained / "epoch_1.pth")
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks("guide/python.md")["Which operator? Does the camera matter?"]
    return [block.replace(CONFIG, config.as_posix()) for block in blocks]


def test_ablation_of_the_python_page_runs(studies, tmp_path):
    names: dict = {}
    exec(studies[0], names)
    assert names["result"].rows[0].name == "real"
    assert (tmp_path / "work_dirs" / "ablation" / "ablation.md").is_file()


@pytest.mark.slow
def test_comparison_of_the_python_page_runs(studies, tmp_path):
    names: dict = {}
    exec(studies[0], names)
    exec(studies[1], names)
    assert len(names["rows"]) == 2 and not any(row.faults for row in names["rows"])
    assert (tmp_path / "work_dirs" / "operators" / "table.md").is_file()
