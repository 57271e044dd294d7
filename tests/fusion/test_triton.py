"""The Triton kernels: on a GPU where there is one, by Triton's interpreter elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from older_torch import needs_custom_operators

from benchmarks.fusion import inspect
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels import forms
from gemini_det3d.fusion.kernels.calls import describe
from gemini_det3d.fusion.kernels.torch_versions import has_triton

pytestmark = pytest.mark.usefixtures("warm_programs")

HAS_TRITON = has_triton()
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="no Triton that runs the kernels")


@needs_triton
@pytest.mark.parametrize(
    ("script", "claims"),
    [
        ("values", "float32_equals_float64 doubts_shift_the_gate"),
        (
            "values",
            "rows_wider_than_a_tile_take_several_passes masks_are_kept_within_the_kernels",
        ),
        ("values", "half_precision_is_close_to_float64 autocast_lowers_the_products_alone"),
        (
            "values",
            "weights_may_have_another_dtype any_strides_are_read_in_place no_tokens_pass",
        ),
        ("values", "tokens_are_alone sums_over_tokens_in_stretches_are_exact_and_equal"),
        ("values", "recomputing_gives_the_same_bits_and_keeps_the_inputs_alone"),
        ("launches", "launches_are_few recomputing_takes_one_launch_more_or_two_less"),
        (
            "launches",
            "eager_calls_give_the_bits_of_the_operators "
            "eager_gradients_have_gradients_and_come_in_batches",
        ),
        ("launches", "compiler_sees_one_node_each_way"),
        (
            "launches",
            "a_gpu_without_a_compiler_takes_another_form_with_one_warning "
            "a_trial_that_fails_for_a_reason_that_passes_is_made_again",
        ),
        ("launches", "operators_pass_opcheck"),
        ("launches", "remembered_kernels_are_those_of_the_call"),
        ("values", "lazily_negated_tensors_keep_their_sign"),
    ],
)
def test_triton_kernels_hold(script, claims):
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    path = Path(__file__).with_name(f"triton_{script}.py")
    command = [sys.executable, str(path), *claims.split()]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert all(f"passed {claim}" in ran.stdout for claim in claims.split())


@needs_triton
@pytest.mark.parametrize(("channels", "architecture"), [(64, 80), (256, 90)])
def test_no_kernel_spills_or_takes_more_shared_memory_than_there_is(channels, architecture):
    for launch in inspect.chosen(channels, torch.bfloat16, False, architecture):
        resources = inspect.inspect(launch, architecture)
        assert resources.spilled_bytes == 0, launch.name
        assert resources.shared_bytes <= inspect.SHARED_KIB[architecture] * 1024, launch.name


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("architecture", inspect.ARCHITECTURES)
@pytest.mark.parametrize("kind", ["bfloat16", "float32", "tf32"])
@pytest.mark.parametrize("channels", [24, 32, 64, 128, 256, 320, 512, 1024])
def test_no_chosen_configuration_spills(channels, kind, architecture):
    dtype = torch.float32 if kind == "tf32" else getattr(torch, kind)
    for launch in inspect.chosen(channels, dtype, kind == "tf32", architecture):
        resources = inspect.inspect(launch, architecture)
        assert resources.spilled_bytes == 0, launch.name
        assert resources.shared_bytes <= inspect.SHARED_KIB[architecture] * 1024, launch.name


@needs_triton
def test_columns_too_far_apart_for_32_bits_are_brought_together():
    from gemini_det3d.fusion.kernels.fused_problem import make_problem

    parameters = GeminiFusion(16, 4).to("meta").fusion_parameters()
    for stride, is_copied in ((1 << 27, False), (1 << 28, True)):
        far = torch.empty(0, device="meta").as_strided((3, 16), (1, stride))
        problem = make_problem(far, far, None, None, parameters, 4, torch.float32)
        assert problem.streams[0].stride() == ((16, 1) if is_copied else (1, stride))


def test_constants_of_kernels_are_plain_arithmetic():
    """A function of Triton gives no constant before 3.9: nothing compiled under 3.6."""
    sources = Path(forms.__file__).parent.glob("triton_*.py")
    lines = [line for source in sources for line in source.read_text().splitlines()]
    constants = [line for line in lines if ": tl.constexpr = " in line]
    assert constants
    assert not [line for line in constants if "(" in line.split(" = ", 1)[1].replace("(C +", "")]


@needs_triton
def test_fifty_numbers_of_tokens_are_compiled_at_most_twice_a_kernel():
    seen: dict[str, set] = {}
    for num_tokens in range(1, 5000, 99):
        for training in (False, True):
            for launch in inspect.launches(128, num_tokens=num_tokens, training=training):
                seen.setdefault(launch.name, set()).add(inspect.specialisation(launch))
    assert len(seen) == 11  # forwards 4, backwards 7 with the packing
    assert all(len(compiled) <= 2 for compiled in seen.values())


@needs_triton
def test_wide_heads_and_float64_are_for_other_forms():
    for operator, stream, reason in (
        (GeminiFusion(512, 2, backend="fused"), torch.ones(3, 512), "heads of at most 128"),
        (GeminiFusion(16, 2, backend="fused").double(), torch.ones(3, 16).double(), "float32 or"),
    ):
        call = describe("fused", stream, stream, operator.fusion_parameters(), 2, False, 0, None)
        assert reason in forms._gpu(call._replace(device="cuda"))


@needs_custom_operators
@pytest.mark.skipif(HAS_TRITON, reason="Triton is installed")
def test_fused_form_without_triton_is_refused_when_built():
    with pytest.raises(ValueError, match="backend='fused' needs Triton"):
        GeminiFusion(16, backend="fused")
