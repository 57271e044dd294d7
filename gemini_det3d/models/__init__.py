"""Everything that mmdet3d's registry builds; importing it registers it."""

from .auxiliary import WithAuxiliaryLosses, auxiliary_losses
from .backbones import GeminiMiT, GeminiSwin
from .detectors import GeminiBEVDetector, GeminiMVXNet
from .layers import SmallBatchNorm1d
from .middle_encoders import GeminiSparseEncoder
from .necks import MapFusionNeck, PointFusionNeck
from .operators import OPERATORS, build_operator
from .view_transforms import LiftToBEV
from .voxel_encoders import GeminiDynamicVFE

__all__ = [
    "OPERATORS",
    "GeminiBEVDetector",
    "GeminiDynamicVFE",
    "GeminiMVXNet",
    "GeminiMiT",
    "GeminiSparseEncoder",
    "GeminiSwin",
    "LiftToBEV",
    "MapFusionNeck",
    "PointFusionNeck",
    "SmallBatchNorm1d",
    "WithAuxiliaryLosses",
    "auxiliary_losses",
    "build_operator",
]
