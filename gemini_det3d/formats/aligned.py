"""Whether two files of one moment show the same view: their sizes say so."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from gemini_det3d.formats.errors import FormatError

MARGIN = 0.05
"""Share of a side by which frames of two files may differ; more is another resolution."""
_MARGIN_PX = 1
_ASPECT_TOLERANCE = 0.05


def check_same_view(
    path: str | os.PathLike | np.ndarray,
    shape: Sequence[int],
    leading: str | os.PathLike | np.ndarray,
    leading_shape: Sequence[int],
    rule: str,
) -> None:
    """Refuse a file whose pixels cannot be those of the leading one.

    Args:
        path: The file; an array stands for itself.
        shape: ``(H, W, ...)`` of it.
        leading: The file that it must agree with.
        leading_shape: ``(H, W, ...)`` of that.
        rule: What is done about another size: "error" (any is refused), "crop" (margins are cut
            off, another resolution is refused) or "resize" (another aspect is refused).

    Raises:
        FormatError: It is refused; the message has both files and sizes.
    """
    own, other = tuple(shape[:2]), tuple(leading_shape[:2])
    if own == other:
        return
    path, leading = _name(path), _name(leading)
    sizes = f"is {own[1]} x {own[0]} pixels, {leading} is {other[1]} x {other[0]}"
    aspect = (own[0] * other[1]) / (own[1] * other[0])
    is_margin = all(abs(a - b) <= max(_MARGIN_PX, MARGIN * max(a, b)) for a, b in zip(own, other))
    if rule == "error":
        raise FormatError(path, sizes)
    if is_margin:
        return
    if abs(aspect - 1) > _ASPECT_TOLERANCE:
        raise FormatError(path, f"{sizes}: not the same view")
    if rule == "crop":
        fault = f"{sizes}: another resolution, not a margin (on_size_mismatch='resize' resizes it)"
        raise FormatError(path, fault)


def _name(source: str | os.PathLike | np.ndarray) -> str:
    return "an image given as an array" if isinstance(source, np.ndarray) else os.fspath(source)
