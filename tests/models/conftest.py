"""Small frames, metadata and golden files for the model tests."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401

# A camera that looks along x: u = 40 - 10 y / x, v = 30 - 10 z / x, image 80 x 60.
LIDAR2IMG = [
    [40.0, -10.0, 0.0, 0.0],
    [30.0, 0.0, -10.0, 0.0],
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet3d")


@pytest.fixture
def meta():
    """Metadata of a frame that nothing was done to."""
    return dict(
        sample_idx=7,
        lidar2img=LIDAR2IMG,
        scale_factor=(1.0, 1.0),
        flip=False,
        ori_shape=(60, 80),
        img_shape=(60, 80),
        batch_input_shape=(64, 96),
        transformation_3d_flow=[],
    )


class Golden:
    """A golden file: arrays as tensors, released parameters, metadata."""

    def __init__(self, path):
        self.arrays = np.load(path)

    def __getitem__(self, key):
        return torch.from_numpy(np.array(self.arrays[key]))

    def list(self, stem):
        names = [n for n in self.arrays.files if n.startswith(stem) and n[len(stem) :].isdigit()]
        return [self[n] for n in sorted(names)]

    @property
    def params(self):
        return {n[6:]: self[n] for n in self.arrays.files if n.startswith("param/")}

    @property
    def metas(self):
        return json.loads(str(self.arrays["metas"]))


@pytest.fixture
def golden(shared_dir):
    return lambda name: Golden(shared_dir / "golden" / f"{name}.npz")
