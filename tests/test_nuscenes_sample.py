"""One real nuScenes sample: boxes fall where its own 2D annotation says, and it can be learnt."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from gemini_det3d.apis.config import find_config
from gemini_det3d.geometry import project
from gemini_det3d.models.metas import view_geometries
from gemini_det3d.visualization import LabeledBoxes, draw_surround_panel

AUGMENTED = "bev_gemini-map_r50_8xb4-20e_nus-3d"
PLAIN = "bev_gemini-map_r18_1xb1-overfit_nus-3d"


@pytest.fixture(scope="module")
def folder(shared_dir):
    return shared_dir / "data" / "nuscenes_mini"


@pytest.fixture(scope="module")
def info(folder):
    with next(folder.glob("*.pkl")).open("rb") as file:
        return pickle.load(file)


def load(name, folder):
    """The config's own training pipeline on the sample."""
    config = Config.fromfile(find_config(name))
    init_default_scope("mmdet3d")
    dataset = config.train_dataloader.dataset
    dataset = dataset.get("dataset", dataset)
    dataset.data_root = f"{folder}/"
    dataset.ann_file = next(folder.glob("*.pkl")).name
    dataset.data_prefix = dict(pts="", sweeps="", img="")
    return config, DATASETS.build(dataset)[0]


def geometries_of(packed):
    meta = packed["data_samples"].metainfo
    shape = packed["inputs"]["img"].shape[-2:]
    return view_geometries(dict(meta, batch_input_shape=shape), num_views=6)


@pytest.mark.parametrize("name", [PLAIN, AUGMENTED])
def test_boxes_project_to_their_annotated_image_centres(folder, info, name):
    np.random.seed(3)
    _, packed = load(name, folder)
    sample = packed["data_samples"]
    centres = sample.gt_instances_3d.bboxes_3d.gravity_center
    cameras = info["data_list"][0]["cam_instances"].values()
    num_matched = 0
    for camera, geometry, image in zip(
        cameras, geometries_of(packed), sample.metainfo["img_aug_matrix"]
    ):
        pixels, depth = project(centres, geometry.matrix)
        for annotated in camera:
            moved = image[:2, :2] @ annotated["center_2d"] + image[:2, 3]
            near = (depth - annotated["depth"]).abs() < 0.05
            off = (pixels[near] - torch.from_numpy(moved)).norm(dim=1)
            num_matched += bool(len(off) and off.min() < 1.0)
            # a box that was filtered (out of range) may have no match; none may lie elsewhere
            assert not len(off) or off.min() < 1.0 or off.min() > 20
    assert num_matched > 40


@pytest.mark.slow
def test_detector_learns_the_sample_and_predicts(folder):
    config, packed = load(PLAIN, folder)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(4):
        data = model.data_preprocessor(pseudo_collate([packed]), training=True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(pseudo_collate([packed]), training=False)
        (result,) = model(**data, mode="predict")
    found = result.pred_instances_3d
    assert found.bboxes_3d.tensor.isfinite().all() and found.bboxes_3d.tensor.shape[1] == 9
    panel = draw_surround_panel(
        [image.permute(1, 2, 0).numpy()[..., ::-1].copy() for image in packed["inputs"]["img"]],
        packed["inputs"]["points"].numpy(),
        [geometry.matrix.numpy() for geometry in geometries_of(packed)],
        LabeledBoxes(found.bboxes_3d.tensor[:, :7].numpy(), ["box"] * len(found.scores_3d)),
        width_px=900,
    )
    assert panel.shape[1] == 900 and panel.std() > 20
