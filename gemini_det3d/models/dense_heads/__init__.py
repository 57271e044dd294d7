"""Heads that predict boxes."""

from .anchor_head import GeminiAnchor3DHead
from .center_head import GeminiCenterHead
from .vote_head import GeminiVoteHead

__all__ = ["GeminiAnchor3DHead", "GeminiCenterHead", "GeminiVoteHead"]
