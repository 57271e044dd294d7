"""A small camera beside a LiDAR, in KITTI's form: what tests draw, write and read frames with."""

from __future__ import annotations

import numpy as np

from gemini_det3d.formats.kitti import Calibration

SIZE = (397, 131)
CALIBRATION = Calibration(
    p2=[[200.0, 0, 198, 9], [0, 200, 65, 0.2], [0, 0, 1, 0.003]],
    r0_rect=np.eye(3),
    tr_velo_to_cam=[[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]],
)
