"""Wrappers, loops and evaluators of mmengine, mmdet and mmdet3d around our data sets."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("mmdet3d", exc_type=ImportError)

from mmdet3d.registry import DATASETS, MODELS, RUNNERS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti
from gemini_det3d.cli import main
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.formats import FormatError
from tests.apis.kitti.trees import make_tree

TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"


@pytest.fixture(scope="module")
def trees(tmp_path_factory, warm_programs) -> tuple[Path, Path]:
    """Two converted trees that number their frames alike; one has DontCare regions."""
    folder = tmp_path_factory.mktemp("trees")
    first, second = make_tree(folder / "first"), folder / "second"
    assert prepare_kitti(Options(first)) == 0
    shutil.copytree(first, second)
    for path in second.glob("*.pkl"):
        infos = pickle.loads(path.read_bytes())
        infos["metainfo"]["categories"]["DontCare"] = -1  # what the converter writes of such lines
        path.write_bytes(pickle.dumps(infos))
    return first, second


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config.fromfile(find_config(TOY))
    config.work_dir = str(tmp_path / "work")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    config.param_scheduler = []
    init_default_scope("mmdet3d")
    return config


def leaf(config: Config, tree: Path, split: str = "train") -> dict:
    """Our KITTI set on a tree, as the toy config has it."""
    found = copy.deepcopy(config.train_dataloader.dataset.dataset)
    found.update(data_root=f"{tree}/", ann_file=f"kitti_infos_{split}.pkl")
    return found


def concat(config: Config, trees: tuple[Path, Path]) -> dict:
    return dict(type="ConcatDataset", datasets=[leaf(config, tree) for tree in trees],
                ignore_keys=["categories"])  # fmt: skip


WRAPPERS = {
    "concat": concat,
    "repeat of concat": lambda c, t: dict(type="RepeatDataset", times=2, dataset=concat(c, t)),
    "cbgs": lambda c, t: dict(
        type="CBGSDataset",
        dataset={**leaf(c, t[0]), "metainfo": dict(classes=["Car", "Pedestrian"])},
    ),
    "class balanced": lambda c, t: dict(
        type="ClassBalancedDataset", oversample_thr=0.5, dataset=leaf(c, t[0])
    ),
    "concat of repeats": lambda c, t: dict(
        type="ConcatDataset",
        ignore_keys=["categories"],
        datasets=[dict(type="RepeatDataset", times=2, dataset=leaf(c, tree)) for tree in t],
    ),
}


def without_tests(config: Config) -> Config:
    for unused in ("val", "test"):
        for part in (f"{unused}_dataloader", f"{unused}_evaluator", f"{unused}_cfg"):
            config.pop(part, None)
    return config


def test_two_steps_are_trained_by_the_runner_on_a_repeated_concatenation(config, trees) -> None:
    config.train_dataloader.dataset = WRAPPERS["repeat of concat"](config, trees)
    config.train_cfg = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=9)
    runner = build(without_tests(config))
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 2
    assert any((v != before[k]).any() for k, v in runner.model.state_dict().items())


@pytest.mark.parametrize("name", WRAPPERS)
def test_batch_of_a_wrapped_set_gives_losses_and_gradients(config, trees, name) -> None:
    config.train_dataloader.dataset = WRAPPERS[name](config, trees)
    loader = RUNNERS.get("ExactRunner").build_dataloader(config.train_dataloader, seed=0)
    batch = next(iter(loader))
    files = [sample.lidar_path for sample in batch["data_samples"]]
    assert len(files) == 2 and all("velodyne_reduced" in file for file in files)
    model = MODELS.build(config.model).train()
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert torch.isfinite(total) and len(gradients) > 50


def build(config: Config) -> Runner:
    config.experiment_name = Path(config.work_dir).parent.name  # mmengine keeps runners by name
    config.log_level = "ERROR"
    return RUNNERS.build(config)


def test_cbgs_counts_the_classes_of_our_samples(config, trees) -> None:
    config.train_dataloader.dataset = WRAPPERS["cbgs"](config, trees)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    classes = [set(dataset.dataset.get_cat_ids(i)) for i in range(len(dataset.dataset))]
    assert classes == [{0, 1}, {0, 1}]  # a car and a pedestrian in each
    assert len(dataset) and set(dataset.sample_indices) <= {0, 1}


def test_class_without_objects_cannot_be_balanced_and_is_said(config, trees) -> None:
    settings = dict(type="CBGSDataset", dataset=leaf(config, trees[0]))  # there is no cyclist
    with pytest.raises(FormatError, match="kitti_infos_train.pkl: has no object of one of the cl"):
        build_dataset(settings)


def test_samples_of_a_wrapper_are_those_of_what_it_wraps(config, trees) -> None:
    for step in ("GlobalRotScaleTrans", "RandomFlip3D", "PointShuffle", "RandomResize"):
        drop(config, step)
    whole = DATASETS.build(concat(config, trees))
    parts = [DATASETS.build(leaf(config, tree)) for tree in trees]
    plain = [part[i] for part in parts for i in range(len(part))]
    assert len(whole) == len(plain) == 4
    for index, expected in enumerate(plain):
        got = whole[index]
        assert got["data_samples"].lidar_path == expected["data_samples"].lidar_path
        torch.testing.assert_close(got["inputs"]["points"], expected["inputs"]["points"])
        torch.testing.assert_close(
            got["data_samples"].gt_instances_3d.bboxes_3d.tensor,
            expected["data_samples"].gt_instances_3d.bboxes_3d.tensor,
        )


def drop(config: Config, kind: str) -> None:
    pipeline = config.train_dataloader.dataset.dataset.pipeline
    pipeline[:] = [step for step in pipeline if step["type"] != kind]


def test_alignment_is_checked_in_all_sets_of_a_concatenation(config, trees, tmp_path) -> None:
    from gemini_det3d.apis.alignment.samples import augmented_samples

    config.train_dataloader.dataset = concat(config, trees)
    names = [sample.name for sample in augmented_samples(config, 9)]
    assert [Path(name).parents[2].name for name in names] == ["first"] * 2 + ["second"] * 2


@pytest.mark.parametrize("command", ["view", "draw", "eval-robustness", "infer"])
def test_command_reads_a_concatenated_test_set(config, trees, tmp_path, capsys, command) -> None:
    test = [copy.deepcopy(config.test_dataloader.dataset) for _ in trees]
    for dataset, tree in zip(test, trees):
        dataset.update(data_root=f"{tree}/")
    config.test_dataloader.dataset = dict(
        type="ConcatDataset", datasets=test, ignore_keys=["categories"]
    )
    config.test_evaluator.ann_file = str(trees[0] / "kitti_infos_val.pkl")
    file, weights = tmp_path / "c.py", tmp_path / "w.pth"
    config.dump(file)
    torch.save({"state_dict": MODELS.build(config.model).state_dict(), "meta": {}}, weights)
    part, out = trees[0] / "training", str(tmp_path / "out")
    arguments = {
        "view": ["view", str(file), str(weights), "--out", f"{out}.html", "--max-frames", "1"],
        "draw": ["draw", str(file), str(weights), "--out", out, "--frames", "1"],
        "eval-robustness": ["eval-robustness", str(file), str(weights), "--out", out,
                            "--corruptions", "fog", "--severities", "1", "--frames", "1"],
        "infer": ["infer", "--config", str(file), "--checkpoint", str(weights), "--out", out,
                  "--image", str(part / "image_2" / "000001.png"), "--points",
                  str(part / "velodyne" / "000001.bin"), "--calib",
                  str(part / "calib" / "000001.txt")],
    }  # fmt: skip
    code = main(arguments[command])
    assert code == 0, capsys.readouterr().err[-2000:]
