"""Matrices as arrays; needs NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_4x4(matrices: Any) -> np.ndarray:
    """Camera matrices and poses with the rows and columns that they leave out.

    Args:
        matrices: ``(..., 3 or 4, 3 or 4)``, arrays or lists.

    Returns:
        ``(..., 4, 4)`` float64; what was not given is that of the identity.
    """
    given = np.asarray(matrices, dtype=np.float64)
    whole = np.broadcast_to(np.eye(4), (*given.shape[:-2], 4, 4)).copy()
    whole[..., : given.shape[-2], : given.shape[-1]] = given
    return whole
