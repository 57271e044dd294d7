"""Models on a GPU that is not there: nothing is left on the host, and how often it waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pretend_gpu
import pytest
from toys import DRIVING, ROOMS, SEGMENTOR, TRANSLATOR

pytestmark = pytest.mark.usefixtures("warm_programs")

# One assigner for all classes: mmdet3d's own way to the targets, which waits at every frame.
CARS = tuple(name for name in DRIVING if "look-alikes" not in name)


@pytest.mark.skipif(not pretend_gpu.IS_POSSIBLE, reason="this PyTorch has no backends in Python")
@pytest.mark.parametrize("names", [CARS, (*ROOMS, SEGMENTOR, TRANSLATOR)], ids=["cars", "rest"])
def test_models_stay_on_the_gpu_and_wait_within_their_budgets(names):
    script = Path(__file__).with_name("gpu_cases.py")
    ran = subprocess.run([sys.executable, str(script), *names], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert all(f"passed {name}" in ran.stdout for name in names)
