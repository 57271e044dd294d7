"""From image features to bird's-eye-view maps."""

from .lift import LiftToBEV

__all__ = ["LiftToBEV"]
