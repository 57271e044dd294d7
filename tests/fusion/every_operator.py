"""All operators that one word in a config swaps."""

from gemini_det3d.fusion import (
    ChannelExchangeFusion,
    ConcatFusion,
    CrossAttentionFusion,
    GeminiFusion,
    SumFusion,
    TokenExchangeFusion,
)

OPERATORS = [
    GeminiFusion,
    SumFusion,
    ConcatFusion,
    CrossAttentionFusion,
    TokenExchangeFusion,
    ChannelExchangeFusion,
]
