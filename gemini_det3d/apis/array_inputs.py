"""Test pipelines that take arrays where data sets name files.

A sample that holds ``img`` or ``points`` already passes the pipeline's loader; all later steps are
the config's own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gemini_det3d.formats.clouds import first_columns
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.stems import told_otherwise

_POINT_OPTIONS = ("coord_type", "load_dim", "use_dim", "shift_height", "use_color",
                  "norm_intensity")  # fmt: skip
_LOG = logging.getLogger(__name__)


def is_path(value: Any) -> bool:
    """Whether an input is the name of a file rather than its content."""
    return isinstance(value, (str, os.PathLike))


def is_list_of_frames(images: Any) -> bool:
    """Whether images are of a batch of frames, which may be empty, rather than of one frame."""
    if not isinstance(images, (list, tuple)):
        return False
    return not images or isinstance(images[0], (Mapping, list, tuple))


def check_image(image: Any, name: str = "image") -> np.ndarray:
    """An image given as an array.

    Args:
        image: ``(H, W, 3)`` uint8, RGB; a grey one ``(H, W)`` is repeated, as that of a file is.
        name: What the message calls it.

    Returns:
        ``(H, W, 3)`` uint8.

    Raises:
        FormatError: It is something else.
    """
    image = np.asarray(image)
    if image.ndim == 2 and image.dtype == np.uint8:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        fault = f"is a {image.dtype} array of {image.shape}, expected uint8 RGB (H, W, 3)"
        raise FormatError(name, fault)
    return image


def check_points(points: Any, num_columns: int = 4) -> np.ndarray:
    """A point cloud given as an array.

    Args:
        points: ``(N, num_columns or more)``: x, y, z in metres, then reflectance and what the
            config reads; what stands behind is left.
        num_columns: Columns that the config's loader reads.

    Returns:
        ``(N, num_columns)`` float32, a copy.

    Raises:
        FormatError: The array has fewer columns, holds no numbers, or some that are not finite.
    """
    found = first_columns(np.asarray(points), num_columns, "points")
    if not np.isfinite(found).all():
        raise FormatError("points", "hold NaN or infinite values")
    return found


def tell_other_names(images: Mapping[str, Any]) -> None:
    """Log where a file by its name, or its folder's, is of another input than it is given for.

    Args:
        images: Inputs by what they are; arrays have no names.
    """
    for line in told_otherwise({name: image for name, image in images.items() if is_path(image)}):
        _LOG.warning("%s", line)


def columns_of(pipeline: Any) -> int:
    """Columns of the clouds that a pipeline reads: its loader's ``load_dim``; 4 without one."""
    loaders = (getattr(step, "from_file", step) for step in pipeline.transforms)
    return next((step.load_dim for step in loaders if hasattr(step, "load_dim")), 4)


def build_pipeline(steps: Sequence[Mapping[str, Any]]) -> Any:
    """A detector's test pipeline without labels, whose loaders step back for arrays.

    Returns:
        The composed pipeline. ``results["points"]`` ``(N, load_dim)`` float32 and
        ``results["img"]`` ``(H, W, 3)`` uint8 BGR need no file.
    """
    from mmengine.dataset import Compose

    pipeline = Compose([step for step in steps if not step["type"].startswith("LoadAnnotations")])
    pipeline.transforms = [_taking_arrays(step) for step in pipeline.transforms]
    return pipeline


def _taking_arrays(step: Callable) -> Callable:
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets.transforms import LoadImageFromNDArray
    from mmdet3d.datasets.transforms import LoadPointsFromDict, LoadPointsFromFile

    if isinstance(step, LoadPointsFromFile):
        given = LoadPointsFromDict(**{name: getattr(step, name) for name in _POINT_OPTIONS})
        return _Loader("points", step, lambda sample: given(_with_columns(sample, step.use_dim)))
    if isinstance(step, LoadImageFromFile):
        return _Loader("img", step, LoadImageFromNDArray(to_float32=step.to_float32))
    return step


class _Loader:
    """Reads a file, or takes the array that is there."""

    def __init__(self, key: str, from_file: Callable, from_array: Callable) -> None:
        self.key, self.from_file, self.from_array = key, from_file, from_array

    def __call__(self, results: dict) -> dict | None:
        return (self.from_array if self.key in results else self.from_file)(results)


def _with_columns(results: dict, columns: Sequence[int]) -> dict:
    return {**results, "points": results["points"][:, list(columns)]}
