"""GeminiFusion as a plug-in for mmdetection3d: importing this registers nothing."""

__version__ = "0.1.0"
__all__ = ["__version__"]
