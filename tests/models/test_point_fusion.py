"""Fusion at the points: the released numbers, and what a point reads."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import MODELS
from point_necks import ASIDE, BEHIND, CHANNELS, SEEN, build, frame

from gemini_det3d.models.checkpoints import convert_released_detector
from gemini_det3d.models.necks.image_sampler import ImageSampler


def test_point_fusion_equals_the_released_module(golden):
    file = golden("point_fusion")
    neck = build(
        img_channels=16,
        pts_channels=24,
        mid_channels=32,
        out_channels=32,
        img_levels=[0, 1, 2],
        outside_image="zeros",
        meta_defaults=dict(img_crop_offset=(0.0, 0.0)),  # which the recorded metadata lack
    )
    neck.load_state_dict(convert_released_detector(file.params))
    images, points = file.list("img_feat"), file.list("points")
    with torch.no_grad():
        (samples,) = neck.sampler([neck.lateral(images)], points, file.metas)
        fused = neck(images, points, file["point_feats"], file.metas)
    # The golden values were projected in float32, ours in float64; the rounding of the former
    # reaches features in proportion to the maps' contrast, so the error is taken relative to it.
    error = (samples.features - file["sampled"]).abs().max() / file["sampled"].abs().max()
    assert error <= 1e-5
    torch.testing.assert_close(fused, file["fused"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("operator", ["GeminiFusion", "SumFusion", "ConcatFusion"])
def test_point_fusion_takes_any_operator_by_one_word(meta, operator):
    neck = build(operator=dict(type=operator, num_heads=4)).train()
    neck(*frame(meta, [[SEEN, ASIDE, SEEN]])).square().sum().backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_point_fusion_sum_equals_mmdet3d_point_fusion(meta):
    theirs = MODELS.build(dict(type="PointFusion", align_corners=False, **CHANNELS)).eval()
    theirs.init_weights()
    ours = build(operator=dict(type="SumFusion"), outside_image="zeros")
    ours.load_state_dict({**ours.state_dict(), **theirs.state_dict()})
    inputs = frame({**meta, "input_shape": (64, 96)}, [[SEEN, ASIDE, SEEN]])
    torch.testing.assert_close(ours(*inputs), theirs(*inputs))


@pytest.mark.parametrize("unseen", [BEHIND, ASIDE])
def test_point_fusion_reads_no_image_where_the_camera_sees_nothing(meta, unseen):
    neck = build()
    images, points, feats, metas = frame(meta, [[SEEN, unseen]])
    before = neck(images, points, feats, metas)
    after = neck([torch.full_like(m, torch.nan) for m in images], points, feats, metas)
    assert before[0].isfinite().all() and not after[0].isfinite().all()
    assert torch.equal(before[1], after[1])


def test_point_fusion_as_released_reads_mirrored_pixels_behind_the_camera(meta):
    neck = build(outside_image="zeros")
    images, points, _, metas = frame(meta, [[SEEN, BEHIND]])
    (samples,) = neck.sampler([neck.lateral(images)], points, metas)
    torch.testing.assert_close(samples.features[0], samples.features[1])


def test_point_fusion_without_an_image_equals_every_point_unseen(meta):
    neck = build()
    images, points, feats, metas = frame(meta, [[BEHIND, ASIDE, BEHIND]])
    assert torch.equal(neck(None, points, feats, metas), neck(images, points, feats, metas))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("first", [[], [SEEN], [ASIDE], [SEEN, SEEN]])
@pytest.mark.parametrize("last", [[], [SEEN]])
def test_point_fusion_handles_few_points_and_every_parameter_gets_a_gradient(
    meta, first, last, mode
):
    neck = build()
    getattr(neck, mode)()
    fused = neck(*frame(meta, [first, last], batch=2))
    assert fused.shape == (len(first) + len(last), 8) and fused.isfinite().all()
    fused.square().sum().backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_point_fusion_statistics_come_from_seen_points_only(meta):
    neck = build().train()
    images, points, feats, metas = frame(meta, [[SEEN, [5.0, 1.0, 0.0], [6.0, 2.0, 1.0]]])
    neck(images, points, feats, metas)
    alone = neck.img_transform[1].running_mean.clone()
    again = build().train()
    again.load_state_dict({**neck.state_dict(), **fresh_statistics(again)})
    more = [torch.cat([points[0], torch.tensor([BEHIND, ASIDE])])]
    again(images, more, torch.cat([feats, feats[:2]]), metas)
    torch.testing.assert_close(again.img_transform[1].running_mean, alone)


def fresh_statistics(neck):
    return {n: b for n, b in neck.state_dict().items() if "running" in n or "num_batches" in n}


def test_point_fusion_names_a_missing_projection(meta):
    neck = build()
    del meta["lidar2img"]
    with pytest.raises(KeyError, match="lidar2img"):
        neck(*frame(meta, [[SEEN]]))


@pytest.mark.parametrize(
    "options, word",
    [
        (dict(img_channels=[5, 5, 5]), "img_channels"),
        (dict(fuse_out=True, mid_channels=16), "mid_channels"),
        (dict(outside_image="mirror"), "outside_image"),
        (dict(coord_type="RADAR"), "coord_type"),
        (dict(operator=dict(type="GeminiFusion", num_heads=3)), "num_heads"),
        (
            dict(operator=dict(type="SparseEncoder", in_channels=4, sparse_shape=[3, 3, 3])),
            "operator",
        ),
        (dict(operator=dict(num_heads=4)), "type"),
    ],
)
def test_point_fusion_rejects_wrong_arguments_when_it_is_built(options, word):
    with pytest.raises(Exception, match=word):
        build(**options)


@pytest.mark.parametrize(
    "options",
    [
        dict(lateral_conv=False),
        dict(fuse_out=True),
        dict(activate_out=False),
        dict(aligned=False, padding_mode="border"),
        dict(dropout_ratio=0.5),
        dict(img_channels=[5, 5], norm_cfg=dict(type="BN"), act_cfg=dict(type="ReLU")),
    ],
)
def test_point_fusion_takes_the_options_of_mmdet3d_point_fusion(meta, options):
    fused = build(**options).train()(*frame(meta, [[SEEN, ASIDE, [6.0, 2.0, 1.0]]]))
    assert fused.shape == (3, 8) and fused.isfinite().all()


def test_one_sampler_gives_each_neck_what_it_would_read_alone(meta):
    necks = [build(), build(mid_channels=3, out_channels=16)]
    images, points, _, metas = frame(meta, [[SEEN, ASIDE], [[6.0, 2.0, 1.0]]], batch=2)
    shared = necks[0].sampler([neck.lateral(images) for neck in necks], points, metas)
    for neck, samples in zip(necks, shared):
        (alone,) = neck.sampler([neck.lateral(images)], points, metas)
        torch.testing.assert_close(samples.features, alone.features)
        assert torch.equal(samples.valid, alone.valid)
        assert torch.equal(samples.seen, torch.tensor([0, 2]))


@pytest.mark.parametrize(
    "change",
    [dict(meta_defaults=dict(flip=True)), dict(pixel_offset=(0.5, 0.5)), dict(img_levels=[1, 0])],
    ids=str,
)
def test_samplers_differ_where_any_value_does(change):
    defaults = dict(meta_defaults=dict(flip=False))
    assert build(**defaults).sampler == build(**defaults).sampler
    assert build(**{**defaults, **change}).sampler != build(**defaults).sampler


def test_points_at_the_edge_of_the_image_read_it_undimmed_with_a_border(meta):
    """A map of ones says one everywhere; zeros beside it, as released, are mixed in."""
    meta.update(img_shape=(60, 80), batch_input_shape=(60, 80))
    maps = [torch.ones(1, 3, 15, 20), torch.ones(1, 2, 3, 4)]
    points = torch.tensor([[10.0, 39.9, 0.0], [10.0, -39.9, 29.9], [10.0, 0.0, -29.9]])
    for padding in ("border", "zeros"):
        sampler = ImageSampler((0, 1), padding_mode=padding, align_corners=False)
        (samples,) = sampler([maps], [points], [meta])
        assert samples.valid is None  # the camera sees all
        assert (samples.features > 0.99).all() == (padding == "border")


def test_frames_of_a_batch_read_what_each_would_alone(meta):
    other = {**meta, "scale_factor": (0.5, 0.5), "img_shape": (30, 40), "flip": True}
    neck = build()
    images, points, _, _ = frame(meta, [[SEEN, ASIDE], [], [[6.0, 2.0, 1.0], SEEN]], batch=3)
    metas = [meta, other, other]
    (together,) = neck.sampler([neck.lateral(images)], points, metas)
    for b, features in enumerate(together.features.split(together.counts)):
        (alone,) = neck.sampler(
            [neck.lateral([m[b : b + 1] for m in images])], points[b : b + 1], metas[b : b + 1]
        )
        torch.testing.assert_close(features, alone.features)


def test_what_is_no_tensor_is_named(meta):
    images, points, feats, metas = frame(meta, [[SEEN, ASIDE]])
    neck, array = build(), feats.numpy()
    with pytest.raises(TypeError, match=r"PointFusionNeck: pts_feats must be a torch\.Tensor"):
        neck(images, points, array, metas)
    with pytest.raises(TypeError, match=r"img_feats\[1\] must be a torch\.Tensor, got None"):
        neck([images[0], None], points, feats, metas)
    with pytest.raises(TypeError, match=r"pts\[0\] must be a torch\.Tensor, got ndarray"):
        neck(images, [points[0].numpy()], feats, metas)


def test_clouds_of_more_frames_than_there_is_metadata_of_are_refused(meta):
    images, points, feats, metas = frame(meta, [[SEEN, ASIDE]])
    with pytest.raises(ValueError, match="points are 2 clouds, img_metas of 1 frames"):
        build()(images, points * 2, torch.cat([feats, feats]), metas)


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(img_channels=6), r"img_channels=\[6, 6\], and the maps at .*\[0, 1\] have \[5, 5\]"),
        (dict(img_levels=[0, 2]), r"img_levels=\[0, 2\], and there are 2 "),
        (dict(img_levels=[0, -3]), r"img_levels=\[0, -3\], and there are 2 "),
    ],
)
def test_maps_that_are_not_those_of_the_arguments_are_named(change, said):
    maps = [torch.zeros(1, 5, 8, 16), torch.zeros(1, 5, 4, 8)]
    with pytest.raises(ValueError, match=said):
        build(**change)(maps, [torch.zeros(3, 4)], torch.zeros(3, 7), [{}])


def test_calibration_of_a_camera_that_is_gone_is_not_asked_for(meta):
    neck = build()
    images, points, feats, _ = frame(meta, [[SEEN, ASIDE], [SEEN]], batch=2)
    gone = {key: value for key, value in meta.items() if key != "lidar2img"}
    gone["sensor_mask"] = dict(camera=False)
    expected = neck(images, points, feats, [meta, {**meta, "sensor_mask": dict(camera=False)}])
    assert torch.equal(neck(images, points, feats, [meta, gone]), expected)
    assert neck(images, points, feats, [gone, gone]).isfinite().all()
