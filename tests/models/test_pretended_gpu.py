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


MIXED = {
    "torch.zeros(4)[gpu.long()]": False,
    "gpu.index_put((gpu.long(),), torch.ones(3))": False,
    "gpu.cumsum(0) @ torch.ones(3)": False,
    "torch.cat([gpu, torch.ones(1)])": False,
    "gpu.index_add(0, gpu.long(), gpu, alpha=2)": True,
    "gpu.scatter_add(0, torch.tensor(0), gpu)": False,
    "gpu * torch.tensor(2.0)": True,
    "gpu[torch.tensor([0, 2])]": True,
    "gpu.index_put((gpu.long(),), torch.tensor(1.0))": True,
}


@pytest.mark.skipif(not pretend_gpu.IS_POSSIBLE, reason="this PyTorch has no backends in Python")
def test_what_cuda_refuses_beside_its_tensors_is_refused(tmp_path):
    script, tests = tmp_path / "mixed.py", Path(pretend_gpu.__file__).parent
    script.write_text(f"""
import sys
sys.path[:0] = {[str(tests.parent), str(tests)]}
import torch, pretend_gpu
with pretend_gpu.pretended_gpu():
    gpu = torch.arange(3.0).to(pretend_gpu.DEVICE)
    for case in {list(MIXED)}:
        try:
            eval(case)
            print(True)
        except RuntimeError as error:
            print(False if "on the host" in str(error) else error)
""")
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.split() == [str(is_allowed) for is_allowed in MIXED.values()]
