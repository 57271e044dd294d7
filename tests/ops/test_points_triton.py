"""Triton's kernels of point sets: on a GPU where there is one, else by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from gemini_det3d.fusion.kernels import torch_versions
from gemini_det3d.ops import _points_torch
from gemini_det3d.ops.mmcv_ext import device

pytestmark = pytest.mark.usefixtures("warm_programs")

CLAIMS = ("samples_are_those_of_the_loop", "balls_are_those_of_the_loop")


@pytest.mark.skipif(not torch_versions.has_triton(), reason="no Triton that runs the kernels")
def test_triton_chooses_what_the_loops_choose():
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    script = Path(__file__).with_name("triton_cases.py")
    command = [sys.executable, str(script), *CLAIMS]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert all(f"passed {claim}" in ran.stdout for claim in CLAIMS)


def test_gpu_without_a_compiler_takes_torch_with_one_warning(monkeypatch):
    monkeypatch.setattr(torch_versions, "has_triton", lambda: True)
    device._FOUND_OUT.clear()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        forms = [device.points_on_gpu(torch.device("cpu")) for _ in range(2)]
    device._FOUND_OUT.clear()
    assert forms == [_points_torch] * 2
    assert len(seen) == 1 and "sampling and ball queries" in str(seen[0].message)


def test_a_capture_takes_what_is_known_to_run(monkeypatch):
    monkeypatch.setattr(torch_versions, "has_triton", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(device, "_FOUND_OUT", {torch.device("cuda", 0): False})
    assert device.points_on_gpu(torch.device("cuda", 0)) is _points_torch
