"""Checkpoints from elsewhere -> ours: reading, renaming, checking, writing."""

from .convert import ConversionReport, convert_state
from .files import read_state, write_state

__all__ = ["ConversionReport", "convert_state", "read_state", "write_state"]
