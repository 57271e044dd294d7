"""Names of checkpoints from elsewhere <-> ours."""

from .names import LAYOUTS, Layout, find_layout
from .segmentors import from_released_segmentor, to_released_segmentor

__all__ = [
    "LAYOUTS",
    "Layout",
    "find_layout",
    "from_released_segmentor",
    "to_released_segmentor",
]
