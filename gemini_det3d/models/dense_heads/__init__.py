"""Heads that read point features."""

from .vote_head import GeminiVoteHead

__all__ = ["GeminiVoteHead"]
