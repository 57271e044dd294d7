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
from gemini_det3d.corruptions.base import (
    SEVERITIES,
    Corruption,
    UnusableDataError,
    generator_of,
)
from gemini_det3d.corruptions.lidar_faults import KEEPS_EVERY_POINT
from gemini_det3d.corruptions.scores import RobustnessScores, robustness_scores

__all__ = [
    "CORRUPTIONS",
    "KEEPS_EVERY_POINT",
    "SEVERITIES",
    "Corruption",
    "RobustnessScores",
    "UnusableDataError",
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
        UnusableDataError: A picture of another shape, type or range.
    """
    corruption = _find(name, ("camera", "modalities"))
    _check_picture(image)
    whole = np.ascontiguousarray(image, dtype=np.float32)
    changed = corruption(whole, severity, generator_of(name, seed, frame, view))
    if image.dtype == np.uint8:
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return np.clip(changed, 0, 255).astype(np.float32)


def corrupt_points(
    points: np.ndarray,
    name: str,
    severity: int,
    seed: int = 0,
    frame: str = "",
    intensity: int | None = 3,
) -> np.ndarray:
    """Corrupt a cloud.

    Args:
        points: ``(N, C)``, x, y, z in metres first.
        name: A corruption whose target is 'lidar'.
        severity: 1 to 5.
        seed: Of the test.
        frame: What tells the frame from others.
        intensity: Column that holds intensities, if there are so many; None: none does. Other
            columns go with their points.

    Returns:
        ``(M, C)`` float32, new.

    Raises:
        ValueError: There is no such corruption of clouds, or no such severity.
        UnusableDataError: Values that are not finite.
    """
    corruption = _find(name, ("lidar",))
    cloud = np.ascontiguousarray(points, dtype=np.float32)
    if not np.isfinite(cloud).all():
        rows = (~np.isfinite(cloud)).any(axis=1).sum()
        raise UnusableDataError(f"{rows} of {len(cloud)} points hold values that are not finite")
    generator, width = generator_of(name, seed, frame), cloud.shape[1]
    others = [column for column in range(3, width) if column != intensity]
    if len(others) == width - 3 > 0:  # one that says nothing stands in for it
        blank = np.insert(cloud, 3, 0, axis=1)
        return np.delete(corruption(blank, severity, generator), 3, axis=1).astype(np.float32)
    order = [column for column in range(width) if column not in others] + others
    changed = corruption(cloud[:, order], severity, generator).astype(np.float32)
    return changed[:, np.argsort(order)]


def _check_picture(image: np.ndarray) -> None:
    """Refuse what corruptions of pictures would make nonsense of."""
    is_float = image.dtype.kind == "f"
    if image.ndim != 3 or image.shape[2] != 3 or not (is_float or image.dtype == np.uint8):
        found = f"{image.dtype} of shape {image.shape}"
        raise UnusableDataError(f"a picture must be (H, W, 3), uint8 or float, got {found}")
    if is_float and image.size:
        low, high = image.min(), image.max()
        is_of_one = 0 < high <= 1 and bool((image % 1).any())
        if not 0 <= low <= high <= 255 or is_of_one:  # not a number, too
            raise UnusableDataError(f"a picture must hold 0 to 255, got {low:g} to {high:g}")


def _find(name: str, targets: tuple[str, ...]) -> Corruption:
    corruption = CORRUPTIONS.get(name)
    if corruption is None or corruption.target not in targets:
        known = [each for each, value in CORRUPTIONS.items() if value.target in targets]
        raise ValueError(f"{name!r} is none of the corruptions of {targets[0]}s: {known}")
    return corruption
