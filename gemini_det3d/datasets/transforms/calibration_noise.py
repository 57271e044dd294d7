"""Calibrations that are a little off in training, so that a model does not lean on the pixel."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.corruptions.sensors import moved, turned
from gemini_det3d.datasets.transforms.calibrations import PROJECTIONS, move_before_projection
from gemini_det3d.datasets.transforms.corruptible import targets_of
from gemini_det3d.registration import register


@register(TRANSFORMS)
class CalibrationNoise(BaseTransform):
    """Turns and moves the cameras against the LiDAR, anew in every sample.

    Stands behind the steps that load files, before any that augment. Points, boxes and images stay
    as they are; the matrices that project points do not. With both at 0 it draws nothing.

    Args:
        turned_deg: The largest angle, in degrees; each sample draws one evenly between 0 and this,
            and an axis.
        moved_m: The largest way, in metres, in a direction that is drawn; likewise.

    Raises:
        ValueError: One of the two is negative or not finite.
    """

    def __init__(self, turned_deg: float = 0.0, moved_m: float = 0.0) -> None:
        for name, value in (("turned_deg", turned_deg), ("moved_m", moved_m)):
            if not 0 <= value < np.inf:
                raise ValueError(f"CalibrationNoise: {name}={value} must be 0 or more, and finite")
        self.turned_deg, self.moved_m = turned_deg, moved_m

    def transform(self, results: dict) -> dict:
        """Move one sample's cameras.

        Args:
            results: With its files loaded.

        Returns:
            The same dictionary with new matrices.

        Raises:
            ValueError: The sample has no LiDAR and camera whose calibration could be off.
        """
        if not (self.turned_deg or self.moved_m):
            return results
        if "calibration" not in targets_of(results):
            named = ", ".join(PROJECTIONS)
            raise ValueError(
                f"CalibrationNoise: the sample needs points, an image and one of {named}"
            )
        generator = np.random.default_rng(np.random.randint(2**31, size=4))
        shares = generator.random(2)
        movement = turned(None, self.turned_deg * shares[0], generator)
        movement = movement @ moved(None, self.moved_m * shares[1], generator)
        move_before_projection(results, movement)
        return results

    def __repr__(self) -> str:
        return f"CalibrationNoise(turned_deg={self.turned_deg}, moved_m={self.moved_m})"
