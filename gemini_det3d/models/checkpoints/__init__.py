"""Checkpoints: read without running code, named as elsewhere or as here, put into models whole."""

from .detectors import convert_released_detector, to_released_detector
from .loading import LoadReport, check_report, fit_state, load_parameters
from .names import LAYOUTS, Layout, find_layout
from .reading import read_checkpoint
from .segmentors import from_released_segmentor, to_released_segmentor
from .sparse import accept_either_layout, in_stated_layout
from .streams import take_streams
from .wrappers import find_parameters, without_wrappers
from .writing import write_state

__all__ = [
    "LAYOUTS",
    "Layout",
    "LoadReport",
    "accept_either_layout",
    "check_report",
    "convert_released_detector",
    "find_layout",
    "find_parameters",
    "fit_state",
    "from_released_segmentor",
    "in_stated_layout",
    "load_parameters",
    "read_checkpoint",
    "take_streams",
    "to_released_detector",
    "to_released_segmentor",
    "without_wrappers",
    "write_state",
]
