"""Checkpoints from elsewhere -> ours: reading, renaming, checking, writing."""

from .convert import DETECTOR, ConversionReport, convert_state
from .files import read_state, write_state

__all__ = ["DETECTOR", "ConversionReport", "convert_state", "read_state", "write_state"]
