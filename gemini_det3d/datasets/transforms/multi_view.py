"""Images of several cameras: loading them with their calibration, moving them, and saying how.

What is done to an image is one matrix, ``img_aug_matrix`` (V, 4, 4), original pixel -> augmented
pixel, in BEVFusion's form: rotation and scale in the upper left 2 x 2, the shift in the last
column. The projection ``lidar2img`` stays that of the original images.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine import fileio
from mmengine.logging import print_log

from gemini_det3d.datasets.transforms.sensors import mask_sensors
from gemini_det3d.formats.calibration_check import check_matrices
from gemini_det3d.formats.errors import OTHER_FORM, FormatError
from gemini_det3d.formats.images import decode_color
from gemini_det3d.formats.stems import told_otherwise
from gemini_det3d.geometry import image_matrix
from gemini_det3d.geometry.matrices import as_4x4
from gemini_det3d.registration import register


@register(TRANSFORMS)
class LoadMultiViewImages(BaseTransform):
    """Load every camera that a sample's info names.

    Args:
        missing: What to do about an image file that is not there: 'error', or 'mask': the camera
            is dead in this sample (``sensor_mask``), its pixels are never read.
        one_size: Whether all cameras must have one size. Of rigs whose cameras differ (Argoverse,
            ONCE) False keeps each as it is, and `MultiViewImageAug` brings them to one size, each
            with its own matrix.
        backend_args: Of mmengine's file client.

    Raises:
        ValueError: ``missing`` is another word.
    """

    def __init__(
        self, missing: str = "error", one_size: bool = True, backend_args: dict | None = None
    ) -> None:
        if missing not in ("error", "mask"):
            raise ValueError(f"missing must be 'error' or 'mask', got {missing!r}")
        self.missing, self.one_size, self.backend_args = missing, one_size, backend_args
        self._has_told = False

    def transform(self, results: dict) -> dict:
        """Load ``images``.

        Args:
            results: ``images``: name of each camera -> ``img_path``, ``cam2img`` and
                ``lidar2cam``; a camera that holds ``img`` (BGR) is not read.

        Returns:
            The same dictionary with ``img``, a list of V images ``(H, W, 3)`` BGR; ``img_path``;
            ``lidar2img`` ``(V, 4, 4)``; ``img_aug_matrix``; ``img_shape`` and ``ori_shape``
            ``(H, W)`` of the first; ``ori_shapes``, V such, where they differ; ``num_views``; and
            with a dead camera ``sensor_mask``.

        Raises:
            FormatError: An image is missing (unless masked), cut off or of another size; or a
                camera's matrices are missing or cannot be right.
        """
        cameras = list(results["images"].values())
        paths = [camera["img_path"] for camera in cameras]
        images = [c["img"] if "img" in c else self._load(c["img_path"]) for c in cameras]
        shape = next((image.shape for image in images if image is not None), None)
        if shape is None:
            name = (*paths, results.get("lidar_path", "images"))[0]
            raise FormatError(name, "no camera of this sample has an image")
        for path, image in zip(paths, images):
            if self.one_size and image is not None and image.shape != shape:
                raise FormatError(
                    path,
                    f"is {image.shape[1]} x {image.shape[0]}, the first image of the sample "
                    f"{shape[1]} x {shape[0]}; LoadMultiViewImages(one_size=False) takes cameras "
                    "that differ, MultiViewImageAug(size=...) brings them to one size",
                )
        for line in told_otherwise(dict(zip(results["images"], paths))):
            self._tell_once(line)
        exists = [image is not None for image in images]
        if not all(exists):
            mask_sensors(results, camera=exists)
        results["img"] = [np.zeros(shape, np.uint8) if i is None else i for i in images]
        results["img_path"] = paths
        shapes = [image.shape[:2] for image in results["img"]]
        results["lidar2img"] = np.stack(
            [self._lidar2img(camera, each[::-1]) for camera, each in zip(cameras, shapes)]
        )
        results["img_aug_matrix"] = np.tile(np.eye(4), (len(cameras), 1, 1))
        results["img_shape"] = results["ori_shape"] = shapes[0]
        if len(set(shapes)) > 1:
            results["ori_shapes"] = shapes
        results["num_views"] = len(cameras)
        # RandomFlip3D flips images unless it is told that this has been decided
        results["flip"], results["flip_direction"] = False, None
        return results

    def _load(self, path: str) -> np.ndarray | None:
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError:
            if self.missing == "mask":
                return None
            raise FormatError(path, "no such file") from None
        return np.ascontiguousarray(decode_color(data, path)[..., ::-1])  # BGR

    def _lidar2img(self, camera: dict, size: tuple[int, int]) -> np.ndarray:
        """``(4, 4)`` of a camera; what is unlikely about it is told."""
        path = camera["img_path"]
        try:
            projection = as_4x4(camera["cam2img"])
            lidar2cam = np.asarray(camera["lidar2cam"], dtype=np.float64).reshape(4, 4)
            faults = check_matrices(lidar2cam, projection, size)
        except OTHER_FORM as error:
            fault = f"cam2img or lidar2cam has another form than expected ({type(error).__name__}: "
            raise FormatError(path, f"{fault}{error})") from error
        for level, text in faults:
            if level == "error":
                raise FormatError(path, text)
            self._tell_once(f"{path}: {text}")
        return projection @ lidar2cam

    def _tell_once(self, line: str) -> None:
        """A warning; the next samples will have the same fault."""
        if not self._has_told:
            print_log(line, logger="current", level=logging.WARNING)
            self._has_told = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(missing={self.missing!r}, one_size={self.one_size})"


@register(TRANSFORMS)
class MultiViewImageAug(BaseTransform):
    """Resize, crop, flip and rotate each image on its own, into one size.

    Args:
        size: ``(width, height)`` of the augmented images.
        resize: Range of the scale, times the scale at which the image's width is ``size[0]``.
        crop_x: Range of the crop's left edge, as a share of the width that is left over.
        crop_y: Range of the crop's upper edge, as a share of the height that is left over;
            1 keeps the bottom of the image and cuts the sky.
        flip: Chance to mirror an image left to right.
        rotate_deg: Range of the rotation about the image's centre, degrees, clockwise.

    Raises:
        ValueError: A range or the chance cannot be; the message names the key.
    """

    def __init__(
        self,
        size: Sequence[int],
        resize: Sequence[float] = (1.0, 1.0),
        crop_x: Sequence[float] = (0.5, 0.5),
        crop_y: Sequence[float] = (1.0, 1.0),
        flip: float = 0.0,
        rotate_deg: Sequence[float] = (0.0, 0.0),
    ) -> None:
        ranges = dict(resize=resize, crop_x=crop_x, crop_y=crop_y, rotate_deg=rotate_deg)
        for name, value in ranges.items():
            if len(value) != 2 or value[0] > value[1]:
                raise ValueError(f"{name} must be a range (low, high), got {value}")
        if resize[0] <= 0 or not 0 <= flip <= 1:
            raise ValueError(f"resize={resize} must be positive and flip={flip} lie in 0 to 1")
        self.size, self.flip, self.ranges = tuple(size), flip, ranges

    def transform(self, results: dict) -> dict:
        """Augment every image with its own draw.

        Args:
            results: As from ``LoadMultiViewImages``.

        Returns:
            The same dictionary with new ``img``, ``img_shape`` and ``img_aug_matrix``.
        """
        moved = [self._augment(image) for image in results["img"]]
        results["img"] = [image for image, _ in moved]
        matrices = [matrix @ old for (_, matrix), old in zip(moved, results["img_aug_matrix"])]
        results["img_aug_matrix"] = np.stack(matrices)
        results["img_shape"] = self.size[::-1]
        return results

    def _augment(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        draw = {name: np.random.uniform(*value) for name, value in self.ranges.items()}
        flip = bool(np.random.random() < self.flip)
        (height, width), (new_width, new_height) = image.shape[:2], self.size
        factor = draw["resize"] * new_width / width
        resized = (max(1, round(width * factor)), max(1, round(height * factor)))
        scale = (resized[0] / width, resized[1] / height)
        crop = (
            round(draw["crop_x"] * (resized[0] - new_width)),
            round(draw["crop_y"] * (resized[1] - new_height)),
        )
        angle = float(np.deg2rad(draw["rotate_deg"]))
        matrix = image_matrix(scale, crop, flip, new_width, angle, new_height).numpy()
        # The resize averages the pixels it merges; what is left is moved in one piece.
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, resized, interpolation=method)
        rest = matrix @ np.diag([1 / scale[0], 1 / scale[1], 1])
        return warp(image, rest, self.size), homogeneous(matrix)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.ranges.items())
        return f"{type(self).__name__}(size={self.size}, {options}, flip={self.flip})"


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Move an image by an affine matrix on continuous pixels (left edge at 0), black outside.

    Args:
        image: ``(H, W, C)``.
        matrix: ``(3, 3)``, old pixel -> new pixel.
        size: ``(width, height)`` of the result.

    Returns:
        ``(height, width, C)``.
    """
    import cv2

    to_centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from centres
    centred = np.linalg.inv(to_centre) @ matrix @ to_centre
    return cv2.warpAffine(image, centred[:2], size, flags=cv2.INTER_LINEAR)


def homogeneous(matrix: np.ndarray) -> np.ndarray:
    """A ``(3, 3)`` matrix on ``[u, v, 1]`` in BEVFusion's ``(4, 4)`` form."""
    wide = np.eye(4)
    wide[:2, :2], wide[:2, 3] = matrix[:2, :2], matrix[:2, 2]
    return wide
