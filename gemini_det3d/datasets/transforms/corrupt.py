"""Corruptions of a sample in a test's pipeline, after its files are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt_image,
    corrupt_points,
    generator_of,
)
from gemini_det3d.datasets.transforms.sensors import mask_sensors, num_cameras
from gemini_det3d.registration import register

_PROJECTIONS = ("lidar2img", "lidar2cam", "depth2img")
_BACK = "cam2lidar"  # BEVFusion's, (V, 4, 4)
_FRAME_KEYS = ("sample_name", "lidar_path", "pts_filename", "img_path", "sample_idx")


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

    Raises:
        ValueError: There is no such corruption or severity.
    """

    def __init__(self, corruption: str | None = None, severity: int = 1, seed: int = 0) -> None:
        self.seed = seed
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
        """
        if self.corruption is not None:
            fault = why_not(self.corruption, results)
            if fault is not None:
                raise ValueError(f"Corrupt: {self.corruption} {fault}")
            target = CORRUPTIONS[self.corruption].target
            getattr(self, f"_change_{target}")(results, frame_of(results))
        return results

    def _change_camera(self, results: dict, frame: str) -> None:
        if "img" not in results:
            name = next(iter(results["images"]))
            results["images"] = {**results["images"], name: self._picture(results, name, frame)}
        elif isinstance(results["img"], list):
            views = enumerate(results["img"])
            results["img"] = [self._bgr(image, frame, view) for view, image in views]
        else:
            results["img"] = self._bgr(results["img"], frame, 0)

    def _change_modalities(self, results: dict, frame: str) -> None:
        names = results["images"]
        results["images"] = {name: self._picture(results, name, frame) for name in names}

    def _change_lidar(self, results: dict, frame: str) -> None:
        points = results["points"]
        cloud, height = points.tensor.numpy(), _height_column(points)
        bare = cloud if height is None else np.delete(cloud, height, axis=1)
        turn = _to_front(results)
        changed = corrupt_points(
            _turned(bare, turn.T), self.corruption, self.severity, self.seed, frame
        )
        changed = _turned(changed, turn)
        if height is not None:  # above the same floor as before
            floor = (cloud[:1, 2] - cloud[:1, height]).sum()
            changed = np.insert(changed, height, changed[:, 2] - floor, axis=1)
        results["points"] = points.new_point(torch.from_numpy(changed))

    def _change_calibration(self, results: dict, frame: str) -> None:
        move_before_projection(results, self._draw(None, frame))

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

    def _bgr(self, image: np.ndarray, frame: str, view: int) -> np.ndarray:
        changed = corrupt_image(
            image[..., ::-1], self.corruption, self.severity, self.seed, frame, view
        )
        return np.ascontiguousarray(changed[..., ::-1]).astype(image.dtype)

    def __repr__(self) -> str:
        return f"Corrupt(corruption={self.corruption!r}, severity={self.severity})"


def move_before_projection(results: dict, movement: np.ndarray) -> None:
    """Change a sample's projections as if its points had moved, which themselves stay.

    Args:
        results: With its calibration loaded; it gets new matrices.
        movement: ``(4, 4)`` of points with x ahead, whatever the sample's own axes.
    """
    turn = np.eye(4)
    turn[:3, :3] = _to_front(results)
    movement = turn @ movement @ turn.T
    for key in _PROJECTIONS:
        if key in results:
            matrices = np.asarray(results[key], dtype=np.float64)
            wide = np.broadcast_to(np.eye(4), (*matrices.shape[:-2], 4, 4)).copy()
            wide[..., : matrices.shape[-2], : matrices.shape[-1]] = matrices
            results[key] = (wide @ movement)[..., : matrices.shape[-2], :]
    if _BACK in results:
        results[_BACK] = np.linalg.inv(movement) @ np.asarray(results[_BACK], np.float64)


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


def _height_column(points: Any) -> int | None:
    """Where rooms' clouds hold the height above the floor, which is no measurement of its own."""
    return (points.attribute_dims or {}).get("height")


def _to_front(results: dict) -> np.ndarray:
    """``(3, 3)`` quarter turn from x to the axis that the first camera looks along.

    Corruptions count x as the way ahead, as KITTI does; of nuScenes and of rooms that is y.
    """
    matrices = next((results[key] for key in _PROJECTIONS if key in results), np.eye(3))
    right, ahead = np.reshape(matrices, (-1, *np.shape(matrices)[-2:]))[0][2, :2]
    turns = round(np.arctan2(ahead, right) / (np.pi / 2))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return np.linalg.matrix_power(quarter, turns % 4)


def _turned(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Points ``(N, 3 or more)`` turned as a whole."""
    return np.concatenate([points[:, :3] @ turn.T.astype(points.dtype), points[:, 3:]], axis=1)


def why_not(corruption: str, results: dict) -> str | None:
    """Why a corruption has nothing to change in a loaded sample; None: it has."""
    target, targets = CORRUPTIONS[corruption].target, targets_of(results)
    if target not in targets:
        return f"changes the sample's {target}, which it lacks"
    is_segmentation = "modalities" in targets
    if corruption == "lidar_gone" and is_segmentation and "lidar" not in results["images"]:
        return "takes the lidar, and the sample's images are " + ", ".join(results["images"])
    if corruption == "views_gone" and not is_segmentation and num_cameras(results) < 2:
        return "takes some of several cameras, and the sample has one"
    if corruption == "faded_intensity":
        cloud = results["points"]
        if cloud.tensor.shape[1] - (_height_column(cloud) is not None) < 4:
            return "changes intensities, and the sample's points have none"
    return None


def targets_of(results: dict) -> set[str]:
    """What of a loaded sample can be corrupted; names as of ``Corruption.target``."""
    targets = set()
    aligned = results.get("images")
    if isinstance(aligned, dict) and all(isinstance(v, np.ndarray) for v in aligned.values()):
        return {"camera", "modalities"} | ({"presence"} if len(aligned) > 1 else set())
    if "img" in results:
        targets.add("camera")
    if "points" in results:
        targets.add("lidar")
    if len(targets) == 2:
        targets |= {"calibration", "presence"}
    return targets


def frame_of(results: dict) -> str:
    """The name of a sample, without the folder it lies in."""
    for key in _FRAME_KEYS:
        value = results.get(key)
        if value is not None:
            return Path(str(value[0] if isinstance(value, (list, tuple)) else value)).name
    raise ValueError(f"Corrupt: the sample has none of {_FRAME_KEYS}, so nothing can be seeded")
