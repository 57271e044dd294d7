"""Camera matrices and poses of every shape that files have, as 4 x 4."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.geometry.matrices import as_4x4


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (4, 4), (2, 3, 4), (0, 3, 3)])
def test_what_is_left_out_is_the_identitys(shape):
    given = np.random.default_rng(0).normal(size=shape)
    whole = as_4x4(given)
    assert whole.shape == (*shape[:-2], 4, 4) and whole.dtype == np.float64
    np.testing.assert_array_equal(whole[..., : shape[-2], : shape[-1]], given)
    rest = np.ones((4, 4), bool)
    rest[: shape[-2], : shape[-1]] = False
    assert (whole[..., rest] == np.eye(4)[rest]).all()


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.zeros((5, 5)), "x"])
def test_what_is_no_such_matrix_is_an_error(bad):
    with pytest.raises((ValueError, IndexError)):
        as_4x4(bad)
