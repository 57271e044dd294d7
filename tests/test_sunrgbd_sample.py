"""The real frame 000017 of SUN RGB-D: points and image belong together, the detector learns it."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from programs import run_python

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.apis.sunrgbd.evaluate import evaluate_room_files
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.kitti import read_image, read_points
from gemini_det3d.formats.sunrgbd import SunInfos, read_results
from gemini_det3d.geometry import project, sample_maps
from gemini_det3d.models.metas import image_geometry
from gemini_det3d.visualization import draw_room_panel

CONFIG = "votenet_gemini-point_r18_1xb1-overfit_sunrgbd-3d-10class"


@pytest.fixture(scope="module")
def root(shared_dir, tmp_path_factory):
    """The frame where mmdet3d's data set class looks for it."""
    folder, sample = tmp_path_factory.mktemp("sunrgbd"), shared_dir / "data" / "sunrgbd_mini"
    for name, target in (
        ("000017.bin", "points/000017.bin"),
        ("000017.jpg", "sunrgbd_trainval/image/000017.jpg"),
        ("sunrgbd_000017_infos.pkl", "sunrgbd_infos_train.pkl"),
    ):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample / name, folder / target)
    return folder


def loaded(root, *steps, colours=True):
    """The frame as mmdet3d's data set gives it after some steps of a pipeline."""
    from mmdet3d.registry import DATASETS

    config = Config.fromfile(find_config(CONFIG))
    init_default_scope("mmdet3d")
    dataset = copy.deepcopy(config.train_dataloader.dataset.dataset)
    points, image = copy.deepcopy(config.train_pipeline[:2])
    if colours:
        points.update(use_dim=6, shift_height=False)
    dataset.update(data_root=f"{root}/", pipeline=[points, image, *steps])
    return DATASETS.build(dataset)[0]


def test_real_points_have_exactly_the_colours_of_their_pixels(root):
    """SUN RGB-D's matrices count pixels from 1: one less is the pixel that coloured the point."""
    frame = loaded(root)
    points = frame["points"].tensor.double().numpy()
    pixel = points[:, :3] @ np.asarray(frame["depth2img"], dtype=np.float64).T
    column, row = np.round(pixel[:, :2] / pixel[:, 2:]).astype(int).T - 1
    height, width = frame["img_shape"]
    assert len(points) == 50_000
    assert column.min() == 0 == row.min() and column.max() < width and row.max() < height
    colours = frame["img"][row, column, ::-1] / 255  # BGR
    assert np.abs(colours - points[:, 3:]).mean() < 1e-4
    beside = frame["img"][row, np.minimum(column + 1, width - 1), ::-1] / 255
    assert np.abs(beside - points[:, 3:]).mean() > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_real_points_find_their_colours_after_augmentation(root, seed):
    """Through mmdet3d's own flips, turns, scales and resize, by the model's own geometry."""
    np.random.seed(seed)
    frame = loaded(
        root,
        dict(type="LoadAnnotations3D"),
        dict(type="Resize", scale=(1095, 795), keep_ratio=True),
        dict(type="RandomFlip3D", sync_2d=False, flip_ratio_bev_horizontal=0.5,
             flip_ratio_bev_vertical=0.5),
        dict(type="GlobalRotScaleTrans", rot_range=[-2.0, 2.0], scale_ratio_range=[0.7, 1.3],
             translation_std=[0.2, 0.2, 0.2]),
    )  # fmt: skip
    size = frame["img_shape"]
    frame["batch_input_shape"] = size
    points = frame["points"].tensor
    image = torch.from_numpy(np.ascontiguousarray(frame["img"][..., ::-1])).permute(2, 0, 1)[None]

    def difference(offset):
        geometry = image_geometry(frame, "DEPTH", pixel_offset=(offset, offset))
        pixels, depth = project(points[:, :3], geometry.matrix)
        assert (depth > 0).all()
        colours = sample_maps([image / 255.0], [pixels], size)
        return float((colours - points[:, 3:]).abs().mean())

    aligned = difference(-0.5)
    assert aligned < 0.01
    assert difference(1.5) > 2 * aligned  # two pixels beside


def test_room_without_furniture_and_room_without_points_load_or_are_named(root, tmp_path):
    copied = tmp_path / "set"
    shutil.copytree(root, copied)
    infos = pickle.loads((copied / "sunrgbd_infos_train.pkl").read_bytes())
    infos["data_list"][0]["instances"] = []
    (copied / "sunrgbd_infos_train.pkl").write_bytes(pickle.dumps(infos))
    annotations = dict(type="LoadAnnotations3D")
    assert len(loaded(copied, annotations)["gt_bboxes_3d"]) == 0
    (copied / "points" / "000017.bin").write_bytes(b"")
    with pytest.raises(FormatError, match=r"000017\.bin: holds 0 points"):
        loaded(copied, annotations)


@pytest.fixture(scope="module")
def fitted(root):
    """Folder with the detections of a fused detector that was fitted to the frame."""
    config = root / "config.py"
    config.write_text(
        f"_base_ = [{find_config(CONFIG).as_posix()!r}]\n"
        f"train_dataloader = dict(dataset=dict(dataset=dict(data_root={f'{root}/'!r})))\n"
        f"val_dataloader = dict(dataset=dict(data_root={f'{root}/'!r}))\n"
        "test_dataloader = val_dataloader\n"
        f"val_evaluator = dict(txt_dir={(root / 'detections').as_posix()!r})\n"
        "test_evaluator = val_evaluator\n"
        "randomness = dict(seed=0)\n"
    )
    script = mmdet3d_mim() / "tools" / "train.py"
    run_python(script, config, "--work-dir", root / "work", cwd=root)
    return root


@pytest.mark.slow
def test_fitted_boxes_sit_on_both_objects_of_the_real_frame(fitted):
    """Bed and night stand, and the picture that shows them."""
    result = evaluate_room_files(
        fitted / "detections", fitted / "sunrgbd_infos_train.pkl", ("bed", "night_stand")
    ).result
    infos = SunInfos(fitted / "sunrgbd_infos_train.pkl")
    found = read_results(fitted / "detections" / "000017.txt")
    panel = draw_room_panel(
        read_image(fitted / "sunrgbd_trainval" / "image" / "000017.jpg"),
        read_points(fitted / "points" / "000017.bin", num_features=6),
        infos.depth2img("000017"),
        found.select(found.scores > 0.5),
        infos.objects("000017"),
    )
    from gemini_det3d.visualization import save_png

    save_png(fitted / "picture.png", panel)
    figures = result.as_dict()
    assert figures["bed_AP_0.50"] == 100
    assert figures["night_stand_AP_0.25"] == 100
    assert set(found.select(found.scores > 0.5).names) == {"bed", "night_stand"}
