"""Corruptions: how cameras, LiDARs and their calibration fail or lie, in five severities.

Pure functions of arrays, seeded (:func:`generator_of`), bit-identical in every process, and nested:
what a severity loses, the next one loses, too. The levels are ours, chosen so that 1 is a nuisance
and 5 a wreck; do not compare figures made with them with other benchmarks' of the same names.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.corruptions import (
    camera_blur,
    camera_faults,
    camera_light,
    camera_noise,
    camera_weather,
    lidar_faults,
    lidar_weather,
    sensors,
)
from gemini_det3d.corruptions.base import SEVERITIES, Corruption, generator_of
from gemini_det3d.corruptions.scores import RobustnessScores, robustness_scores

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "Corruption",
    "RobustnessScores",
    "corrupt_image",
    "corrupt_points",
    "generator_of",
    "robustness_scores",
]

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for module in (
        camera_weather,
        camera_light,
        camera_blur,
        camera_noise,
        camera_faults,
        lidar_weather,
        lidar_faults,
        sensors,
    )
    for corruption in module.CORRUPTIONS
}


def corrupt_image(
    image: np.ndarray, name: str, severity: int, seed: int = 0, frame: str = "", view: int = 0
) -> np.ndarray:
    """Corrupt a picture.

    Args:
        image: ``(H, W, 3)`` RGB in 0 to 255, uint8 or float.
        name: A corruption whose target is 'camera' or 'modalities'.
        severity: 1 to 5.
        seed: Of the test.
        frame: What tells the frame from others.
        view: Which camera or modality.

    Returns:
        ``(H, W, 3)``, new: uint8 of uint8, else float32, whose values are not rounded (depths of 16
        bits lie close together).

    Raises:
        ValueError: There is no such corruption of pictures, or no such severity.
    """
    corruption = _find(name, ("camera", "modalities"))
    whole = np.ascontiguousarray(image, dtype=np.float32)
    changed = corruption(whole, severity, generator_of(name, seed, frame, view))
    if image.dtype == np.uint8:
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return np.clip(changed, 0, 255).astype(np.float32)


def corrupt_points(
    points: np.ndarray, name: str, severity: int, seed: int = 0, frame: str = ""
) -> np.ndarray:
    """Corrupt a cloud.

    Args:
        points: ``(N, C)``, x, y, z in metres first, then intensity if any.
        name: A corruption whose target is 'lidar'.
        severity: 1 to 5.
        seed: Of the test.
        frame: What tells the frame from others.

    Returns:
        ``(M, C)`` float32, new.

    Raises:
        ValueError: There is no such corruption of clouds, or no such severity.
    """
    corruption = _find(name, ("lidar",))
    cloud = np.ascontiguousarray(points, dtype=np.float32)
    return corruption(cloud, severity, generator_of(name, seed, frame)).astype(np.float32)


def _find(name: str, targets: tuple[str, ...]) -> Corruption:
    corruption = CORRUPTIONS.get(name)
    if corruption is None or corruption.target not in targets:
        known = [each for each, value in CORRUPTIONS.items() if value.target in targets]
        raise ValueError(f"{name!r} is none of the corruptions of {targets[0]}s: {known}")
    return corruption
