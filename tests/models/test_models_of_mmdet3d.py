"""mmdet3d's own detectors from its own configs, on our ops: a training step and a prediction.

Scenes and grids are small, layers are as configured. Some of mmcv's Python asks for CUDA tensors
before it calls its module (sampling, points in boxes); on a machine without a GPU it gets CPU
tensors from a stand-in of `torch.cuda.IntTensor`, so that what the module does is run all the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet3d", exc_type=ImportError)

from mmdet3d.apis import inference_detector  # noqa: F401  (fills the registries)
from mmdet3d.registry import MODELS
from mmdet3d.structures import (
    CameraInstance3DBoxes,
    DepthInstance3DBoxes,
    Det3DDataSample,
    LiDARInstance3DBoxes,
    PointData,
)
from mmdet3d.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

from gemini_det3d.apis.config import mmdet3d_mim
from gemini_det3d.ops import enable_spconv_on_cpu
from gemini_det3d.ops.mmcv_ext import _ext


@dataclass(frozen=True)
class Model:
    """A config of mmdet3d, cut to a small scene.

    Attributes:
        config: Its path.
        scene: Function that makes inputs and truth.
        changes: Keys of the config -> values.
        numbers: Numbers in lists of the config -> others: extents and sizes of grids.
        has_backward: H3DNet of mmdet3d adds to a ReLU's output in place, which autograd refuses.
    """

    config: str
    scene: Any
    changes: dict[str, Any] = field(default_factory=dict)
    numbers: dict[float, float] = field(default_factory=dict)
    has_backward: bool = True

    def build(self) -> torch.nn.Module:
        config = Config.fromfile(mmdet3d_mim() / "configs" / self.config)
        config.merge_from_dict(self.changes)
        model = _replaced(config.model.to_dict(), self.numbers)
        model.get("backbone", {}).pop("init_cfg", None)  # weights from the network
        torch.manual_seed(0)
        return MODELS.build(ConfigDict(model))


def _replaced(node: Any, numbers: dict[float, float]) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, numbers) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(
            numbers.get(value, value)
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else _replaced(value, numbers)
            for value in node
        )
    return node


def truth(boxes: Any, labels: list[int], **more: Any) -> Det3DDataSample:
    sample = Det3DDataSample(metainfo=dict(box_type_3d=type(boxes), **more))
    sample.gt_instances_3d = InstanceData(bboxes_3d=boxes, labels_3d=torch.tensor(labels))
    sample.gt_pts_seg = PointData()
    return sample


def street(dims: int = 4, code: int = 7) -> tuple[dict, list]:
    """Ground, and three objects with points in and on them."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((3, code), dtype=np.float32)
    boxes[:, :7] = [[8, -3, -1.7, 3.9, 1.6, 1.5, 0.3], [5, 2, -1.7, 0.8, 0.6, 1.7, 1.0],
                    [9, 5, -1.7, 1.8, 0.6, 1.7, -0.5]]  # fmt: skip
    ground = np.column_stack([rng.uniform([0.5, -6], [12.5, 6], (1500, 2)), np.full(1500, -1.7)])
    inside = [b[:3] + [0, 0, b[5] / 2] + rng.uniform(-0.5, 0.5, (150, 3)) * b[3] * 0.4
              for b in boxes[:, :7]]  # fmt: skip
    xyz = np.concatenate([ground, *inside])
    points = np.zeros((len(xyz), dims), dtype=np.float32)
    points[:, :3], points[:, 3] = xyz, rng.uniform(size=len(xyz))
    if dims > 4:
        points[:, 3:] = 0
    boxes_3d = LiDARInstance3DBoxes(torch.from_numpy(boxes), box_dim=code)
    inputs = {"points": [torch.from_numpy(points)] * 2}
    return inputs, [truth(boxes_3d, [2, 0, 1]) for _ in range(2)]


def wide_street() -> tuple[dict, list]:
    return street(dims=5, code=9)


