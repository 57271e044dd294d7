"""Names of checkpoints from elsewhere <-> ours."""

from .names import LAYOUTS, Layout, find_layout
from .segmentors import from_released_segmentor, to_released_segmentor
from .streams import take_streams

__all__ = [
    "LAYOUTS",
    "Layout",
    "find_layout",
    "from_released_segmentor",
    "take_streams",
    "to_released_segmentor",
]
