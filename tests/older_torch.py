"""What releases of PyTorch before the pinned one lack: tests of that are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from gemini_det3d.fusion.kernels.torch_versions import (
    CAN_TELL_EXPORTS,
    CAN_TRACE,
    HAS_CUSTOM_OPERATORS,
)

# What a form, or PyTorch, says itself.
_SAID = ("needs PyTorch", "AutocastCPU only support Bfloat16")

needs_custom_operators = pytest.mark.skipif(
    not HAS_CUSTOM_OPERATORS, reason="custom operators need PyTorch 2.4"
)
needs_all_forms = pytest.mark.skipif(
    not CAN_TRACE, reason="the forms that are chosen from PyTorch 2.13 on"
)
needs_told_exports = pytest.mark.skipif(
    not CAN_TELL_EXPORTS, reason="PyTorch before 2.7 does not say that it exports"
)
needs_counted_version = pytest.mark.skipif(
    not CAN_TRACE, reason="calls of PyTorch 2.13 were counted; its optimizer of 2.5 makes more"
)
needs_named_sizes = pytest.mark.skipif(
    not hasattr(torch.export, "Dim"), reason="torch.export.Dim needs PyTorch 2.2"
)


def skip_module_without_custom_operators() -> None:
    """For modules that load what is written as custom operators."""
    if not HAS_CUSTOM_OPERATORS:
        pytest.skip("custom operators need PyTorch 2.4", allow_module_level=True)


@contextmanager
def skipped_where_older() -> Iterator[None]:
    """A test that asks an older PyTorch for what it says it lacks is skipped."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if CAN_TRACE or not any(words in str(error) for words in _SAID):
            raise
        pytest.skip(str(error))
