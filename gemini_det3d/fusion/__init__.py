"""The operator and its rivals: two aligned streams in, two fused streams out. torch only."""

from .attention import CrossAttentionFusion
from .base import FusionOperator
from .blend import StreamBlend, blend_streams
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
from .rivals import ConcatFusion, SumFusion

__all__ = [
    "ChannelExchangeFusion",
    "ConcatFusion",
    "CrossAttentionFusion",
    "FusionOperator",
    "FusionParameters",
    "GeminiFusion",
    "StreamBlend",
    "SumFusion",
    "TokenExchangeFusion",
    "blend_streams",
    "convert_released_state_dict",
    "find_blocks",
    "find_released_blocks",
    "from_released",
    "gemini_fusion",
    "gemini_gates",
    "to_released",
]
