"""Pipeline steps, registered in mmdet3d's TRANSFORMS."""

from __future__ import annotations

from gemini_det3d.datasets.transforms.calibration_noise import CalibrationNoise
from gemini_det3d.datasets.transforms.checked_loading import (
    LoadImageFromFileChecked,
    LoadPointsFromFileChecked,
)
from gemini_det3d.datasets.transforms.clouds import (
    QuickGlobalRotScaleTrans,
    QuickObjectRangeFilter,
    QuickPack3DDetInputs,
    QuickPointShuffle,
    QuickPointsRangeFilter,
)
from gemini_det3d.datasets.transforms.corrupt import Corrupt
from gemini_det3d.datasets.transforms.multi_view import LoadMultiViewImages, MultiViewImageAug
from gemini_det3d.datasets.transforms.seg_augment import (
    AlignedFlip,
    SegBlur,
    SegColorJitter,
    SegRandomResizedCrop,
    SegResize,
)
from gemini_det3d.datasets.transforms.seg_loading import (
    LoadModalities,
    LoadSegLabels,
    PackSegInputs,
)
from gemini_det3d.datasets.transforms.sensor_failure import SegModalityDropout, SensorFailure
from gemini_det3d.datasets.transforms.sensors import ModalityDropout, PackSensorInputs, SensorSwitch
from gemini_det3d.datasets.transforms.sweeps import LoadSweeps
from gemini_det3d.datasets.transforms.translation import (
    LoadDomainImages,
    PackTranslationInputs,
    RandomCropDomainImages,
    ResizeDomainImages,
)

__all__ = [
    "AlignedFlip",
    "CalibrationNoise",
    "Corrupt",
    "LoadDomainImages",
    "LoadImageFromFileChecked",
    "LoadModalities",
    "LoadMultiViewImages",
    "LoadPointsFromFileChecked",
    "LoadSegLabels",
    "LoadSweeps",
    "ModalityDropout",
    "MultiViewImageAug",
    "PackSegInputs",
    "PackSensorInputs",
    "PackTranslationInputs",
    "QuickGlobalRotScaleTrans",
    "QuickObjectRangeFilter",
    "QuickPack3DDetInputs",
    "QuickPointShuffle",
    "QuickPointsRangeFilter",
    "RandomCropDomainImages",
    "ResizeDomainImages",
    "SegBlur",
    "SegColorJitter",
    "SegModalityDropout",
    "SegRandomResizedCrop",
    "SegResize",
    "SensorFailure",
    "SensorSwitch",
]
