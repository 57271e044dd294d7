"""Without spconv no detector that voxelises can be built: tests of them are skipped and say so."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

_SAID = "needs sparse convolution"  # what `GeminiSparseEncoder` says, wherever a test meets it

needs_spconv = pytest.mark.skipif(find_spec("spconv") is None, reason="needs spconv")


def skip_where_it_lacks(item: pytest.Item, report: pytest.TestReport) -> None:
    """A test, its fixture or a command it calls that failed for want of spconv is skipped."""
    if not report.failed or find_spec("spconv") is not None:
        return
    if any(_SAID in text for text in (report.longreprtext, report.capstderr, report.capstdout)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1], f"Skipped: {_SAID}: spconv")
