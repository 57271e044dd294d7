"""Everything that mmdet3d's registry builds; importing it registers it."""

from .auxiliary import WithAuxiliaryLosses, auxiliary_losses, reliability_losses
from .backbones import GeminiMiT, GeminiPointNet2SASSG, GeminiSwin
from .decode_heads import SegFormerMLPHead
from .dense_heads import GeminiAnchor3DHead, GeminiCenterHead, GeminiVoteHead
from .detectors import GeminiBEVDetector, GeminiMVXNet, GeminiVoteNet
from .layers import GeminiPointFPModule, GeminiPointSAModule, SmallBatchNorm1d
from .losses import AdversarialLoss, OhemCrossEntropy, PixelCrossEntropy
from .middle_encoders import GeminiSparseEncoder
from .necks import MapFusionNeck, PointFusionNeck
from .operators import OPERATORS, build_operator
from .segmentors import FusionSegmentor, ModalityPreprocessor
from .translators import (
    GeminiTranslator,
    MiTGenerator,
    MiTPatchDiscriminator,
    TranslationPreprocessor,
)
from .view_transforms import LiftToBEV
from .voxel_encoders import GeminiDynamicVFE

__all__ = [
    "OPERATORS",
    "AdversarialLoss",
    "FusionSegmentor",
    "GeminiAnchor3DHead",
    "GeminiBEVDetector",
    "GeminiCenterHead",
    "GeminiDynamicVFE",
    "GeminiMVXNet",
    "GeminiMiT",
    "GeminiPointFPModule",
    "GeminiPointNet2SASSG",
    "GeminiPointSAModule",
    "GeminiSparseEncoder",
    "GeminiSwin",
    "GeminiTranslator",
    "GeminiVoteHead",
    "GeminiVoteNet",
    "LiftToBEV",
    "MapFusionNeck",
    "MiTGenerator",
    "MiTPatchDiscriminator",
    "ModalityPreprocessor",
    "OhemCrossEntropy",
    "PixelCrossEntropy",
    "PointFusionNeck",
    "SegFormerMLPHead",
    "SmallBatchNorm1d",
    "TranslationPreprocessor",
    "WithAuxiliaryLosses",
    "auxiliary_losses",
    "build_operator",
    "reliability_losses",
]
