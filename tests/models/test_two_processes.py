"""Two processes train every detector as one would, whatever a frame of one of them lacks."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from toys import DETECTORS, DRIVING, SEGMENTOR, toy_batch, toy_model

NAMES = (*DETECTORS, SEGMENTOR)
LACKS = {name: ["camera", "points"] for name in DRIVING if "gemini" in name}
LACKS |= {name: ["points"] for name in DRIVING if "gemini" not in name}
LACKS |= {name: ["camera"] for name in DETECTORS if name.startswith("votenet_gemini")}
LACKS[SEGMENTOR] = ["rgb"]
CASES = [(name, lack) for name in NAMES for lack in ["", *LACKS.get(name, [])]]
STEPS = 2  # a second step fails where a parameter of the first was not reached

pytestmark = pytest.mark.slow  # two processes import everything


def gradients(model, forward, batch) -> dict[str, torch.Tensor]:
    """Of the sum of losses, by parameter; zeros where none came."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    data = model.data_preprocessor(batch, True)
    loss, _ = model.parse_losses(forward(**data, mode="loss"))
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def batch_of(rank: int, name: str, lack: str) -> dict:
    """The frames of a process; the second's lack something."""
    return toy_batch(name, (2 * rank, 2 * rank + 1), lack if rank else "")


def work(rank: int, folder: str) -> None:
    """One of the two processes: the gradients of every case, as files."""
    from mmengine.model import MMDistributedDataParallel

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    for number, (name, lack) in enumerate(CASES):
        model = toy_model(name)
        both = MMDistributedDataParallel(model, broadcast_buffers=False)
        for _ in range(STEPS):
            found = gradients(model, both, batch_of(rank, name, lack))
        torch.save(found, f"{folder}/{number}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gradients of both processes for every case."""
    folder = str(tmp_path_factory.mktemp("gradients"))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(work, (folder,), nprocs=2)
    return folder


@pytest.mark.parametrize(("name", "lack"), CASES)
def test_gradients_of_two_processes_are_those_of_one(folder, name, lack):
    """Both have the mean of what one process finds for the frames of either."""
    number = CASES.index((name, lack))
    found = [torch.load(f"{folder}/{number}-{rank}.pt") for rank in (0, 1)]
    halves = []
    for rank in (0, 1):
        model = toy_model(name)
        for _ in range(STEPS):
            half = gradients(model, model, batch_of(rank, name, lack))
        halves.append(half)
    scale = max(float(g.abs().max()) for g in halves[0].values())
    for key in halves[0]:
        wanted = (halves[0][key] + halves[1][key]) / 2
        assert torch.equal(found[0][key], found[1][key]), key
        assert float((found[0][key] - wanted).abs().max()) <= 1e-6 * scale, key
