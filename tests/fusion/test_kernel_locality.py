"""Tokens are fused alone by every form: their order does not matter, nor what others hold."""

from __future__ import annotations

import pytest
import torch
from even_products import use_even_products

from gemini_det3d.fusion import GeminiFusion

TOKENS = 101


@pytest.mark.parametrize("num_tokens", [2, 7, 8])
def test_a_handful_of_wide_tokens_is_rounded_alike_wherever_it_stands(
    monkeypatch, make, num_tokens
):
    operator = GeminiFusion(512)
    use_even_products(monkeypatch)
    assert_permutes(operator, make, num_tokens, torch.equal)


@pytest.mark.parametrize("backend", ["auto", "compact", "blockwise"])
@pytest.mark.parametrize("num_tokens", [2, 7, 13, 33, 257, 700])
def test_permuting_tokens_permutes_outputs_bitwise_if_products_do(
    monkeypatch, make, num_tokens, backend
):
    called = use_even_products(monkeypatch)
    assert_permutes(GeminiFusion(64, backend=backend), make, num_tokens, torch.equal)
    assert called


@pytest.mark.parametrize("backend", ["auto", "compact", "blockwise"])
@pytest.mark.parametrize("num_tokens", [2, 7, 13, 33, 257, 700, 4999])
def test_permuting_tokens_permutes_outputs_to_rounding(make, num_tokens, backend):
    operator = GeminiFusion(64, backend=backend)
    assert_permutes(operator, make, num_tokens, is_within_rounding)


def assert_permutes(operator, make, num_tokens, are_equal):
    first, second = (make(num_tokens, operator.dim, dtype=torch.float32) for _ in range(2))
    order = torch.randperm(num_tokens, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = operator(first, second), operator(first[order], second[order])
    for old, new in zip(before, after):
        assert are_equal(old[order], new)


def is_within_rounding(old, new):
    """Eight units in the last place of the largest output: a product may add in another order."""
    return (old - new).abs().max() <= 8 * torch.finfo(old.dtype).eps * old.abs().max()


@pytest.mark.parametrize("backend", ["plain", "compact", "traced", "blockwise"])
def test_nan_in_k_tokens_changes_exactly_these_outputs(make, backend):
    operator = GeminiFusion(16, backend=backend, block_tokens=32)
    first, second = make(TOKENS, 16, dtype=torch.float32), make(TOKENS, 16, dtype=torch.float32)
    before = operator(first, second)
    is_hit = torch.zeros(TOKENS, dtype=torch.bool)
    is_hit[[3, 16, 100]] = True
    second[is_hit, 5] = float("nan")
    for old, new in zip(before, operator(first, second)):
        assert torch.equal(new.isnan().any(-1), is_hit)
        assert torch.equal(new[~is_hit], old[~is_hit])
    kept_first, kept_second = operator(first, second, ~is_hit)
    assert torch.equal(kept_first[is_hit], first[is_hit]) and kept_first.isfinite().all()
    assert torch.equal(kept_second.isnan(), second.isnan())
