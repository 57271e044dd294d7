"""Frames of KITTI for the tests of its metric."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["made", "real"])
def root(request, tmp_path):
    """Three frames in KITTI's layout: made here, and KITTI's own where they are at hand."""
    if request.param == "real":
        return request.getfixturevalue("shared_dir") / "data" / "kitti_mini" / "training"
    from kitti_frames import write_scenes

    write_scenes(tmp_path)
    return tmp_path


@pytest.fixture
def infos(root) -> dict:
    from kitti_frames import make_infos

    return make_infos(root)


@pytest.fixture
def truth_samples(root) -> list[dict]:
    """Ground truth as a model's predictions."""
    from kitti_frames import make_truth_samples

    return make_truth_samples(root)
