"""A model with two operators, as recorders of gates and tokens meet it."""

from __future__ import annotations

from types import SimpleNamespace

from torch import nn


class Detector(nn.Module):
    """Tokens through two operators; their places come as they do from a map."""

    def __init__(self, operator):
        super().__init__()
        self.first, self.second = operator(8), operator(8)
        layer = SimpleNamespace(point_cloud_range=[0, -2, 0, 6, 2, 1])
        self.data_preprocessor = SimpleNamespace(voxel_layer=layer)

    def forward(self, camera, lidar, valid):
        self.second(*self.first(camera, lidar, valid), valid)
