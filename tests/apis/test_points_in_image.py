"""`infer` keeps the points that the check of a KITTI folder counts."""

from __future__ import annotations

import numpy as np

from gemini_det3d.apis.detector import points_in_image
from gemini_det3d.formats.kitti import Calibration


def test_a_point_on_the_left_and_upper_edge_is_kept_and_one_on_the_others_is_not():
    # u = -y / x, v = -z / x in an image of 80 x 60
    p2 = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    tr_velo_to_cam = np.array([[0, -1.0, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
    calibration = Calibration(p2=p2, r0_rect=np.eye(3), tr_velo_to_cam=tr_velo_to_cam)
    corners = np.array([[1.0, 0, 0], [1, -80, 0], [1, 0, -60], [1, -79.9, -59.9], [-1, 0, 0]])
    assert np.array_equal(points_in_image(corners, calibration, (80, 60)), corners[[0, 3]])
