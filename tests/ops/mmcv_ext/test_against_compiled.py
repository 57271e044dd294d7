"""Ours against compiled mmcv, number by number: stored answers, and the module itself."""

from __future__ import annotations

from pathlib import Path

import mmcv._ext as installed
import numpy as np
import pytest
from compiled_cases import CASES, run

from gemini_det3d.ops.mmcv_ext import _ext as ours
from gemini_det3d.ops.mmcv_ext.health import is_ours

GOLDEN = Path(__file__).with_name("golden.npz")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        yield arrays


def check(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if tolerance == 0 or found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_ours_gives_the_numbers_of_compiled_mmcv(form, golden, name):
    answers = run(ours, name)
    assert {f"{name}/{key}" for key in answers} == {
        key for key in golden.files if key.split("/")[0] == name
    }
    for key, found in answers.items():
        check(found.numpy(), golden[f"{name}/{key}"], CASES[name][2])


@pytest.mark.skipif(is_ours(installed), reason="mmcv has no compiled module here")
@pytest.mark.parametrize("name", CASES)
def test_stored_numbers_are_those_of_the_compiled_module_that_is_installed(golden, name):
    for key, found in run(installed, name).items():
        check(found.numpy(), golden[f"{name}/{key}"], CASES[name][2])


def test_stored_cases_are_not_trivial(golden):
    for name, least in (("nms", 0.3), ("nms_rotated", 0.2), ("nms with offset", 0.3)):
        kept = len(golden[f"{name}/kept"])
        assert least < kept / CASES[name][1][0] < 0.9
    assert 50 < (golden["box_iou_rotated/ious"] > 0.1).sum()
    assert 500 < golden["hard_voxelize/count"] < 1500
    assert golden["hard_voxelize/per_voxel"].max() == 4
    assert golden["hard_voxelize of too many/count"] == 100
    assert (golden["dynamic_voxelize/coors"] == -1).mean() > 0.1
    assert 100 < golden["points_in_boxes/inside"].sum()


def test_an_op_without_a_form_here_says_so_by_name_when_called():
    op = ours.upfirdn2d
    with pytest.raises(
        NotImplementedError, match="'upfirdn2d'.*uninstall -y mmcv mmcv-lite && MMCV_WI"
    ):
        op(None)


def test_names_that_python_itself_looks_for_are_not_ops():
    with pytest.raises(AttributeError):
        ours.__wrapped__  # noqa: B018


def test_every_name_that_mmcv_loads_is_there():
    import mmcv.ops

    ours_names = set(ours.__all__)
    assert {"nms", "roi_align_forward", "knn_forward"} <= ours_names
    assert all(callable(getattr(ours, name)) for name in ours_names)
    assert mmcv.ops.nms is not None
