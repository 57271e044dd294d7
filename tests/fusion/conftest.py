"""Fixtures of the operator's tests; puts `tests/` on the path for `reference`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(20240601)


@pytest.fixture
def make():
    """Seeded random tensors: `make(2, 5, dtype=...)`; float64 unless said otherwise."""
    generator = torch.Generator().manual_seed(20240601)

    def draw(*shape: int, dtype: torch.dtype = torch.float64, grad: bool = False) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_(grad)

    return draw
