"""Checkpoints from elsewhere -> ours: renaming and checking."""

from .convert import DETECTOR, ConversionReport, convert_state

__all__ = ["DETECTOR", "ConversionReport", "convert_state"]
