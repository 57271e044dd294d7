"""Without any sparse convolution the encoder says so when it is built."""

from __future__ import annotations

import pytest

from gemini_det3d.models.middle_encoders import sparse_encoder


@pytest.mark.parametrize("ops", ["gemini_det3d", None])
def test_encoder_without_any_sparse_convolution_is_refused_with_the_remedy(monkeypatch, ops):
    monkeypatch.setattr(sparse_encoder, "enable_spconv_on_cpu", lambda: False)
    found = sparse_encoder.health.MmcvHealth({"mmcv-lite": "2.1.0"}, ops, None)
    monkeypatch.setattr(sparse_encoder.health, "check", lambda: found)
    with pytest.raises(ImportError, match=r"needs sparse convolution: pip install spconv==2\.3\.8"):
        sparse_encoder.GeminiSparseEncoder(in_channels=4, sparse_shape=[41, 16, 16])
