"""Suppression of many boxes on a GPU: compared in pieces, with little scratch."""

from __future__ import annotations

import pytest
import torch
from compiled_cases import rand, rectangles, rotated
from torch.utils._python_dispatch import TorchDispatchMode

from gemini_det3d.ops import _rotated_torch
from gemini_det3d.ops.mmcv_ext import device, suppression

NUM = 301


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that anything gave back."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(each, torch.Tensor):
                self.bytes = max(self.bytes, each.untyped_storage().nbytes())
        return found


def upright(seed: int) -> torch.Tensor:
    boxes = torch.zeros(NUM, 7)
    boxes[:, [0, 1, 3, 4, 6]] = rotated(seed, NUM)
    boxes[:, 5] = 1
    return boxes


SUPPRESSIONS = {
    "nms": lambda ops: ops.nms(rectangles(1, NUM), rand(2, NUM), 0.3)[1],
    "nms_rotated": lambda ops: ops.nms_rotated(rotated(1, NUM), rand(2, NUM), 0.1)[1],
    "nms3d": lambda ops: ops.nms3d(upright(1), rand(2, NUM), 0.1),
    "nms3d_normal": lambda ops: ops.nms3d_normal(upright(1), rand(2, NUM), 0.1),
}


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_boxes_compared_in_pieces_are_those_compared_at_once(ops, monkeypatch, name):
    monkeypatch.setattr(device, "takes_torch", lambda tensor: True)
    whole = SUPPRESSIONS[name](ops)
    monkeypatch.setattr(suppression, "_PAIRS_AT_ONCE", 4096)
    monkeypatch.setattr(_rotated_torch, "_PAIRS_WITHOUT_ASKING", 0)
    monkeypatch.setattr(_rotated_torch, "_PAIRS_AT_ONCE", 64)
    assert 10 < len(whole) < NUM - 10
    with Largest() as largest:
        assert torch.equal(SUPPRESSIONS[name](ops), whole)
    assert largest.bytes <= 4 * NUM**2  # half of it on a GPU


@pytest.mark.parametrize("num", [0, 1, 7])
def test_pieces_of_few_boxes_are_whole(monkeypatch, num):
    monkeypatch.setattr(suppression, "_PAIRS_AT_ONCE", 4)
    wanted = rand(1, num, num) > 0.5
    assert torch.equal(suppression.pairs_of(num, lambda rows: wanted[rows]), wanted)
