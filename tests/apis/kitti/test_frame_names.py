"""``gemini-det3d prepare kitti``: frames of any number of digits, suffixes in capitals, JPEG."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import BOXES, make_tree

from gemini_det3d.apis.config import find_config
from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.apis.kitti.evaluate import evaluate_files
from gemini_det3d.apis.kitti.prepare import Options, check_tree, prepare_kitti
from gemini_det3d.apis.view.kitti import KittiFrames
from gemini_det3d.cli import main
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import read_objects, read_points, write_objects
from gemini_det3d.formats.kitti_infos import read_infos

# Digits -> frames of train, val and test.
TREES = {
    5: (("00001", "00003"), ("00002",), ("00004",)),
    10: (("0000000001", "1625558832"), ("1625558833",), ()),
}


def spelled(tree: Path, digits: int) -> None:
    """Suffixes in capitals in one tree, a JPEG and spaced labels in the other."""
    if digits == 5:
        for path in [p for part in ("training", "testing") for p in (tree / part).rglob("*.*")]:
            path.rename(path.with_suffix(path.suffix.upper()))
        return
    image = tree / "training" / "image_2" / "1625558832.png"
    Image.open(image).save(image.with_suffix(".jpg"))
    image.unlink()
    label = tree / "training" / "label_2" / "1625558833.txt"
    label.write_text(label.read_text().replace(" ", "  "))  # the converter needs a copy


@pytest.fixture(scope="module", params=TREES)
def prepared(request, tmp_path_factory):
    """A tree, converted beside itself: tree, output, digits."""
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    digits = request.param
    folder = tmp_path_factory.mktemp(f"names_{digits}")
    tree = make_tree(folder / "tree", *TREES[digits])
    spelled(tree, digits)
    arguments = ["prepare", "kitti", str(tree), "--out", str(folder / "out"), "--workers", "1"]
    assert main([*arguments, "--id-digits", str(digits)]) == 0
    return tree, folder / "out", digits


def configured(out: Path, split: str):
    """The toy configuration's data set on a converted tree, its pipeline included."""
    from mmdet3d.registry import DATASETS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import gemini_det3d.plugin  # noqa: F401

    config = Config.fromfile(find_config("mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"))
    init_default_scope("mmdet3d")
    settings = config.val_dataloader.dataset
    settings.update(data_root=str(out), ann_file=f"kitti_infos_{split}.pkl")
    return DATASETS.build(settings)


def test_infos_name_the_files_as_they_are(prepared) -> None:
    tree, out, digits = prepared
    for split, frames in zip(("train", "val", "test"), TREES[digits]):
        infos = read_infos(out / f"kitti_infos_{split}.pkl")
        assert [infos.name_of(frame) for frame in infos.frames] == list(frames)
        assert list(infos.frames) == [int(frame) for frame in frames]


def test_configured_data_set_reads_the_frames_and_their_truth(prepared) -> None:
    tree, out, _ = prepared
    dataset = configured(out, "train")
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        name = Path(info["img_path"]).stem
        assert os.path.samefile(info["img_path"], FrameChecker(tree, {}).path(
            "training", name, "image_2"))  # fmt: skip
        whole = read_points(FrameChecker(tree, {}).path("training", name, "velodyne"))
        reduced = read_points(info["lidar_path"])
        assert "velodyne_reduced" in info["lidar_path"] and 200 < len(reduced) < len(whole)
        sample = dataset[index]
        assert len(sample["inputs"]["points"]) and sample["inputs"]["img"].dim() == 3
        boxes = sample["data_samples"].eval_ann_info["gt_bboxes_3d"].tensor.numpy()
        np.testing.assert_allclose(boxes, BOXES, atol=1e-4)


def test_metric_knows_the_frames_by_their_files(prepared, tmp_path: Path) -> None:
    import torch
    from mmdet3d.structures import LiDARInstance3DBoxes

    from gemini_det3d.evaluation.metrics import KittiDetectionMetric

    tree, out, digits = prepared
    dataset = configured(out, "train")
    metric = KittiDetectionMetric(str(out / "kitti_infos_train.pkl"), txt_dir=str(tmp_path),
                                  label_dir=str(out / "labels"))  # fmt: skip
    metric.dataset_meta = dataset.metainfo
    found = dict(bboxes_3d=LiDARInstance3DBoxes(torch.tensor(BOXES).float()),
                 scores_3d=torch.ones(2), labels_3d=torch.tensor([2, 0]))  # fmt: skip
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        metric.process(None, [dict(pred_instances_3d=found, img_path=sample["img_path"])])
    for frame in TREES[digits][0]:
        objects = read_objects(FrameChecker(tree, {}).path("training", frame, "label_2"))
        write_objects(out / "labels" / f"{frame}.txt", objects)
    assert metric.evaluate(len(dataset))["KITTI/Car/3d_AP40_easy_0.70"] == pytest.approx(100)
    assert sorted(p.stem for p in tmp_path.iterdir()) == sorted(TREES[digits][0])
    evaluation = evaluate_files(tmp_path, out / "kitti_infos_train.pkl", progress=False)
    assert evaluation.missing == () and "Car/3d_AP40_easy_0.70" in evaluation.result.as_dict()
    shown = KittiFrames.of_infos(out / "kitti_infos_train.pkl")
    assert shown.names == list(TREES[digits][0])


def test_second_run_finds_all_results_in_place(prepared, capsys) -> None:
    tree, out, digits = prepared
    assert prepare_kitti(Options(tree, out=out, id_digits=digits)) == 0
    assert "converted before and unchanged since" in capsys.readouterr().out


def test_names_of_another_length_are_refused_with_the_option(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", *TREES[10])
    with pytest.raises(FormatError, match=r"no frame of 6 digits \(where all have 10: --id-digits"):
        check_tree(tree, Options(tree))
    findings = check_tree(tree, Options(tree, id_digits=10)).all_findings()
    assert [f for f in findings if f.level == "error"] == []


@pytest.mark.parametrize("folder, twin", [("image_2", ".PNG"), ("image_2", ".JPG"),
                                          ("velodyne", ".BIN"), ("label_2", ".TXT")])  # fmt: skip
def test_frame_with_two_files_is_refused_and_both_are_named(tmp_path, folder, twin) -> None:
    tree = make_tree(tmp_path / "tree")
    checker = FrameChecker(tree, {})
    path = checker.path("training", "000001", folder)
    path.with_suffix(twin).write_bytes(path.read_bytes())
    if path.samefile(path.with_suffix(twin)):
        pytest.skip("this disk does not tell capitals from small letters")
    (error,) = [f for f in checker(("training", "000001")).findings if f.level == "error"]
    assert error.file.endswith(path.name) and f"000001{twin}; keep one of the two" in error.fault
