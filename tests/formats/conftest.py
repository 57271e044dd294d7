"""A street scene in numbers: one calibration, boxes around the sensor."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.kitti import Calibration


@pytest.fixture
def calibration() -> Calibration:
    """Axes swapped exactly (no tilt), sensor 0.27 m behind the camera, focal length 700 px."""
    return Calibration(
        p2=np.array([[700.0, 0, 600, 42], [0, 700, 180, 0.7], [0, 0, 1, 0.003]]),
        r0_rect=np.eye(3),
        tr_velo_to_cam=np.array([[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]]),
    )


@pytest.fixture
def frames(shared_dir) -> list:
    """(root, frame) of the real frames."""
    root = shared_dir / "data" / "kitti_mini" / "training"
    return [(root, frame) for frame in ("000000", "000001", "000002")]