def cars() -> tuple[dict, list]:
    inputs, samples = street()
    for sample in samples:
        sample.gt_instances_3d = sample.gt_instances_3d[:1]
        sample.gt_instances_3d.labels_3d[:] = 0
    return inputs, samples


DEPTH2IMG = np.array([[60.0, 48, 0], [0, 32, -60], [0, 1, 0]])


def room(with_masks: bool = False) -> tuple[dict, list]:
    """A floor and two pieces of furniture; points carry their height."""
    rng = np.random.default_rng(1)
    boxes = np.array([[0.3, 2, 0, 1, 1.2, 0.8, 0.2], [-1, 3, 0, 0.7, 0.6, 1, 0]], dtype=np.float32)
    if with_masks:
        boxes[:, 6] = 0
    floor = np.column_stack([rng.uniform([-2, 1], [2, 4], (1200, 2)), np.zeros(1200)])
    inside = [b[:3] + [0, 0, b[5] / 2] + rng.uniform(-0.5, 0.5, (400, 3)) * b[3:6] * 0.9
              for b in boxes]  # fmt: skip
    xyz = np.concatenate([floor, *inside]).astype(np.float32)
    points = torch.from_numpy(np.column_stack([xyz, xyz[:, 2]]))
    samples = []
    for _ in range(2):
        sample = truth(DepthInstance3DBoxes(torch.from_numpy(boxes)), [1, 3])
        if with_masks:
            instance = torch.tensor([2] * 1200 + [0] * 400 + [1] * 400)
            semantic = torch.tensor([18] * 1200 + [1] * 400 + [3] * 400)
            sample.gt_pts_seg = PointData(pts_instance_mask=instance, pts_semantic_mask=semantic)
        samples.append(sample)
    return {"points": [points] * 2}, samples


def scanned_room() -> tuple[dict, list]:
    return room(with_masks=True)


def room_with_images() -> tuple[dict, list]:
    inputs, samples = room()
    for sample in samples:
        sample.set_metainfo(dict(img_shape=(64, 96), ori_shape=(64, 96), depth2img=DEPTH2IMG,
                                 scale_factor=np.ones(2)))  # fmt: skip
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[10.0, 8, 60, 50]]), labels=torch.tensor([1])
        )
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 96, generator=generator) * 255 for _ in range(2)]
    return {**inputs, "img": images}, samples


def photographs() -> tuple[dict, list]:
    camera = [[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]
    boxes = torch.tensor([[0.5, 1.0, 8, 3.9, 1.5, 1.6, 0.3, 0.1, 0.0]])
    samples = []
    for _ in range(2):
        sample = truth(CameraInstance3DBoxes(boxes, box_dim=9), [0], cam2img=camera,
                       img_shape=(64, 96), ori_shape=(64, 96), scale_factor=1.0)  # fmt: skip
        sample.gt_instances_3d.attr_labels = torch.tensor([0])
        sample.gt_instances_3d.depths = torch.tensor([8.0])
        sample.gt_instances_3d.centers_2d = torch.tensor([[52.0, 39.0]])
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[20.0, 20, 84, 56]]), labels=torch.tensor([0])
        )
        samples.append(sample)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 96, generator=generator) * 255 for _ in range(2)]
    return {"img": images}, samples


VOXELS = {-40.0: -6.4, 40.0: 6.4, 70.4: 12.8, 1600: 256, 1408: 256}
PILLARS = {-39.68: -6.4, 39.68: 6.4, 69.12: 12.8, 496: 80, 432: 80}
NUSCENES = {-51.2: -12.8, 51.2: 12.8, 512: 128}
SMALL_NET = (256, 128, 64, 32)
FEW = {"num_point": 32}
FEW_PROPOSALS = {
    f"model.{part}.{name}": number
    for part in ("train_cfg.rpn_proposal", "test_cfg.rpn")
    for name, number in (("nms_pre", 200), ("nms_post", 16), ("max_num", 16))
}

