"""Ways to spoil a packed frame: what the camera or the LiDAR gives is changed or taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """One row of the ablation.

    Attributes:
        name: In tables and keys.
        sensor: 'camera' or 'lidar', which of them is spoilt; '' for none.
        meaning: For the reader.
    """

    name: str
    sensor: str
    meaning: str


_KEPT = 0.25  # of the points, where the LiDAR is thinned
CONDITIONS = (
    Condition("real", "", "both sensors as they are"),
    Condition("image black", "camera", "every pixel 0"),
    Condition("image shuffled", "camera", "the image of another frame"),
    Condition("image absent", "camera", "the camera is masked as missing, its image black"),
    Condition("LiDAR thinned", "lidar", "a quarter of the points, drawn at random"),
    Condition("LiDAR absent", "lidar", "the LiDAR is masked as missing and has one point"),
)


class Spoiler:
    """Makes the conditions of a frame; the frame itself is left as it is.

    Points that are drawn are the same for the same frame.
    """

    def __init__(self) -> None:
        self._ways: dict[str, Callable[[dict, dict, int], None]] = {
            "real": lambda data, other, index: None,
            "image black": self._black,
            "image shuffled": self._shuffled,
            "image absent": self._without_image,
            "LiDAR thinned": self._thinned,
            "LiDAR absent": self._without_points,
        }

    def __call__(self, name: str, data: dict, other: dict, index: int) -> dict:
        """Spoil one frame.

        Args:
            name: Of the condition.
            data: What the pipeline packed: ``inputs`` with ``points`` and ``img``, data sample.
            other: Another frame, packed.
            index: Number of the frame.

        Returns:
            A frame whose changed parts are new.
        """
        spoilt = {
            "inputs": dict(data["inputs"]),
            "data_samples": copy.deepcopy(data["data_samples"]),
        }
        self._ways[name](spoilt, other, index)
        return spoilt

    def _black(self, data: dict, other: dict, index: int) -> None:
        if "img" in data["inputs"]:
            data["inputs"]["img"] = torch.zeros_like(data["inputs"]["img"])

    def _shuffled(self, data: dict, other: dict, index: int) -> None:
        if "img" in data["inputs"]:
            data["inputs"]["img"] = fit_image(other["inputs"]["img"], data["inputs"]["img"])

    def _thinned(self, data: dict, other: dict, index: int) -> None:
        points = data["inputs"]["points"]
        generator = torch.Generator().manual_seed(index)
        kept = torch.rand(len(points), generator=generator) < _KEPT
        data["inputs"]["points"] = points[kept]

    def _without_image(self, data: dict, other: dict, index: int) -> None:
        self._black(data, other, index)  # for a model that does not read the mask
        _mask(data, camera=False)

    def _without_points(self, data: dict, other: dict, index: int) -> None:
        # likewise; a model that draws a number of points needs one
        data["inputs"]["points"] = data["inputs"]["points"][:1]
        _mask(data, lidar=False)


def fit_image(image: Tensor, wanted: Tensor) -> Tensor:
    """Cut and pad ``(..., H, W)`` with zeros to the size of another; its top left stays."""
    if image.shape == wanted.shape:
        return image
    fitted = torch.zeros_like(wanted)
    height, width = (min(image.shape[axis], wanted.shape[axis]) for axis in (-2, -1))
    fitted[..., :height, :width] = image[..., :height, :width]
    return fitted


def _mask(data: dict, camera: bool = True, lidar: bool = True) -> None:
    image: Any = data["inputs"].get("img")
    cameras = len(image) if image is not None and image.dim() == 4 else 1
    before = data["data_samples"].metainfo.get("sensor_mask") or {}
    mask = {
        name: np.logical_and(before.get(name, True), now).tolist()  # what was missing stays so
        for name, now in dict(camera=[camera] * cameras, lidar=lidar).items()
    }
    data["data_samples"].set_metainfo(dict(sensor_mask=mask))
