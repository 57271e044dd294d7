"""The BEV detector on frames as they come: full, empty, with sensors missing, one of six dead."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.structures import InstanceData

from gemini_det3d.apis.config import find_config

SIZE = (64, 96)
LIDAR2IMG = np.array([[48.0, -60, 0, 0], [32, 0, -60, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
NO_CAMERA, NO_LIDAR = dict(camera=[False], lidar=True), dict(camera=[True], lidar=False)


def build(name="bev_gemini-map_r18_1xb2-toy_scenes-3class", **changes):
    torch.manual_seed(0)
    config = Config.fromfile(find_config(name))
    config.merge_from_dict(dict(model=changes))
    return MODELS.build(config.model)


@pytest.fixture(scope="module")
def detector():
    return build()


def frame(num_points: int, num_boxes: int, sample: int, mask=None, num_views: int = 0):
    generator = torch.Generator().manual_seed(sample)
    low, size = torch.tensor([0.0, -10, -2, 0]), torch.tensor([20.0, 20, 2, 1])
    points = torch.rand(num_points, 4, generator=generator) * size + low
    boxes = torch.tensor([[10.0, 0, -1.7, 3.9, 1.6, 1.5, 0.1]]).repeat(num_boxes, 1)
    boxes[:, 0] += 5 * torch.arange(num_boxes)
    data_sample = Det3DDataSample()
    meta = dict(
        sample_idx=sample, lidar2img=LIDAR2IMG, scale_factor=(1.0, 1.0), flip=False,
        ori_shape=SIZE, img_shape=SIZE, transformation_3d_flow=[],
        box_type_3d=LiDARInstance3DBoxes,
    )  # fmt: skip
    if num_views:
        meta.update(lidar2img=ring(num_views), img_aug_matrix=np.stack([np.eye(4)] * num_views))
    if mask is not None:
        meta["sensor_mask"] = mask
    data_sample.set_metainfo(meta)
    truth = InstanceData(bboxes_3d=LiDARInstance3DBoxes(boxes))
    truth.labels_3d = torch.full((num_boxes,), 2)
    data_sample.gt_instances_3d = truth
    shape = (num_views, 3, *SIZE) if num_views else (3, *SIZE)
    image = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
    return points, image, data_sample


def ring(num_views: int) -> np.ndarray:
    """Cameras that look around in equal steps."""
    views = []
    for i in range(num_views):
        c, s = math.cos(2 * math.pi * i / num_views), math.sin(2 * math.pi * i / num_views)
        turn = np.array([[c, s, 0, 0], [-s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        views.append(LIDAR2IMG @ turn)
    return np.stack(views)


def batch(*frames, num_views=0):
    rows = [frame(*f[:2], i, *f[2:], num_views=num_views) for i, f in enumerate(frames)]
    points, images, samples = (list(column) for column in zip(*rows))
    return dict(inputs=dict(points=points, img=images), data_samples=samples)


def train_step(model, data):
    """Losses and gradients of one step from zero."""
    model.train().zero_grad()
    losses = model(**model.data_preprocessor(data, training=True), mode="loss")
    loss, _ = model.parse_losses(losses)
    loss.backward()
    return loss.detach(), losses


def features(model, data):
    model.eval()
    data = model.data_preprocessor(data, training=False)
    with torch.no_grad():
        metas = [sample.metainfo for sample in data["data_samples"]]
        return model.extract_feat(data["inputs"], metas)[1][0]


BATCHES = {
    "full": [(700, 2), (500, 1)],
    "last frame empty": [(700, 2), (0, 0)],
    "no point at all": [(0, 1), (0, 1)],
    "one point, no box": [(1, 0), (0, 0)],
    "one frame without camera": [(700, 2, NO_CAMERA), (500, 1)],
    "no camera": [(700, 2, NO_CAMERA), (500, 1, NO_CAMERA)],
    "first frame without LiDAR": [(700, 2, NO_LIDAR), (500, 1)],
    "no LiDAR": [(700, 2, NO_LIDAR), (500, 1, NO_LIDAR)],
    "one sensor each": [(700, 2, NO_LIDAR), (500, 1, NO_CAMERA)],
}


@pytest.mark.parametrize("frames", BATCHES.values(), ids=BATCHES.keys())
def test_detector_trains_on_any_batch_and_reaches_every_parameter(detector, frames):
    loss, _ = train_step(detector, batch(*frames))
    assert loss.isfinite()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("frames", BATCHES.values(), ids=BATCHES.keys())
def test_detector_predicts_one_result_per_frame(detector, frames):
    detector.eval()
    with torch.no_grad():
        data = detector.data_preprocessor(batch(*frames), training=False)
        results = detector(**data, mode="predict")
    assert len(results) == 2
    assert all(r.pred_instances_3d.bboxes_3d.tensor.isfinite().all() for r in results)


def spoil_image(data):
    data["inputs"]["img"][0] = torch.full((3, *SIZE), math.nan)


def spoil_points(data):
    data["inputs"]["points"][0] = torch.rand(307, 4) * 9


@pytest.mark.parametrize(
    "mask, spoil", [(NO_CAMERA, spoil_image), (NO_LIDAR, spoil_points)], ids=["camera", "LiDAR"]
)
def test_data_of_a_missing_sensor_reach_neither_loss_gradients_nor_statistics(mask, spoil):
    frames = [(700, 2, mask), (500, 1)]
    clean, spoilt = build(), build()
    data = batch(*frames)
    spoil(data)
    expected, _ = train_step(clean, batch(*frames))
    loss, _ = train_step(spoilt, data)
    assert torch.equal(loss, expected)
    for (name, a), b in zip(clean.named_parameters(), spoilt.parameters()):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(clean.named_buffers(), spoilt.buffers()):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("mask", [NO_CAMERA, NO_LIDAR], ids=["camera", "LiDAR"])
def test_missing_sensor_changes_its_own_frame_only(detector, mask):
    both = features(detector, batch((700, 2), (500, 1)))
    without = features(detector, batch((700, 2, mask), (500, 1)))
    torch.testing.assert_close(without[1], both[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(without[0], both[0], atol=1e-3)


def test_frame_without_camera_is_the_lidar_map_alone(detector):
    taken = {}
    hook = detector.pts_fusion_layer.register_forward_hook(
        lambda module, args, out: taken.update(maps=args[0], out=out)
    )
    features(detector, batch((700, 2, NO_CAMERA), (500, 1, NO_LIDAR)))
    hook.remove()
    camera, lidar = taken["maps"]
    assert torch.equal(taken["out"][0], lidar[0])
    assert torch.equal(taken["out"][1], camera[1] * (taken["out"][1] != 0))
    assert not camera[0].any() and not lidar[1].any()


def six(mask=None):
    return batch((700, 2, mask), (500, 1), num_views=6)


def test_one_dead_camera_of_six_leaks_nothing_even_nan():
    dead = dict(camera=[True, True, False, True, True, True], lidar=True)
    clean, spoilt = build(), build()
    data = six(dead)
    images = data["inputs"]["img"][0].float()
    images[2] = math.nan
    data["inputs"]["img"] = [images, data["inputs"]["img"][1].float()]
    expected, _ = train_step(clean, six(dead))
    loss, _ = train_step(spoilt, data)
    assert torch.equal(loss, expected)
    for (name, a), b in zip(clean.named_parameters(), spoilt.parameters()):
        assert torch.equal(a.grad, b.grad), name


def test_one_dead_camera_of_six_leaves_the_others_view_as_it_was(detector):
    maps = []
    hook = detector.view_transform.register_forward_hook(lambda m, args, out: maps.append(out))
    features(detector, six())
    features(detector, six(dict(camera=[True, False, True, True, True, True], lidar=True)))
    hook.remove()
    (full, full_seen), (one_dead, dead_seen) = maps
    # Camera 1 looks to the front left; the half behind the sensor never was in its view.
    lost = full_seen[0] & ~dead_seen[0]
    assert lost.any() and torch.equal(full_seen[1], dead_seen[1])
    assert not (dead_seen & ~full_seen).any()
    y, x = lost.nonzero().unbind(1)
    assert (0.625 * (y + 0.5) - 20 > 0).all() and (x >= 0).all()
    assert torch.equal(full[0][:, :20], one_dead[0][:, :20])  # y < -7 m


def test_auxiliary_losses_of_the_operator_are_in_the_loss():
    model = build(pts_fusion_layer=dict(operator=dict(type="TokenExchangeFusion")))
    _, losses = train_step(model, batch((700, 2), (500, 1)))
    _, plain = train_step(build(), batch((700, 2), (500, 1)))
    assert set(losses) - set(plain) and all("loss" in name for name in set(losses) - set(plain))


def test_depth_that_points_measure_trains_the_camera_alone_too():
    parts = dict(pts_voxel_encoder=None, pts_middle_encoder=None, pts_stem=None)
    lift = dict(depth_loss_weight=0.5, with_lidar_depth=False)
    model = build(**parts, pts_fusion_layer=None, view_transform=lift)
    _, losses = train_step(model, batch((700, 2), (500, 1)))
    assert losses["loss_depth"] > 0 and "loss_depth" not in train_step(build(), batch((700, 2)))[1]


def test_lidar_only_twin_trains_and_does_not_ask_for_images():
    model = build("bev_lidar-only_1xb2-toy_scenes-3class")
    data = batch((700, 2), (500, 1, NO_LIDAR))
    del data["inputs"]["img"]
    loss, _ = train_step(model, data)
    assert loss.isfinite() and not hasattr(model, "pts_fusion_layer")


def test_camera_only_detector_trains_and_reads_no_points():
    model = build(
        pts_voxel_encoder=None, pts_middle_encoder=None, pts_stem=None, pts_fusion_layer=None
    )
    loss, _ = train_step(model, batch((700, 2), (500, 1)))
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "changes, fault",
    [
        (dict(pts_fusion_layer=None), "pts_fusion_layer"),
        (dict(view_transform=None), "pts_fusion_layer"),
        (dict(img_backbone=None), "img_backbone"),
        (dict(pts_middle_encoder=None), "pts_middle_encoder"),
        (dict(pts_backbone=None), "pts_backbone"),
    ],
)
def test_parts_that_make_no_detector_are_refused(changes, fault):
    with pytest.raises(ValueError, match=fault):
        build(**copy.deepcopy(changes))
