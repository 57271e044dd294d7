"""Pipeline steps, registered in mmdet3d's TRANSFORMS."""

from __future__ import annotations

from gemini_det3d.datasets.transforms.checked_loading import (
    LoadImageFromFileChecked,
    LoadPointsFromFileChecked,
)
from gemini_det3d.datasets.transforms.sensors import ModalityDropout, PackSensorInputs, SensorSwitch

__all__ = [
    "LoadImageFromFileChecked",
    "LoadModalities",
    "LoadPointsFromFileChecked",
    "LoadSegLabels",
    "ModalityDropout",
    "PackSegInputs",
    "PackSensorInputs",
    "SegBlur",
    "SegColorJitter",
    "SegFlip",
    "SegRandomResizedCrop",
    "SegResize",
    "SensorFailure",
    "SensorSwitch",
]