MODELS_OF_MMDET3D = {
    "PointPillars": Model("pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py",
                          street, numbers=PILLARS),
    "SECOND": Model("second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py", street, numbers=VOXELS),
    "Part-A2": Model("parta2/parta2_hv_secfpn_8xb2-cyclic-80e_kitti-3d-3class.py", street,
                     FEW_PROPOSALS, VOXELS),
    "PV-RCNN": Model("pv_rcnn/pv_rcnn_8xb2-80e_kitti-3d-3class.py", street,
                     {**FEW_PROPOSALS, "model.points_encoder.num_keypoints": 256}, VOXELS),
    "CenterPoint": Model(
        "centerpoint/centerpoint_pillar02_second_secfpn_head-dcn_8xb4-cyclic-20e_nus-3d.py",
        wide_street, numbers=NUSCENES),
    "3DSSD": Model("3dssd/3dssd_4xb4_kitti-3d-car.py", cars,
                   {"model.backbone.num_points": (512, 128, (64, 64)),
                    "model.backbone.fps_sample_range_lists": (-1, -1, (128, -1)),
                    "model.bbox_head.vote_module_cfg.num_points": 64,
                    "model.bbox_head.vote_aggregation_cfg.num_point": 64}),
    "VoteNet": Model("votenet/votenet_8xb16_sunrgbd-3d.py", room,
                     {"model.backbone.num_points": SMALL_NET,
                      "model.bbox_head.vote_aggregation_cfg": FEW}),
    "H3DNet": Model("h3dnet/h3dnet_8xb3_scannet-seg.py", scanned_room,
                    {"model.backbone.backbones.num_points": SMALL_NET,
                     "model.rpn_head.vote_aggregation_cfg": FEW,
                     **{f"model.roi_head.primitive_list.{i}.vote_aggregation_cfg.num_point": 128
                        for i in range(3)},
                     "model.roi_head.bbox_head.num_proposal": 32,
                     "model.roi_head.bbox_head.suface_matching_cfg.num_point": 32 * 6,
                     "model.roi_head.bbox_head.line_matching_cfg.num_point": 32 * 12},
                    has_backward=False),
    "ImVoteNet": Model("imvotenet/imvotenet_stage2_8xb16_sunrgbd-3d.py", room_with_images,
                       {"model.pts_backbone.num_points": SMALL_NET,
                        "model.num_sampled_seed": 128,
                        **{f"model.pts_bbox_heads.{name}.vote_aggregation_cfg": FEW
                           for name in ("joint", "pts", "img")}}),
    "FCOS3D": Model("fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py", photographs,
                    {"model.backbone.depth": 50}),
}  # fmt: skip


@pytest.fixture
def ours(monkeypatch, request):
    """`mmcv.ops` on our module, and the CUDA tensors that its Python makes on the CPU."""
    register_all_modules()
    enable_spconv_on_cpu()
    for name, module in list(sys.modules.items()):
        if name.startswith("mmcv.ops.") and hasattr(module, "ext_module"):
            monkeypatch.setattr(module, "ext_module", _ext)
    if not torch.cuda.is_available():
        for name, dtype in (("IntTensor", torch.int32), ("FloatTensor", torch.float32)):
            monkeypatch.setattr(
                torch.cuda, name, lambda *size, dtype=dtype: torch.empty(size, dtype=dtype)
            )
        monkeypatch.setattr(torch.cuda, "current_device", lambda: -1)


LARGE = ("Part-A2", "PV-RCNN", "H3DNet", "FCOS3D")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name
        for name in MODELS_OF_MMDET3D
    ],
)
def test_detector_of_mmdet3d_trains_and_predicts_on_our_ops(ours, name):
    case = MODELS_OF_MMDET3D[name]
    model = case.build()
    inputs, samples = case.scene()
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)
    losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    assert total.isfinite() and total > 0
    if case.has_backward:
        total.backward()
        trained = [p for p in model.parameters() if p.requires_grad]
        assert trained[0].grad.any()  # it went all the way back
        assert all(p.grad.isfinite().all() for p in trained if p.grad is not None)
    model.eval()
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=False)
    with torch.no_grad():
        found = model(**data, mode="predict")
    assert len(found) == 2 and all(hasattr(each, "pred_instances_3d") for each in found)
