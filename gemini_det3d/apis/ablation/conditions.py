"""Ways to spoil a packed frame: what the camera or the LiDAR gives is changed or taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_KEPT = 0.25  # of the points, where the LiDAR is thinned


def spoil(condition: str, data: dict, other: dict, index: int) -> dict:
    """Spoil one frame, which is left as it is.

    Args:
        condition: One of ``CONDITIONS``.
        data: What the pipeline packed: ``inputs`` with ``points`` and ``img``, data sample.
        other: Another frame, packed.
        index: Number of the frame; it decides what is drawn.

    Returns:
        A frame whose changed parts are new.
    """
    spoilt = {
        "inputs": dict(data["inputs"]),
        "data_samples": copy.deepcopy(data["data_samples"]),
    }
    CONDITIONS[condition](spoilt, other, index)
    return spoilt


def fit_image(image: Tensor, wanted: Tensor) -> Tensor:
    """Cut and pad ``(..., H, W)`` with zeros to the size of another; its top left stays."""
    if image.shape == wanted.shape:
        return image
    fitted = torch.zeros_like(wanted)
    height, width = (min(image.shape[axis], wanted.shape[axis]) for axis in (-2, -1))
    fitted[..., :height, :width] = image[..., :height, :width]
    return fitted


def _black(data: dict, other: dict, index: int) -> None:
    if "img" in data["inputs"]:
        data["inputs"]["img"] = torch.zeros_like(data["inputs"]["img"])


def _shuffled(data: dict, other: dict, index: int) -> None:
    if "img" in data["inputs"]:
        data["inputs"]["img"] = fit_image(other["inputs"]["img"], data["inputs"]["img"])


def _thinned(data: dict, other: dict, index: int) -> None:
    points = data["inputs"]["points"]
    generator = torch.Generator().manual_seed(index)
    data["inputs"]["points"] = points[torch.rand(len(points), generator=generator) < _KEPT]


def _without_image(data: dict, other: dict, index: int) -> None:
    _black(data, other, index)  # for a model that does not read the mask
    _mask(data, camera=False)


def _without_points(data: dict, other: dict, index: int) -> None:
    # likewise; a model that draws a number of points needs one
    data["inputs"]["points"] = data["inputs"]["points"][:1]
    _mask(data, lidar=False)


def _mask(data: dict, camera: bool = True, lidar: bool = True) -> None:
    image: Any = data["inputs"].get("img")
    cameras = len(image) if image is not None and image.dim() == 4 else 1
    before = data["data_samples"].metainfo.get("sensor_mask") or {}
    mask = {
        name: np.logical_and(before.get(name, True), now).tolist()  # what was missing stays so
        for name, now in dict(camera=[camera] * cameras, lidar=lidar).items()
    }
    data["data_samples"].set_metainfo(dict(sensor_mask=mask))


CONDITIONS: dict[str, Callable[[dict, dict, int], None]] = {
    "real": lambda data, other, index: None,
    "image black": _black,
    "image shuffled": _shuffled,
    "image absent": _without_image,
    "LiDAR thinned": _thinned,
    "LiDAR absent": _without_points,
}
"""Rows of the ablation: name -> what changes a packed frame."""
