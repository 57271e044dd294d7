from __future__ import annotations

import numpy as np
import pytest
import torch

from gemini_det3d.models.checkpoints import from_released_segmentor


class Golden:
    """A file of golden arrays: released parameters, inputs and outputs."""

    def __init__(self, path):
        with np.load(path) as arrays:
            self.arrays = {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    def __getitem__(self, name):
        return self.arrays[name]

    def ints(self, name):
        return self.arrays[name].reshape(-1).tolist()

    def inputs(self):
        return [self.arrays[f"x{m}"] for m in range(5) if f"x{m}" in self.arrays]

    def params(self, prefix=""):
        """The released state dict, with a prefix put before its names."""
        start = "param/"
        found = {n[len(start) :]: t for n, t in self.arrays.items() if n.startswith(start)}
        return {prefix + name: tensor for name, tensor in found.items()}

    def backbone(self, prefix=""):
        """Our backbone's state dict."""
        conversion = from_released_segmentor(self.params(prefix))
        assert not conversion.unknown
        start = "backbone."
        return {n[len(start) :]: t for n, t in conversion.state.items() if n.startswith(start)}


@pytest.fixture
def golden(shared_dir):
    return lambda name: Golden(shared_dir / "golden" / f"{name}.npz")
