"""Whether a frame is one that a detector can mean anything on: doubts are told, faults raised.

What `prepare` says of a whole set is said here of the one frame that a user hands over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from gemini_det3d.formats.calibration_check import Fault, check_matrices, check_overlap
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import Calibration

# Of points in the image: of KITTI's frames the published range keeps more than nine in ten.
_LEAST_IN_RANGE = 0.25
_ASIDE = 0.5  # cosine: 60 degrees
_LOG = logging.getLogger(__name__)


def check_frame(
    calibration: Calibration,
    points: np.ndarray,
    size: tuple[int, int],
    point_range: Sequence[float] | None = None,
) -> list[Fault]:
    """What calibration, cloud, image and the config's range say of each other.

    Args:
        calibration: Matrices.
        points: ``(N, 3 or more)`` metres, LiDAR frame.
        size: ``(width, height)`` of the image in pixels.
        point_range: Least x, y, z and largest, in metres, that the model looks at; None: all.
    """
    faults = check_matrices(calibration.lidar2cam, calibration.cam2img, size)
    faults += check_overlap(points, calibration.lidar2cam, calibration.cam2img, size)[1]
    return faults + (_of_direction(calibration.lidar2cam, point_range) if point_range else [])


def check_kept(given: int, packed: Any) -> list[Fault]:
    """Whether a config's pipeline leaves enough of the points that it was given.

    Args:
        given: How many.
        packed: Those left, or a list whose first entry they are.
    """
    left = len(packed[0] if isinstance(packed, list) else packed)
    if left >= _LEAST_IN_RANGE * given:
        return []
    fault = f"{left} of {given} points lie in the config's point_cloud_range"
    return [Fault("warning", f"{fault} (metres; x to the front, y to the left, z up)")]


def tell(faults: Sequence[Fault], source: str) -> None:
    """Log warnings, raise the first error.

    Args:
        faults: Of a frame.
        source: Where they come from.

    Raises:
        FormatError: There is an error among them.
    """
    for fault in faults:
        if fault.level == "error":
            raise FormatError(source, fault.text)
        _LOG.warning("%s: %s", source, fault.text)


def _of_direction(lidar2cam: np.ndarray, point_range: Sequence[float]) -> list[Fault]:
    """Whether the camera looks to where the model does, if that is to one side."""
    low, high = np.asarray(point_range[:2], float), np.asarray(point_range[3:5], float)
    middle, half = (low + high) / 2, (high - low) / 2
    if (np.abs(middle) < half / 2).all():
        return []
    ahead, looked = lidar2cam[2, :2], middle / np.linalg.norm(middle)
    if ahead @ looked >= _ASIDE * np.linalg.norm(ahead):
        return []
    fault = (
        f"the camera looks along x {ahead[0]:.2g}, y {ahead[1]:.2g} of the cloud, the config's "
        f"point_cloud_range lies along x {looked[0]:.2g}, y {looked[1]:.2g}"
    )
    return [Fault("warning", fault)]
