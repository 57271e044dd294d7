"""The calibration of frames: how a model counts its pixels, and whether it can be one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.calibration_check import Fault, check_matrices, check_overlap
from gemini_det3d.geometry.matrices import as_4x4


def pixel_offset_of(model: Mapping[str, Any]) -> tuple[float, float]:
    """What a model adds to the pixels of the calibration, see :mod:`gemini_det3d.geometry`.

    Args:
        model: Its config; the offset stands in it or in a fusion layer of it.

    Returns:
        Right and down; zeros where no part of the model has one.

    Raises:
        ConfigError: Two parts have different ones.
    """
    found = {(float(right), float(down)) for right, down in values_of(model, "pixel_offset")}
    if len(found) > 1:
        raise ConfigError(f"model: pixel_offset is given as {' and as '.join(map(str, found))}")
    return found.pop() if found else (0.0, 0.0)


def meta_defaults_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that parts of a model take as given where its pipeline does not write them.

    Args:
        model: Its config.
    """
    return {
        key: value for given in values_of(model, "meta_defaults") for key, value in given.items()
    }


def calibration_faults(
    info: Mapping[str, Any], points: np.ndarray, size: tuple[int, int] | None = None
) -> list[Fault]:
    """Whether the matrices of one frame can be right, and points fall into its images.

    Args:
        info: The frame as the data set lists it; cameras without ``lidar2cam`` are passed over.
        points: ``(N, 3 or more)`` metres, LiDAR frame, not augmented.
        size: ``(width, height)`` of images whose size the info does not say; None: unknown.

    Returns:
        Errors and warnings, each of which names the camera where there are several.
    """
    cameras = {
        name: camera
        for name, camera in (info.get("images") or {}).items()
        if isinstance(camera, Mapping) and {"lidar2cam", "cam2img"} <= set(camera)
    }
    of_matrices, of_points, counts = [], [], []
    for name, camera in cameras.items():
        place = f"{name}: " if len(cameras) > 1 else ""
        lidar2cam, cam2img = as_4x4(camera["lidar2cam"]), as_4x4(camera["cam2img"])
        its_size = (camera["width"], camera["height"]) if "width" in camera else size
        faults = check_matrices(lidar2cam, cam2img, its_size)
        of_matrices += [Fault(level, place + text) for level, text in faults]
        if its_size is not None:
            count, faults = check_overlap(points, lidar2cam, cam2img, its_size)
            counts.append(count)
            of_points += [Fault(level, place + text) for level, text in faults]
    if len(cameras) > 1 and any(counts):  # one of several may look where no point is
        of_points = [Fault("warning", text) for _, text in of_points]
    return of_matrices + of_points


def require_lidar(dataset: Mapping[str, Any], place: str, remedy: str) -> None:
    """Refuse a data set whose boxes or points are not in the LiDAR's frame.

    Args:
        dataset: Its config.
        place: Where that stands, for the message.
        remedy: What takes such a set.

    Raises:
        ConfigError: They are in another one, SUN RGB-D's for example.
    """
    frames = dataset.get("box_type_3d", "LiDAR"), *values_of(dataset.get("pipeline"), "coord_type")
    for each in frames:
        if each.lower() != "lidar":
            raise ConfigError(f"{place}: its frame is {each}, not LiDAR; {remedy}")


def values_of(config: Any, key: str) -> Iterator[Any]:
    """Every value that a config has under a key, at any depth."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if name == key:
                yield value
            else:
                yield from values_of(value, key)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from values_of(value, key)
