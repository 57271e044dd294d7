"""The loaders of a KITTI pipeline, with one line for a bad file instead of a traceback.

They take and give what the loaders of mmdet3d and mmcv do. Under ``_scope_="gemini_det3d"`` they
carry the same names, for tools that look for these (mmdet3d's inferencers); everywhere the names
with ``Checked`` behind. An error in a worker of a DataLoader arrives as the same FormatError.
"""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet3d.datasets.transforms import LoadPointsFromDict, LoadPointsFromFile
from mmdet3d.datasets.transforms.loading import LoadImageFromNDArray
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures.points import get_points_type
from mmengine import fileio
from mmengine.logging import print_log

from gemini_det3d.formats.clouds import parse_cloud
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import refuse_devices
from gemini_det3d.formats.images import decode_color
from gemini_det3d.registration import register
from gemini_det3d.registry import TRANSFORMS as OUR_TRANSFORMS

_ON_NON_FINITE = ("error", "drop")


@register(OUR_TRANSFORMS, "LoadPointsFromFile")
@register(TRANSFORMS)
class LoadPointsFromFileChecked(LoadPointsFromFile):
    """mmdet3d's ``LoadPointsFromFile`` that refuses what is no cloud of ``load_dim`` columns.

    Cut-off files, other numbers of columns, other types, values that are not finite: one line that
    says what the file seems to be. Besides .bin it reads .npy, .pcd and .las.

    Args:
        on_non_finite: ``'error'`` refuses a file with NaN or infinite values, ``'drop'`` leaves
            those points out and logs how many.
        min_points: A file that gives fewer is refused. 0 allows an empty one; indoor pipelines,
            which draw a fixed number of points, need 1.
        **kwargs: As mmdet3d's ``LoadPointsFromFile``.

    Raises:
        ValueError: ``on_non_finite`` is another word, or ``use_dim`` names a column that
            ``load_dim`` has not.
    """

    def __init__(self, on_non_finite: str = "error", min_points: int = 0, **kwargs: Any) -> None:
        if on_non_finite not in _ON_NON_FINITE:
            raise ValueError(f"on_non_finite={on_non_finite!r}, expected one of {_ON_NON_FINITE}")
        load_dim, use_dim = kwargs.get("load_dim", 6), kwargs.get("use_dim", [0, 1, 2])
        columns = range(use_dim) if isinstance(use_dim, int) else use_dim
        if load_dim < 3 or not set(columns) <= set(range(load_dim)):
            raise ValueError(f"use_dim={use_dim} names columns that load_dim={load_dim} has not")
        super().__init__(**kwargs)
        self.on_non_finite = on_non_finite
        self.min_points = min_points
        extras = ("norm_intensity", "norm_elongation", "shift_height", "use_color")
        is_whole = list(self.use_dim) == list(range(load_dim))
        self._is_plain = is_whole and not any(kwargs.get(name) for name in extras)

    def transform(self, results: dict) -> dict:
        """mmdet3d's; all columns of a cloud, as they are, without gathering them one by one."""
        if not self._is_plain:
            return super().transform(results)
        values = self._load_points(results["lidar_points"]["lidar_path"])
        make = get_points_type(self.coord_type)
        results["points"] = make(values.reshape(-1, self.load_dim), points_dim=self.load_dim)
        return results

    def _load_points(self, pts_filename: str) -> np.ndarray:
        """Read and check one file; flat, as the base class reshapes it."""
        data = read_file(pts_filename, self.backend_args)
        points = parse_cloud(data, pts_filename, self.load_dim)
        is_finite = np.isfinite(points)
        if not is_finite.all():
            finite = is_finite.all(axis=1)
            count = f"{int((~finite).sum())} of {len(points)} points are NaN or infinite"
            if self.on_non_finite == "error":
                fault = f"{count} (on_non_finite='drop' leaves them out)"
                raise FormatError(pts_filename, fault)
            print_log(f"{pts_filename}: {count}; dropped", logger="current", level=logging.WARNING)
            points = points[finite]
        if len(points) < self.min_points:
            fault = f"holds {len(points)} points, needs at least {self.min_points}"
            raise FormatError(pts_filename, fault)
        return points.reshape(-1)

    def __repr__(self) -> str:
        ours = f"on_non_finite={self.on_non_finite!r}, min_points={self.min_points}"
        return f"{super().__repr__()[:-1]}, {ours})"


@register(OUR_TRANSFORMS, "LoadPointsFromDict")
class LoadPointsFromDictChecked(LoadPointsFromDict):
    """mmdet3d's ``LoadPointsFromDict``, of arrays in an inferencer, with our loader's arguments.

    Args:
        on_non_finite: Not used; the array is the caller's.
        min_points: Not used.
        **kwargs: As mmdet3d's.
    """

    def __init__(self, on_non_finite: str = "error", min_points: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)


@register(OUR_TRANSFORMS, "LoadImageFromFile")
@register(TRANSFORMS)
class LoadImageFromFileChecked(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that names the image it cannot read, cut-off ones included.

    It decodes as every other part of this plug-in does
    (:func:`gemini_det3d.formats.images.decode_color`), whatever ``imdecode_backend`` says.

    Args:
        needs_image: Refuse a sample that names no image. False: it passes as it is, for models
            that read points alone.
        **kwargs: As mmcv's ``LoadImageFromFile``, without the deprecated ``file_client_args``.
            ``ignore_empty=True`` still skips an image that cannot be read.

    Raises:
        ValueError: ``color_type`` is not 'color'.
    """

    def __init__(self, needs_image: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs_image = needs_image
        if self.color_type != "color":
            raise ValueError(f"color_type={self.color_type!r}: this loader reads 'color' only")

    def transform(self, results: dict) -> dict | None:
        """Load ``img_path``.

        Args:
            results: Holds ``img_path``.

        Returns:
            The same dictionary with ``img`` ``(H, W, C)`` (BGR by default), ``img_shape`` and
            ``ori_shape`` ``(H, W)``; None for a bad image under ``ignore_empty``.

        Raises:
            FormatError: The image is missing, cut off or no image; or the sample names none.
        """
        if "img_path" not in results:
            if not self.needs_image:
                return results
            fault = (
                "is in no sample: this config reads an image beside the points; of mmdet3d's "
                "inferencers take MultiModalityDet3DInferencer, or gemini_det3d.Detector"
            )
            raise FormatError("img_path", fault)
        try:
            image = self._load_image(results["img_path"])
        except FormatError:
            if self.ignore_empty:
                return None
            raise
        results["img"] = image
        results["img_shape"] = image.shape[:2]
        results["ori_shape"] = image.shape[:2]
        return results

    def _load_image(self, path: str) -> np.ndarray:
        data = read_file(path, self.backend_args)
        image = decode_color(data, path)
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=image)  # in place
        return image.astype(np.float32) if self.to_float32 else image


@register(OUR_TRANSFORMS, "LoadImageFromNDArray")
class LoadImageFromNDArrayChecked(LoadImageFromNDArray):
    """mmdet3d's ``LoadImageFromNDArray``, in an inferencer, with our loader's arguments.

    Args:
        needs_image: Not used; the array is there.
        **kwargs: As mmdet3d's.
    """

    def __init__(self, needs_image: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def read_file(path: str, backend_args: dict | None) -> bytes:
    """Content of a file.

    Args:
        path: As mmengine's file client takes it.
        backend_args: Of that client.

    Raises:
        FormatError: It is not there, a device, or cannot be read.
    """
    refuse_devices(path)
    try:
        return fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror or error})") from error
