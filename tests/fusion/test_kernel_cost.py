"""What the fast form costs: multiply-adds, memory."""

from __future__ import annotations

import copy

import pytest
import torch
from counting import count_multiply_adds, count_saved_bytes
from older_torch import skip_module_without_custom_operators
from reference import random_released
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.functional import gemini_fusion
from gemini_det3d.fusion.kernels.blockwise import Setting, blockwise_backward, blockwise_forward

skip_module_without_custom_operators()

from gemini_det3d.fusion.kernels.library import fuse, fuse_backward  # noqa: E402

TOKENS = 101


def test_backward_allocates_no_gradient_of_the_tape(make):
    operator = GeminiFusion(16, backend="blockwise")
    streams = [make(TOKENS, 16, dtype=torch.float32, grad=True) for _ in range(2)]
    loss = sum(f.sum() for f in operator(*streams))
    with torch.profiler.profile(record_shapes=True) as profile:
        loss.backward()
    shapes = [e.input_shapes[0] for e in profile.events() if e.name == "aten::fill_"]
    assert not any(shape and shape[0] >= TOKENS for shape in shapes)


@pytest.mark.parametrize("is_paired", [False, True])
def test_multiply_adds_are_14_c_squared_per_pair(make, is_paired):
    dim, tokens = 24, 101
    parameters = GeminiFusion.from_released(random_released(dim), 3).fusion_parameters()
    streams = make(tokens, dim), make(tokens, dim)
    setting = Setting(3, torch.float64, is_paired, 32)
    counted = count_multiply_adds(
        lambda: blockwise_forward(*streams, None, parameters, setting, False)
    )
    assert counted == (16 if is_paired else 14) * dim**2 * tokens


@pytest.mark.parametrize("num_tokens", [1, 2, 7, 17, 101, 997, 2003])
def test_default_form_needs_no_more_multiply_adds(make, num_tokens):
    operator = GeminiFusion(64)
    streams = [make(num_tokens, 64, dtype=torch.float32) for _ in range(2)]
    with torch.no_grad():
        assert count_multiply_adds(lambda: operator(*streams)) <= 14 * 64**2 * num_tokens


@pytest.mark.parametrize(("num_tokens", "per_pair"), [(1, 16), (7, 16), (8, 14), (300, 14)])
def test_a_handful_of_wide_tokens_is_read_in_pairs_and_differs_by_rounding_only(
    make, num_tokens, per_pair
):
    operator = GeminiFusion(512)
    streams = [make(num_tokens, 512, dtype=torch.float32) for _ in range(2)]
    fused = []
    with torch.no_grad():
        counted = count_multiply_adds(lambda: fused.extend(operator(*streams)))
    assert counted == per_pair * 512**2 * num_tokens
    exact = copy.deepcopy(operator).double()
    wanted = gemini_fusion(
        *(stream.double() for stream in streams), exact.fusion_parameters(), exact.num_heads
    )
    for found, want in zip(fused, wanted):
        assert_close(found.double(), want, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("with_parameters", [True, False])
@pytest.mark.parametrize("with_tape", [True, False])
@pytest.mark.parametrize("is_paired", [True, False])
def test_registered_flop_formulas_are_what_runs(make, is_paired, with_tape, with_parameters):
    dim, tokens = 24, 101
    parameters = GeminiFusion.from_released(random_released(dim), 3).fusion_parameters()
    streams = make(tokens, dim), make(tokens, dim)
    setting = Setting(3, torch.float64, is_paired, 32)
    rest = (*parameters, *setting)
    *_, tape = fuse(*streams, None, *rest, with_tape)
    told = count_multiply_adds(lambda: fuse(*streams, None, *rest, with_tape))
    ran = count_multiply_adds(
        lambda: blockwise_forward(*streams, None, parameters, setting, with_tape)
    )
    assert told == ran
    told = count_multiply_adds(
        lambda: fuse_backward(*streams, None, tape, *streams, *rest, with_parameters)
    )
    arguments = (*streams, None, parameters, setting, tape, streams, with_parameters)
    assert told == count_multiply_adds(lambda: blockwise_backward(*arguments))


@pytest.mark.parametrize(("with_recompute", "share"), [(False, 0.45), (True, 0.15)])
def test_backward_keeps_a_fraction_of_what_the_plain_form_keeps(make, with_recompute, share):
    streams = [make(3000, 64, dtype=torch.float32, grad=True) for _ in range(2)]
    plain = GeminiFusion(64, backend="plain")
    fast = GeminiFusion(64, backend="blockwise", with_recompute=with_recompute)
    assert count_saved_bytes(fast, streams) <= share * count_saved_bytes(plain, streams)
