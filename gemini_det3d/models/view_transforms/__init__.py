"""From image features to bird's-eye-view maps."""

from .lift import LiftToBEV
from .views import Views

__all__ = ["LiftToBEV", "Views"]
