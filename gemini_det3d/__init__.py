"""GeminiFusion as a plug-in for mmdetection3d; the names below are loaded when they are used.

Importing the package registers nothing and pulls in nothing, not even ``typing``: every start of
Python does so, see :mod:`gemini_det3d.mmcv_finder`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true

if TYPE_CHECKING:
    from gemini_det3d.apis.ablation.ablate import ablate
    from gemini_det3d.apis.comparison.compare import compare
    from gemini_det3d.apis.config import find_config
    from gemini_det3d.apis.detector import Detector
    from gemini_det3d.apis.segmentor import Segmentor
    from gemini_det3d.apis.translator import Translator
    from gemini_det3d.fusion import GeminiFusion

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "GeminiFusion",
    "Segmentor",
    "Translator",
    "__version__",
    "ablate",
    "compare",
    "find_config",
]

_HOMES = {
    "Detector": "gemini_det3d.apis.detector",
    "GeminiFusion": "gemini_det3d.fusion",
    "Segmentor": "gemini_det3d.apis.segmentor",
    "Translator": "gemini_det3d.apis.translator",
    "ablate": "gemini_det3d.apis.ablation.ablate",
    "compare": "gemini_det3d.apis.comparison.compare",
    "find_config": "gemini_det3d.apis.config",
}


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
