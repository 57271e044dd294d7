"""The Triton kernels: on a GPU where there is one, by Triton's interpreter elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from gemini_det3d.fusion import GeminiFusion

HAS_TRITON = find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")


@needs_triton
@pytest.mark.parametrize(
    "claim",
    [
        "relation_matches_softmax",
        "gate_matches_two_key_attention",
        "half_precision_computes_in_float32",
        "empty_inputs_pass",
        "operator_equals_the_plain_form",
        "half_precision_is_finite_and_close",
        "autocast_lowers_the_products_alone",
        "nan_stays_in_its_token",
        "operators_pass_opcheck",
    ],
)
def test_triton_kernels_hold(claim):
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    script = Path(__file__).with_name("triton_cases.py")
    ran = subprocess.run(
        [sys.executable, str(script), claim], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert f"passed {claim}" in ran.stdout


@pytest.mark.skipif(HAS_TRITON, reason="Triton is installed")
def test_fused_form_without_triton_is_refused_when_built():
    with pytest.raises(ValueError, match="backend='fused' needs Triton"):
        GeminiFusion(16, backend="fused")
