"""The voxel encoder: released numbers, mmdet3d's layout, and points that fall out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmdet3d.registry import MODELS

from gemini_det3d.models.checkpoints import convert_released_detector

NECK = dict(
    type="PointFusionNeck", img_channels=5, pts_channels=8, mid_channels=16, out_channels=16,
    img_levels=[0], align_corners=False, operator=dict(type="GeminiFusion", num_heads=4),
)  # fmt: skip
GRID = dict(voxel_size=[2.0, 2.0, 2.0], point_cloud_range=[0, -6, -4, 10, 6, 4])


def build(**options):
    options = {"with_cluster_center": True, "with_voxel_center": True, **GRID, **options}
    options.setdefault("feat_channels", [8, 8])
    return MODELS.build(dict(type="GeminiDynamicVFE", **options)).eval()


def frame(meta, counts=(97, 89)):
    generator = torch.Generator().manual_seed(5)
    low, size = torch.tensor([0, -6, -4, 0.0]), torch.tensor([10, 12, 8, 1.0])
    points = [torch.rand(n, 4, generator=generator) * size + low for n in counts]
    coors = [
        torch.cat([torch.full((len(p), 1), b), ((p[:, :3] - low[:3]) // 2).flip(1)], dim=1).int()
        for b, p in enumerate(points)
    ]
    images = [torch.randn(len(counts), 5, 16, 24, generator=generator)]
    return torch.cat(points), torch.cat(coors), points, images, [meta] * len(counts)


def test_voxel_encoder_equals_the_released_module(golden):
    file = golden("voxel_encoder")
    encoder = build(
        feat_channels=[16, 16],
        voxel_size=file["voxel_size"].tolist(),
        point_cloud_range=file["point_cloud_range"].tolist(),
        fusion_layer=dict(
            type="PointFusionNeck", img_channels=16, pts_channels=16, mid_channels=32,
            out_channels=32, img_levels=[0, 1], align_corners=False, outside_image="zeros",
            meta_defaults=dict(img_crop_offset=(0.0, 0.0)),  # the record has none
        ),
    )  # fmt: skip
    encoder.load_state_dict(convert_released_detector(file.params))
    points = file.list("points")
    with torch.no_grad():
        feats, coors = encoder(
            torch.cat(points), file["coors"], points, file.list("img_feat"), file.metas
        )
    assert torch.equal(coors, file["voxel_coors"])
    torch.testing.assert_close(feats, file["voxel_feats"], rtol=1e-5, atol=1e-5)


def test_voxel_encoder_fuses_after_every_layer_or_only_the_last(meta):
    everywhere, last = build(fusion_layer=NECK), build(fusion_layer=NECK, fuse_at="last")
    assert [neck.out_channels for neck in everywhere.fusion_layer] == [8, 16]
    assert last.fusion_layer.out_channels == 16
    for encoder in (everywhere, last):
        assert encoder(*frame(meta))[0].shape[1] == 16


def test_voxel_encoder_takes_mmdet3d_point_fusion_as_its_last_layer(meta):
    plain = {k: v for k, v in NECK.items() if k != "operator"}
    encoder = build(fusion_layer={**plain, "type": "PointFusion"}, fuse_at="last")
    feats, _ = encoder(*frame({**meta, "input_shape": (64, 96)}))
    assert feats.shape[1] == 16 and feats.isfinite().all()


def test_voxel_encoder_reads_the_image(meta):
    encoder = build(fusion_layer=NECK)
    features, coors, points, images, metas = frame(meta)
    seen, _ = encoder(features, coors, points, images, metas)
    other, _ = encoder(features, coors, points, [-m for m in images], metas)
    assert not torch.equal(seen, other)


@pytest.mark.parametrize(
    ("reads", "module", "function"),
    [("auto", "point_fusion", "read_tiles"), ("maps", "image_sampler", "sample_maps")],
)
def test_voxel_encoder_samples_the_image_once_for_all_layers(
    meta, monkeypatch, reads, module, function
):
    from gemini_det3d.models import necks

    calls, module = [], getattr(necks, module)
    original = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *a, **k: calls.append(1) or original(*a, **k))
    encoder = build(fusion_layer=NECK, feat_channels=[8, 8, 8])
    for neck in encoder.fusion_layer:
        neck.sampler = replace(neck.sampler, reads=reads)
    encoder(*frame(meta))
    assert len(calls) == 1


def test_voxel_encoder_finds_the_voxels_once_per_batch(meta, monkeypatch):
    from gemini_det3d.models.voxel_encoders import dynamic_fusion

    calls = []
    original = dynamic_fusion.find_voxels
    monkeypatch.setattr(
        dynamic_fusion, "find_voxels", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    build(fusion_layer=NECK, feat_channels=[8, 8, 8])(*frame(meta))
    assert len(calls) == 1


def test_voxel_encoder_leaves_out_points_outside_the_range(meta):
    encoder = build(fusion_layer=NECK)
    features, coors, points, images, metas = frame(meta)
    outside = torch.zeros(len(coors), dtype=torch.bool)
    outside[::5] = True
    marked = torch.where(outside[:, None], coors.new_tensor([0, -1, -1, -1]), coors)
    expected = encoder(
        features[~outside], coors[~outside],
        [p[~m] for p, m in zip(points, outside.split([97, 89]))], images, metas,
    )  # fmt: skip
    ours = encoder(features, marked, points, images, metas)
    assert torch.equal(ours[1], expected[1])
    torch.testing.assert_close(ours[0], expected[0])


def test_voxel_encoder_leaves_out_the_points_of_a_missing_lidar(meta):
    encoder = build(fusion_layer=NECK)
    features, coors, points, images, metas = frame(meta)
    metas = [metas[0], {**meta, "sensor_mask": dict(camera=[True], lidar=False)}]
    feats, voxels = encoder(features, coors, points, images, metas)
    whole, whole_voxels = encoder(*frame(meta))
    assert (voxels[:, 0] == 0).all()
    torch.testing.assert_close(feats, whole[whole_voxels[:, 0] == 0])


def test_voxel_encoder_can_return_point_features(meta):
    feats = build(fusion_layer=NECK, return_point_feats=True)(*frame(meta))
    assert feats.shape == (186, 16)


def test_voxel_encoder_pools_by_mean_too(meta):
    largest, mean = build(), build(mode="avg")
    mean.load_state_dict(largest.state_dict())
    assert not torch.equal(largest(*frame(meta))[0], mean(*frame(meta))[0])


@pytest.mark.parametrize(
    "options, word",
    [
        (dict(fuse_at="first"), "fuse_at"),
        (dict(mode="median"), "mode"),
        (dict(feat_channels=[]), "feat_channels"),
        (dict(fusion_layer={**NECK, "pts_channels": 9}), "pts_channels"),
        (dict(fusion_layer=dict(type="PointFusion", img_channels=5, pts_channels=8, mid_channels=8,
                                out_channels=8, img_levels=[0])), "PointFusionNeck"),
    ],
)  # fmt: skip
def test_voxel_encoder_rejects_wrong_arguments_when_it_is_built(options, word):
    with pytest.raises(ValueError, match=word):
        build(**options)
