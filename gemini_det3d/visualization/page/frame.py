"""One frame to show: what every source of frames hands to the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gemini_det3d.visualization.labeled_boxes import LabeledBoxes


@dataclass(frozen=True)
class Camera:
    """One camera of a frame.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        lidar2img: ``(3, 4)`` or ``(4, 4)``, the points' frame to pixels times depth, whole numbers
            at the middles of pixels. None: not calibrated.
        name: Of the camera.
    """

    image: np.ndarray
    lidar2img: np.ndarray | None = None
    name: str = "camera"

    def pose(self) -> dict[str, list[float]] | None:
        """Where it stands and looks, in the points' frame.

        Returns:
            ``position`` (metres), ``forward`` (unit vector through the image's middle) and
            ``fov_deg`` (from the top of the image to its bottom); None where it is not calibrated.
        """
        if self.lidar2img is None:
            return None
        matrix = np.asarray(self.lidar2img, dtype=np.float64)[:3]
        back = np.linalg.inv(matrix[:, :3])
        height, width = self.image.shape[:2]
        u, v = (width - 1) / 2, (height - 1) / 2
        rays = np.array([[u, v, 1], [u, -0.5, 1], [u, height - 0.5, 1]]) @ back.T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angle = np.arccos(np.clip(rays[1] @ rays[2], -1, 1))
        return {
            "position": (-back @ matrix[:, 3]).tolist(),
            "forward": rays[0].tolist(),
            "fov_deg": [float(np.degrees(angle))],
        }


@dataclass(frozen=True)
class ViewFrame:
    """Points, images and boxes of one moment.

    Attributes:
        name: Of the frame.
        points: ``(N, 3 or more)`` x, y, z (metres, z up), intensity where there is one.
        cameras: Its images; none where there is no camera.
        truth: Labelled boxes in the points' frame, or None where there are no labels.
        results: Detections of each result set; None where a set has no file of this frame.
        colors: ``(N, 3)`` uint8 colours of the points, where the sensor gives them.
        gate: ``(N,)`` in [0, 1], how much each point reads of the camera; NaN where it reads
            nothing. None: not known.
        front: Which of the cameras looks ahead.
    """

    name: str
    points: np.ndarray
    cameras: Sequence[Camera] = ()
    truth: LabeledBoxes | None = None
    results: Sequence[LabeledBoxes | None] = field(default=())
    colors: np.ndarray | None = None
    gate: np.ndarray | None = None
    front: int = 0
