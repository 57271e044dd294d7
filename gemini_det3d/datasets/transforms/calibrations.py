"""Where a sample's cameras look, and what moves them: the matrices that place points in images."""

from __future__ import annotations

import numpy as np

from gemini_det3d.geometry.matrices import as_4x4

PROJECTIONS = ("lidar2img", "lidar2cam", "depth2img")
BACK = "cam2lidar"  # BEVFusion's, (V, 4, 4)
AHEAD = ("x", "y", "-x", "-y")  # in quarter turns from x


def has_calibration(results: dict) -> bool:
    """Whether a loaded sample holds a matrix that places points in images, or pixels in space."""
    return any(key in results for key in (*PROJECTIONS, BACK))


def move_before_projection(results: dict, movement: np.ndarray, ahead: str | None = None) -> None:
    """Change a sample's projections as if its points had moved, which themselves stay.

    Args:
        results: With its calibration loaded; it gets new matrices.
        movement: ``(4, 4)`` of points with x ahead, whatever the sample's own axes.
        ahead: As of :func:`to_front`.
    """
    turn = np.eye(4)
    turn[:3, :3] = to_front(results, ahead)
    movement = turn @ movement @ turn.T
    for key in PROJECTIONS:
        if key in results:
            rows = np.shape(results[key])[-2]
            results[key] = (as_4x4(results[key]) @ movement)[..., :rows, :]
    if BACK in results:
        results[BACK] = np.linalg.inv(movement) @ np.asarray(results[BACK], np.float64)


def to_front(results: dict, ahead: str | None = None) -> np.ndarray:
    """``(3, 3)`` quarter turn from x to the axis that the first camera looks along.

    Corruptions count x as the way ahead, as KITTI does; of nuScenes and of rooms that is y. Where
    no image is loaded the info of the sample says how its cameras stand, so that a model without
    them gets the same points.

    Args:
        results: A loaded sample.
        ahead: Of `AHEAD`, where nothing in the sample tells; None: x.
    """
    matrices = _first_projection(results)
    if matrices is None:
        turns = AHEAD.index(ahead or "x")
    else:
        first = np.reshape(matrices, (-1, *np.shape(matrices)[-2:]))[0]
        turns = round(np.arctan2(first[2, 1], first[2, 0]) / (np.pi / 2))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return np.linalg.matrix_power(quarter, turns % 4)


def _first_projection(results: dict) -> np.ndarray | None:
    """Of what was loaded, else of the first camera of the info that has one."""
    cameras = results.get("images")
    infos = cameras.values() if isinstance(cameras, dict) else ()
    for holder in (results, *(each for each in infos if isinstance(each, dict))):
        for key in PROJECTIONS:
            if holder.get(key) is not None:
                return np.asarray(holder[key], dtype=np.float64)
    return None
