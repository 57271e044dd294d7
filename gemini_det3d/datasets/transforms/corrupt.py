"""Corruptions of a sample in a test's pipeline, after its files are loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    UnusableDataError,
    corrupt_image,
    corrupt_points,
    generator_of,
)
from gemini_det3d.datasets.transforms.calibrations import AHEAD, move_before_projection, to_front
from gemini_det3d.datasets.transforms.corruptible import frame_of, height_column, why_not
from gemini_det3d.datasets.transforms.sensors import mask_sensors, num_cameras
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.registration import register


@register(TRANSFORMS)
class Corrupt(BaseTransform):
    """Corrupts the camera, the LiDAR, their calibration or their presence in every sample.

    Stands behind the steps that load files, before any that augment, and works on samples of
    detectors (``img``, ``points``) and of segmentors (``images``, the first of which is the
    camera). What it draws depends on the seed and the name of the sample's file alone.

    Args:
        corruption: A name of :data:`gemini_det3d.corruptions.CORRUPTIONS`; None leaves samples as
            they are.
        severity: 1 to 5.
        seed: Of the test.
        intensity: Column of ``points`` that holds intensities, 3 in KITTI's files. None: none
            does, so weather takes points and dims none, and the weakest echoes are any.
        ahead: Which way cars drive, 'x', 'y', '-x' or '-y', where neither a projection nor the
            sample's info tells where the first camera looks; None: 'x'.
        channel_order: Of ``img``: 'bgr', or 'rgb' as BEVFusion's loader reads it.

    Raises:
        ValueError: There is no such corruption or severity, or another value is none of these.
    """

    def __init__(
        self,
        corruption: str | None = None,
        severity: int = 1,
        seed: int = 0,
        intensity: int | None = None,
        ahead: str | None = None,
        channel_order: str = "bgr",
    ) -> None:
        if intensity is not None and intensity < 3:
            raise ValueError(f"Corrupt: intensity={intensity} must be a column behind x, y, z")
        if ahead not in (None, *AHEAD):
            raise ValueError(f"Corrupt: ahead={ahead!r} must be one of {AHEAD}")
        if channel_order not in ("bgr", "rgb"):
            raise ValueError(f"Corrupt: channel_order={channel_order!r} must be 'bgr' or 'rgb'")
        self.seed, self.ahead = seed, ahead
        self.intensity, self.channel_order = intensity, channel_order
        self.switch(corruption, severity)

    def switch(self, corruption: str | None, severity: int = 1) -> None:
        """Corrupt in another way from now on; arguments as of the class."""
        if corruption is not None and corruption not in CORRUPTIONS:
            raise ValueError(f"Corrupt: corruption={corruption!r} is none of {list(CORRUPTIONS)}")
        if severity not in SEVERITIES:
            raise ValueError(f"Corrupt: severity={severity!r} must be one of {SEVERITIES}")
        self.corruption, self.severity = corruption, severity

    def transform(self, results: dict) -> dict:
        """Corrupt one sample.

        Args:
            results: With its files loaded.

        Returns:
            The same dictionary with new values where they are changed.

        Raises:
            ValueError: The sample does not have what is to be corrupted.
            FormatError: Its points are not finite, or its pictures not of colours in 0 to 255.
        """
        if self.corruption is not None:
            fault = why_not(self.corruption, results, self.intensity)
            if fault is not None:
                raise ValueError(f"Corrupt: {self.corruption} {fault}")
            target, frame = CORRUPTIONS[self.corruption].target, frame_of(results)
            try:
                getattr(self, f"_change_{target}")(results, frame)
            except UnusableDataError as error:
                raise FormatError(frame, f"{self.corruption}: {error}") from error
        return results

    def _change_camera(self, results: dict, frame: str) -> None:
        if "img" not in results:
            name = next(iter(results["images"]))
            results["images"] = {**results["images"], name: self._picture(results, name, frame)}
        elif isinstance(results["img"], list):
            views = enumerate(results["img"])
            results["img"] = [self._image(image, frame, view) for view, image in views]
        else:
            results["img"] = self._image(results["img"], frame, 0)

    def _change_modalities(self, results: dict, frame: str) -> None:
        names = results["images"]
        results["images"] = {name: self._picture(results, name, frame) for name in names}

    def _change_lidar(self, results: dict, frame: str) -> None:
        points = results["points"]
        cloud, height = points.tensor.numpy(), height_column(points)
        bare = cloud if height is None else np.delete(cloud, height, axis=1)
        turn = to_front(results, self.ahead)
        changed = corrupt_points(
            _turned(bare, turn.T),
            self.corruption,
            self.severity,
            self.seed,
            frame,
            self._intensity_behind(height, cloud.shape[1]),
        )
        changed = _turned(changed, turn)
        if height is not None:  # above the same floor as before
            floor = (cloud[:1, 2] - cloud[:1, height]).sum()
            changed = np.insert(changed, height, changed[:, 2] - floor, axis=1)
        # One point stays, for steps that draw a number of points.
        results["points"] = points.new_point(
            torch.from_numpy(changed if len(changed) else cloud[:1])
        )

    def _intensity_behind(self, height: int | None, columns: int) -> int | None:
        """The column of intensities once that of heights is out."""
        if self.intensity is None:
            return None
        if self.intensity >= columns or self.intensity == height:
            fault = f"is no measured one of the points' {columns} columns"
            raise ValueError(f"Corrupt: intensity={self.intensity} {fault}")
        return self.intensity - (height is not None and height < self.intensity)

    def _change_calibration(self, results: dict, frame: str) -> None:
        move_before_projection(results, self._draw(None, frame), self.ahead)

    def _change_presence(self, results: dict, frame: str) -> None:
        is_segmentation = "img" not in results
        sensors = list(results["images"]) if is_segmentation else ["camera"] * num_cameras(results)
        if self.corruption == "views_gone":
            there = self._draw(len(sensors), frame)
            exists = dict(zip(sensors, there.tolist())) if is_segmentation else {"camera": there}
        else:
            is_there = bool(self._draw(1, frame)[0])
            camera = sensors[0] if is_segmentation else "camera"
            exists = {"lidar" if self.corruption == "lidar_gone" else camera: is_there}
        mask_sensors(results, **exists)
        if not is_segmentation:
            _empty(results, exists)

    def _draw(self, data: Any, frame: str) -> np.ndarray:
        generator = generator_of(self.corruption, self.seed, frame)
        return CORRUPTIONS[self.corruption](data, self.severity, generator)

    def _picture(self, results: dict, name: str, frame: str) -> np.ndarray:
        image, view = results["images"][name], list(results["images"]).index(name)
        return corrupt_image(image, self.corruption, self.severity, self.seed, frame, view)

    def _image(self, image: np.ndarray, frame: str, view: int) -> np.ndarray:
        flip = slice(None, None, -1 if self.channel_order == "bgr" else None)
        changed = corrupt_image(
            image[..., flip], self.corruption, self.severity, self.seed, frame, view
        )
        return np.ascontiguousarray(changed[..., flip]).astype(image.dtype)

    def __repr__(self) -> str:
        return f"Corrupt(corruption={self.corruption!r}, severity={self.severity})"


def _empty(results: dict, exists: dict[str, Any]) -> None:
    """Take the data of what is gone from a model, too, that does not read ``sensor_mask``.

    Images become black; of a cloud one point stays, for steps that draw a number of points.
    """
    cameras = exists.get("camera", True)
    if isinstance(results.get("img"), list):
        pairs = zip(results["img"], np.broadcast_to(cameras, len(results["img"])))
        results["img"] = [image if there else np.zeros_like(image) for image, there in pairs]
    elif "img" in results and not np.all(cameras):
        results["img"] = np.zeros_like(results["img"])
    if not exists.get("lidar", True) and "points" in results:
        results["points"] = results["points"][:1]


def _turned(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Points ``(N, 3 or more)`` turned as a whole."""
    return np.concatenate([points[:, :3] @ turn.T.astype(points.dtype), points[:, 3:]], axis=1)
