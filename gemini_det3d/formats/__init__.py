"""Files on disk <-> arrays. NumPy only; every fault is a FormatError that names the file."""

from __future__ import annotations

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.moved import install

__all__ = ["FormatError"]

install()
