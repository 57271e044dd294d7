"""Earlier sweeps of a LiDAR, checked, and moved to where the last one was taken.

mmdet3d 1.4.0 adds ``R.T @ t`` where a sweep has moved by ``R @ p + t``: half a metre off after
three metres in a turn of ten degrees, and nothing shows it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet3d.datasets.transforms import LoadPointsFromMultiSweeps

from gemini_det3d.datasets.transforms.checked_loading import read_file
from gemini_det3d.formats.clouds import finite_points, parse_cloud
from gemini_det3d.formats.errors import OTHER_FORM, FormatError
from gemini_det3d.registration import register
from gemini_det3d.registry import TRANSFORMS

_TIME = 4  # the column that holds a point's age in seconds
_LONGEST_S = 10.0


@register(TRANSFORMS, "LoadPointsFromMultiSweeps")
class LoadSweeps(LoadPointsFromMultiSweeps):
    """mmdet3d's ``LoadPointsFromMultiSweeps``; same arguments, same draws.

    ``lidar2sensor`` of a sweep leads from the frame's cloud to the sweep's (mmdet3d's v2 infos).
    """

    def transform(self, results: dict) -> dict:
        """Put the points of ``lidar_sweeps`` beside ``points``, whose column 4 becomes their age.

        Raises:
            FormatError: A sweep is no cloud of ``load_dim`` finite columns, has no time or place,
                or is of quite another time; or the frame has no column for the age.
        """
        path = results.get("lidar_path", "points")
        columns = results["points"].tensor.shape[1]
        if columns <= _TIME:
            raise FormatError(path, f"gives {columns} columns; sweeps write their age into the "
                              "fifth (load_dim and use_dim of LoadPointsFromFile)")  # fmt: skip
        sweeps = results.get("lidar_sweeps") or []
        if sweeps and "timestamp" not in results:
            raise FormatError(path, "has lidar_sweeps and no timestamp in the info file")
        now = results.get("timestamp", 0.0)
        placed = {"lidar_sweeps": [_placed(sweep, now, path) for sweep in sweeps]} if sweeps else {}
        moved = super().transform({**results, "timestamp": now, **placed})
        return {**results, "points": moved["points"]}

    def _load_points(self, pts_filename: str) -> np.ndarray:
        points = parse_cloud(
            read_file(pts_filename, self.backend_args), pts_filename, self.load_dim
        )
        return finite_points(points, pts_filename)


def _placed(sweep: dict, now: float, path: str) -> dict[str, Any]:
    """A sweep whose matrix mmdet3d turns into the right move."""
    try:
        cloud, time = sweep["lidar_points"], float(sweep["timestamp"])
        move = np.linalg.inv(np.asarray(cloud["lidar2sensor"], dtype=np.float64).reshape(4, 4))
    except (*OTHER_FORM, np.linalg.LinAlgError) as error:
        fault = f"has lidar_sweeps of another form than expected ({type(error).__name__}: {error})"
        raise FormatError(path, fault) from error
    if abs(now - time) > _LONGEST_S:
        fault = f"is of {now:.3f} and its sweep {cloud['lidar_path']} of {time:.3f}; seconds wanted"
        raise FormatError(path, fault)
    given = np.eye(4)
    given[:3, :3], given[:3, 3] = move[:3, :3].T, -move[:3, 3]  # it takes p @ A[:3, :3] - A[:3, 3]
    return {**sweep, "lidar_points": {**cloud, "lidar2sensor": given}}
