"""What would make a GPU wait is counted, with the line that asks for it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from benchmarks.census import count_launches
from gemini_det3d.geometry import pool_to_cells

X = torch.arange(6.0)
MASK = X > 2

WAITS = {
    "item": (lambda: X[0].item(), "item()"),
    "bool": (lambda: bool(MASK[0]), "item()"),
    "nonzero": (lambda: MASK.nonzero(), "nonzero"),
    "mask": (lambda: X[MASK], "boolean indexing"),
    "mask written": (lambda: X.clone().__setitem__(MASK, X[:3]), "boolean indexing"),
    "unique": (lambda: X.unique(), "unique"),
    "tolist": (lambda: X.tolist(), "tolist()"),
    "cpu": (lambda: X.cpu(), "cpu()"),
    "numbers": (lambda: X.new_tensor([1.0, 2.0]), "Python numbers to the device"),
    "numbers on a device": (
        lambda: torch.tensor([1.0], device="cpu"),
        "Python numbers to the device",
    ),
    "inverse": (lambda: torch.linalg.inv(torch.eye(3)), "inverse"),
    "determinant": (lambda: torch.linalg.det(torch.eye(3)), "determinant"),
    "repeat": (lambda: torch.arange(3).repeat_interleave(torch.tensor([1, 2, 0])), "repeat"),
}
NO_WAITS = {
    "arithmetic": lambda: (X * 2).sum() + torch.where(MASK, X, 0).max(),
    "one number where a mask holds": lambda: X.clone().__setitem__(MASK, 0.0),
    "rows by number": lambda: X[torch.tensor([1, 2])],
    "numbers for the host": lambda: torch.tensor([1.0]) + torch.from_numpy(np.ones(1)),
    "repeat of known length": lambda: torch.repeat_interleave(torch.tensor([1, 2]), output_size=3),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_counted_at_the_line_that_asks(name):
    call, kind = WAITS[name]
    with count_launches() as census:
        call()
    ((found, place),) = census.waits
    assert found.startswith(kind) and census.waits[found, place] == 1
    assert place.owner == "test_census"
    file, line = place.where.rsplit(":", 1)
    assert file == __file__
    assert 0 <= int(line) - inspect.getsourcelines(call)[1] <= 1


@pytest.mark.parametrize("name", NO_WAITS)
def test_what_a_gpu_does_by_itself_is_no_wait(name):
    with count_launches() as census:
        NO_WAITS[name]()
    assert not census.waits and census.num_calls() > 0


def test_calls_of_the_backward_are_counted_and_those_of_the_package_are_ours():
    features = torch.randn(5, 3, requires_grad=True)
    entries = torch.ones(5, 1), torch.tensor([[1], [1], [0], [2], [-1]])
    with count_launches() as forward:
        pooled = pool_to_cells(features, *entries, 3)
    with count_launches() as backward:
        pooled.sum().backward()
    assert forward.num_calls(True) == forward.num_calls() > 0
    assert forward.num_calls(False) == 0 and backward.num_calls() > 0
    assert all(place.where.startswith("geometry/pooling.py:") for place in forward.calls)
