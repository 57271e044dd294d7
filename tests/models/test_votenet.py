"""VoteNet with an image branch: same parameters as mmdet3d's, exact seeds, frames as they come."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import Resize
from mmdet3d.datasets.transforms import GlobalRotScaleTrans, RandomFlip3D
from mmdet3d.registry import MODELS
from mmdet3d.structures import DepthInstance3DBoxes, DepthPoints, Det3DDataSample, PointData
from mmengine.config import Config
from mmengine.structures import InstanceData

from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.formats.sunrgbd import RoomCalibration
from gemini_det3d.geometry import in_view, project
from gemini_det3d.models.metas import image_geometry

TOY = "votenet_gemini-point_r18_1xb4-toy_rooms-6class"
SIZE = (47, 61)  # height, width


def calibration():
    """A camera that looks down by 20 degrees and is turned a little."""
    down, roll = np.radians(20), np.radians(3)
    about_x = np.array([[1, 0, 0], [0, np.cos(down), np.sin(down)],
                        [0, -np.sin(down), np.cos(down)]])  # fmt: skip
    about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0],
                        [-np.sin(roll), 0, np.cos(roll)]])  # fmt: skip
    intrinsics = np.array([[53.0, 0, 31], [0, 53, 24], [0, 0, 1]])
    return RoomCalibration(intrinsics, about_x @ about_y)


def build(name, **changes):
    config = Config.fromfile(find_config(name))
    config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    return MODELS.build(config.model)


def test_baseline_has_the_names_and_shapes_of_mmdet3d_own_model():
    ours = build("votenet_8xb16-36e_sunrgbd-3d-10class").state_dict()
    name = "votenet/votenet_8xb16_sunrgbd-3d.py"
    theirs = MODELS.build(Config.fromfile(mmdet3d_mim() / "configs" / name).model).state_dict()
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in theirs.items()}


def frame(index, num_points=700, num_boxes=2):
    """A room of random points that the camera sees, some of which lie in boxes."""
    generator = torch.Generator().manual_seed(index)
    low, extent = torch.tensor([-1.0, 1.5, -1.2]), torch.tensor([2.0, 2.5, 1.6])
    points = torch.rand(num_points, 3, generator=generator) * extent + low
    points = torch.cat([points, points[:, 2:] + 1.2], dim=1)
    boxes = torch.tensor([[0.2, 2.5, -1.0, 0.8, 0.7, 0.9, 0.3]]).repeat(num_boxes, 1)
    boxes[:, 1] += torch.arange(num_boxes)
    sample = Det3DDataSample()
    sample.set_metainfo(
        dict(
            sample_idx=index, depth2img=calibration().depth2img, scale_factor=(1.0, 1.0),
            flip=False, ori_shape=SIZE, img_shape=SIZE, transformation_3d_flow=[],
            box_type_3d=DepthInstance3DBoxes,
        )
    )  # fmt: skip
    truth = InstanceData(bboxes_3d=DepthInstance3DBoxes(boxes))
    truth.labels_3d = torch.arange(num_boxes) % 6
    sample.gt_instances_3d = truth
    sample.gt_pts_seg = PointData()
    image = torch.randint(0, 255, (3, *SIZE), generator=generator, dtype=torch.uint8)
    return points, image, sample


def batch(*frames, with_image=True):
    points, images, samples = (list(column) for column in zip(*frames))
    inputs = dict(points=points, img=images) if with_image else dict(points=points)
    return dict(inputs=inputs, data_samples=samples)


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return build(TOY)


BATCHES = {
    "two rooms": [frame(0), frame(1)],
    "an empty room": [frame(0), frame(1, num_boxes=0)],
    "only empty rooms": [frame(0, num_boxes=0), frame(1, num_boxes=0)],
}


@pytest.mark.parametrize("with_image", [True, False], ids=["image", "no image"])
@pytest.mark.parametrize("name", BATCHES)
def test_votenet_trains_on_batches_as_they_come(detector, name, with_image):
    model = copy.deepcopy(detector).train()
    data = model.data_preprocessor(batch(*copy.deepcopy(BATCHES[name]), with_image=with_image))
    losses = model(**data, mode="loss")
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    branch = {n for n in reached if n.startswith(("img_backbone", "img_neck"))}
    assert any(n.startswith("backbone.SA_modules.0") for n in reached)
    assert bool(branch) == with_image


def test_votenet_predicts_boxes_of_the_given_kind(detector):
    model = copy.deepcopy(detector).eval()
    with torch.no_grad():
        data = model.data_preprocessor(batch(frame(0), frame(1)))
        results = model(**data, mode="predict")
    assert len(results) == 2
    for result in results:
        found = result.pred_instances_3d
        assert isinstance(found.bboxes_3d, DepthInstance3DBoxes)
        assert len(found.bboxes_3d) == len(found.scores_3d) == len(found.labels_3d)


def test_frame_whose_points_are_masked_has_no_detection_and_no_loss(detector):
    model = copy.deepcopy(detector).eval()
    model.bbox_head.test_cfg.score_thr = 0.0  # whatever the untrained one says
    data = batch(frame(0), frame(1))
    data["data_samples"][1].set_metainfo(dict(sensor_mask=dict(lidar=False)))
    with torch.no_grad():
        results = model(**model.data_preprocessor(copy.deepcopy(data)), mode="predict")
    assert [len(r.pred_instances_3d) > 0 for r in results] == [True, False]
    with pytest.raises(ValueError, match="sample 1 takes its lidar"):
        model(**model.data_preprocessor(data), mode="loss")


def seeds_of(model, frames):
    data = model.data_preprocessor(batch(*frames))
    metas = [sample.metainfo for sample in data["data_samples"]]
    with torch.no_grad():
        features = model.extract_feat({**data["inputs"], "img_metas": metas})
    return features, metas


def test_seeds_outside_the_image_do_not_read_it(detector):
    """A change of the image changes what seeds inside it say, and nothing of those outside."""
    model = copy.deepcopy(detector).eval()
    points, image, sample = frame(0)
    points[: len(points) // 2, 0] += 4.0  # out of the image, to the right
    plain, metas = seeds_of(model, [(points, image, sample)])
    other, _ = seeds_of(model, [(points, 255 - image, sample)])
    neck = model.fusion_layer
    geometry = image_geometry(metas[0], "DEPTH", pixel_offset=neck.sampler.pixel_offset)
    seen = in_view(*project(plain["seed_points"][0], geometry.matrix), *geometry.size)
    changed = (plain["seed_features"] != other["seed_features"])[0].any(dim=0)
    assert 20 < seen.sum() < len(seen) - 20
    assert torch.equal(changed, seen)


def test_votenet_without_image_branch_is_the_points_alone():
    torch.manual_seed(0)
    model = build("votenet_1xb4-toy_rooms-6class").eval()
    features, _ = seeds_of(model, [frame(0)])
    assert "seed_features" not in features


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_backbone": None}, "give both or neither"),
        ({"fusion_layer.out_channels": 48}, "in_channels is 64"),
        ({"fusion_layer.coord_type": "LIDAR"}, "must be 'DEPTH'"),
    ],
)
def test_votenet_refuses_parts_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        build(TOY, **change)


def test_set_abstraction_refuses_sampling_that_has_no_op():
    from gemini_det3d.models import GeminiPointSAModule

    with pytest.raises(ValueError, match="fps_mod"):
        GeminiPointSAModule([3, 5], num_point=7, radius=0.1, num_sample=3, fps_mod=["F-FPS"])


@pytest.mark.parametrize("seed", range(12))
def test_depth_augmentation_is_undone_exactly(seed):
    """Flip x rotate x scale x translate x resize x image flip: every point finds its own pixel.

    The image is augmented for real: its two channels hold each pixel's own column and row.
    """
    rng = np.random.default_rng(seed)
    np.random.seed(seed)
    points = torch.from_numpy(rng.uniform((-1, 2, -1), (1, 4, 0.5), (101, 3)))
    camera = calibration()
    homogeneous = points.numpy() @ camera.depth2img.T
    pixel = homogeneous[:, :2] / homogeneous[:, 2:] - 0.5  # from 1 at centres to 0 at the edge
    width, height = 97, 71
    results = dict(
        points=DepthPoints(points.clone(), points_dim=3),
        img=np.zeros((height, width, 3), np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        depth2img=camera.depth2img,
        bbox3d_fields=[],
    )
    scale = (int(rng.integers(40, 200)), int(rng.integers(40, 200)))
    results = Resize(scale=scale, keep_ratio=False)(results)
    results = RandomFlip3D(
        sync_2d=False, flip_ratio_bev_horizontal=0.5, flip_ratio_bev_vertical=0.5
    )(results)
    results = GlobalRotScaleTrans(
        rot_range=[-3.0, 3.0], scale_ratio_range=[0.5, 1.5], translation_std=[0.3, 0.3, 0.3]
    )(results)
    results["batch_input_shape"] = (256, 256)
    geometry = image_geometry(results, "DEPTH", pixel_offset=(-0.5, -0.5))
    found, depth = project(results["points"].tensor[:, :3], geometry.matrix)
    expected = pixel * np.array(scale) / (width, height)
    if results["flip"]:
        expected[:, 0] = scale[0] - expected[:, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
    np.testing.assert_allclose(depth.numpy(), homogeneous[:, 2], rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_votenet_trains_and_predicts_under_autocast(detector, dtype):
    model = copy.deepcopy(detector).train()
    data = model.data_preprocessor(batch(frame(0), frame(1)))
    with torch.autocast("cpu", dtype):
        losses = model(**data, mode="loss")
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad(), torch.autocast("cpu", dtype):
        results = model.eval()(**data, mode="predict")
    assert all(r.pred_instances_3d.scores_3d.isfinite().all() for r in results)
