"""The encoder of voxels: any number of them, any dtype; without sparse convolution it says so."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.models.middle_encoders import sparse_encoder


@pytest.mark.parametrize("ops", ["gemini_det3d", None])
def test_encoder_without_any_sparse_convolution_is_refused_with_the_remedy(monkeypatch, ops):
    monkeypatch.setattr(sparse_encoder, "enable_spconv_on_cpu", lambda: False)
    found = sparse_encoder.health.MmcvHealth({"mmcv-lite": "2.1.0"}, ops, None)
    monkeypatch.setattr(sparse_encoder.health, "check", lambda: found)
    with pytest.raises(ImportError, match=r"needs sparse convolution: pip install spconv==2\.3\.8"):
        sparse_encoder.GeminiSparseEncoder(in_channels=4, sparse_shape=[41, 16, 16])


def encoder(**options):
    pytest.importorskip("spconv")
    return sparse_encoder.GeminiSparseEncoder(
        in_channels=3,
        sparse_shape=[9, 8, 8],
        base_channels=3,
        output_channels=5,
        encoder_channels=((3,), (5, 5)),
        encoder_paddings=((1,), (1, 1)),
        **options,
    )


def voxels(number):
    places = torch.arange(float(number))[:, None].expand(-1, 3)
    coors = torch.cat([torch.zeros(number, 1), places], dim=1).int()
    return torch.randn(number, 3, generator=torch.Generator().manual_seed(0)), coors


def test_a_batch_without_voxels_has_the_middle_features_of_any_other():
    model = encoder(return_middle_feats=True)
    bev, stages = model(*voxels(0), 2)
    other_bev, other_stages = model(*voxels(7), 2)
    assert bev.shape == other_bev.shape and not bev.any()
    shapes = [(stage.spatial_shape, stage.features.shape[1]) for stage in stages]
    assert shapes == [(stage.spatial_shape, stage.features.shape[1]) for stage in other_stages]
    assert not any(stage.features.any() for stage in stages)
    sum(stage.features.sum() for stage in stages).backward()
    assert model.conv_input[0].weight.grad is not None


def test_voxels_are_encoded_in_the_dtype_of_the_weights():
    model = encoder().eval()
    expected = model(*voxels(7), 1)
    assert expected.dtype == torch.float32
    for number in (7, 0):
        assert model.double()(*voxels(number), 1).dtype == torch.float64
    torch.testing.assert_close(model(*voxels(7), 1).float(), expected)
