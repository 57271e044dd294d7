"""The operator and its rivals: two aligned streams in, two fused streams out. torch only."""

from .attention import CrossAttentionFusion
from .base import FusionOperator
from .blend import StreamBlend, blend_many, blend_streams
from .exchange import ChannelExchangeFusion, TokenExchangeFusion
from .functional import FusionParameters, gemini_fusion, gemini_gates
from .gemini import GeminiFusion
from .released import (
    convert_released_state_dict,
    find_blocks,
    find_released_blocks,
    from_released,
    to_released,
)
from .reliability import doubt, gate_bias, reliability_loss
from .rivals import ConcatFusion, SumFusion
from .ways import GeminiWaysFusion, ways_fusion

OPERATOR_KINDS = (FusionOperator, GeminiWaysFusion)
"""Every class that fuses streams: of two, and of any number."""

__all__ = [
    "OPERATOR_KINDS",
    "ChannelExchangeFusion",
    "ConcatFusion",
    "CrossAttentionFusion",
    "FusionOperator",
    "FusionParameters",
    "GeminiFusion",
    "GeminiWaysFusion",
    "StreamBlend",
    "SumFusion",
    "TokenExchangeFusion",
    "blend_many",
    "blend_streams",
    "convert_released_state_dict",
    "doubt",
    "find_blocks",
    "find_released_blocks",
    "from_released",
    "gate_bias",
    "gemini_fusion",
    "gemini_gates",
    "reliability_loss",
    "to_released",
    "ways_fusion",
]
