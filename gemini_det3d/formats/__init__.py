"""Files on disk <-> arrays. NumPy only; every fault is a FormatError that names the file."""

from __future__ import annotations

from gemini_det3d.formats.errors import FormatError

__all__ = ["FormatError"]
