"""Files of tensors, whoever wrote them: read on every PyTorch without running what they say."""

from __future__ import annotations

from gemini_det3d.formats.torch_files.left_out import without_stand_ins
from gemini_det3d.formats.torch_files.reading import read_torch_file

__all__ = ["read_torch_file", "without_stand_ins"]
