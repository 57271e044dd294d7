"""Steps that do not go together are named before the first step of a training."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet3d", exc_type=ImportError)

from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import Box3DMode, LiDARPoints
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch import nn

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.segmentation_sets import DELIVER
from gemini_det3d.engine.pipeline_checks import check_pipelines
from gemini_det3d.formats import FormatError

FLIP = dict(type="mmdet.RandomFlip", prob=1.0)
BOTH = dict(type="RandomFlip3D", flip_ratio_bev_horizontal=0.5)
APART = dict(type="RandomFlip3D", sync_2d=False, flip_ratio_bev_horizontal=0.5)
NEVER = dict(type="RandomFlip3D")
CLASSES = ("Pedestrian", "Cyclist", "Car")


def data(*steps: dict) -> dict:
    init_default_scope("mmdet3d")
    steps_built = Compose([TRANSFORMS.build(step) for step in steps])
    leaf = SimpleNamespace(pipeline=steps_built, metainfo=dict(classes=CLASSES))
    return {"train_dataloader": SimpleNamespace(dataset=leaf)}


def model(coord_type: str = "LIDAR") -> nn.Module:
    found, neck = nn.Module(), nn.Module()
    neck.sampler = SimpleNamespace(coord_type=coord_type)
    found.neck = neck
    return found


@pytest.mark.parametrize("steps", [(FLIP, BOTH), (FLIP, APART), (BOTH, FLIP), (BOTH, BOTH)])
def test_two_flips_of_one_image_are_named(steps: tuple) -> None:
    with pytest.raises(FormatError, match=r"train_dataloader\.dataset\.pipeline: both RandomFlip"):
        check_pipelines(data(*steps), model())


def test_flips_inside_of_test_time_augmentation_are_seen() -> None:
    inside = dict(type="MultiScaleFlipAug3D", img_scale=(9, 9), pts_scale_ratio=1, flip=False,
                  transforms=[FLIP, BOTH])  # fmt: skip
    with pytest.raises(FormatError, match="both RandomFlip and RandomFlip3D flip the image"):
        check_pipelines(data(inside), model())


@pytest.mark.parametrize("steps", [(BOTH,), (APART,), (FLIP,), (FLIP, FLIP), (NEVER, NEVER)])
def test_other_flips_pass(steps: tuple) -> None:
    assert check_pipelines(data(*steps), model()) is None


def test_two_flips_leave_an_image_that_the_metadata_call_flipped() -> None:
    """Why they are refused: what mmdet3d makes of them."""
    flip, both = data(FLIP, APART)["train_dataloader"].dataset.pipeline.transforms
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    cloud = LiDARPoints(torch.ones(2, 3))
    results = both(flip(dict(img=pixels.copy(), img_shape=(2, 4), points=cloud)))
    np.testing.assert_array_equal(results["img"], pixels)
    assert results["flip"]


@pytest.mark.parametrize("kind", ["Resize3D", "RandomResize3D"])
def test_camera_matrix_that_is_scaled_twice_is_named(kind: str) -> None:
    scale = (8, 8) if kind == "Resize3D" else [(8, 8), (9, 9)]
    found = data(dict(type=kind, scale=scale, keep_ratio=True))
    check_pipelines(found, model("LIDAR"))
    with pytest.raises(FormatError, match=f"{kind} rescales cam2img.*; take {kind[:-2]}$"):
        check_pipelines(found, model("CAMERA"))


@pytest.mark.parametrize("names", [["Car"], ["Car", "Cyclist"], ["Pedestrian", "Car"]])
def test_filter_of_names_that_keeps_other_numbers_is_named(names: list) -> None:
    with pytest.raises(FormatError, match=f"ObjectNameFilter names {', '.join(names)}, but goes"):
        check_pipelines(data(dict(type="ObjectNameFilter", classes=names)), model())


@pytest.mark.parametrize("names", [CLASSES, CLASSES[:2], ("Car", "Pedestrian", "Cyclist")])
def test_filter_of_names_that_keeps_them_passes(names: tuple) -> None:
    filters = dict(type="ObjectNameFilter", classes=list(names))
    assert check_pipelines(data(filters), model()) is None


@pytest.mark.parametrize("order", [CLASSES, CLASSES[::-1], ("Cyclist", "Pedestrian", "Car")])
def test_pasted_objects_keep_their_class(tmp_path, order: tuple) -> None:
    (tmp_path / "db.pkl").write_bytes(pickle.dumps({name: [] for name in CLASSES}))
    sampler = dict(data_root="", info_path=str(tmp_path / "db.pkl"), rate=1.0, prepare={},
                   sample_groups=dict(Pedestrian=3), classes=list(order))  # fmt: skip
    step = data(dict(type="ObjectSample", db_sampler=sampler))
    if order[0] == "Pedestrian":
        return check_pipelines(step, model())
    with pytest.raises(FormatError, match=r"ObjectSample gives Pedestrian the number [12]"):
        check_pipelines(step, model())


def test_data_set_that_names_no_classes_passes() -> None:
    """One of somebody's own, around ours."""
    loaders = data(dict(type="ObjectNameFilter", classes=["Car"]))
    del loaders["train_dataloader"].dataset.metainfo
    assert check_pipelines(loaders, model()) is None


@pytest.mark.parametrize(
    "step",
    [dict(type="LoadModalities", max_values=dict(dpeth=10.0)),
     dict(type="SegModalityDropout", prob=dict(lidra=0.3)),
     dict(type="SegModalityDropout", noise_prob=dict(rgb=0.1, evnet=0.3)),
     dict(type="SensorFailure", missing=["dpeth"]),
     dict(type="SensorFailure", noise="low", noisy=["RGB"])],
)  # fmt: skip
def test_a_modality_that_the_set_does_not_have_is_named(step: dict) -> None:
    made = data(step)
    made["train_dataloader"].dataset.published = DELIVER
    said = rf"pipeline: {step['type']} names \w+; the images of .* are rgb, depth, event, lidar"
    with pytest.raises(FormatError, match=said):
        check_pipelines(made, nn.Module())


def test_modalities_that_a_set_has_pass() -> None:
    steps = dict(type="LoadModalities", max_values=dict(lidar=10.0)), dict(type="SensorFailure")
    made = data(*steps, dict(type="SegModalityDropout", prob=0.2))
    made["train_dataloader"].dataset.published = DELIVER
    assert check_pipelines(made, nn.Module()) is None


@pytest.mark.parametrize("frame", ["CAMERA", "DEPTH"])
def test_points_in_another_frame_than_they_are_projected_from_are_named(frame: str) -> None:
    made = data()
    made["train_dataloader"].dataset.box_mode_3d = Box3DMode.LIDAR
    said = f"box_type_3d: has its boxes in the frame LIDAR; model.neck has coord_type='{frame}'"
    with pytest.raises(FormatError, match=said):
        check_pipelines(made, model(frame))
    check_pipelines(made, model("LIDAR"))
    made["train_dataloader"].dataset.box_mode_3d = Box3DMode.CAM
    check_pipelines(made, model("CAMERA"))
