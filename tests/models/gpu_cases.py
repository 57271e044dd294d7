"""Run by test_pretended_gpu.py in its own process: the GPU must be there before any backward."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "models")]

import pretend_gpu  # noqa: E402
import torch  # noqa: E402
from toys import toy_batch, toy_model  # noqa: E402

# Most waits of a step and of a prediction of two frames, after the first: sizes that the host must
# know (voxels, seen points, positive anchors, boxes that stay), and what mmdet3d's code asks.
BUDGETS = {
    "mvxnet": (5, 56),
    "bev": (5, 56),
    "votenet": (8, 14),
    "segformer": (0, 0),
    "translator": (0, 0),
}


def train(model: torch.nn.Module, batch: dict) -> None:
    """Forward and backward, as far as all models have them in common."""
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode="loss")
    model.parse_losses(losses)[0].backward()


def predict(model: torch.nn.Module, batch: dict) -> None:
    model.eval()
    with torch.no_grad():
        model.test_step(batch)


def check(name: str) -> None:
    """Every call stays on the GPU (mixed devices raise), and the second one within its budget."""
    budgets = next(most for kind, most in BUDGETS.items() if name.startswith(kind))
    with pretend_gpu.pretended_gpu() as waits:
        model = toy_model(name).to(pretend_gpu.DEVICE)
        model.data_preprocessor._non_blocking = True
        if hasattr(model, "pts_middle_encoder"):
            pretend_gpu.on_the_host(model.pts_middle_encoder, waits)
        for call, most in zip((train, predict), budgets):
            for _ in range(2):
                batch = copy.deepcopy(toy_batch(name))
                waits.clear()
                call(model, batch)
            assert waits.total() <= most, f"{name} {call.__name__}, at most {most}: {waits}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pretend_gpu.take_our_mmcv_ops()
    for toy in sys.argv[1:]:
        check(toy)
        print("passed", toy)
