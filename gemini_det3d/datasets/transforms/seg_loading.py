"""Loading and packing of a segmentation sample.

A sample in the pipeline: ``images``, for each modality ``(H, W, 3)``; ``labels`` ``(H, W)`` uint8
where they are known; ``sensor_mask``, for each modality whether its sensor delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement, PixelData

from gemini_det3d.formats.aligned import check_same_view
from gemini_det3d.formats.images import ON_NON_FINITE, check_max_values
from gemini_det3d.formats.segmentation import read_color, read_labels
from gemini_det3d.registration import register

# Of 255: a 16-bit image that is darker has another white than 65535.
_DARK = 16
_ON_SIZE_MISMATCH = ("crop", "resize", "error")


@register(TRANSFORMS)
class LoadModalities(BaseTransform):
    """Load ``image_paths`` into ``images`` of one size.

    Args:
        max_values: For modalities of more than 8 bits the value that becomes 255; see
            `decode_sensor`. Floats need one; 16-bit images without are told once if nearly black.
        on_size_mismatch: When the files of a frame differ in size: "crop" all to the middle of
            the smallest, if only margins differ (at most 5 % of a side; another resolution is
            refused); "resize" all, labels too, to the leading modality's size, which is what the
            released code does with images; or "error". Files of another aspect are refused always.
        on_non_finite: For float images: "error", or "zero".

    Raises:
        ValueError: ``on_size_mismatch`` or ``on_non_finite`` is another word, or a number of
            ``max_values`` is not above 0.
    """

    def __init__(
        self,
        max_values: dict[str, float] | None = None,
        on_size_mismatch: str = "crop",
        on_non_finite: str = "error",
    ) -> None:
        for name, value, known in (
            ("on_size_mismatch", on_size_mismatch, _ON_SIZE_MISMATCH),
            ("on_non_finite", on_non_finite, ON_NON_FINITE),
        ):
            if value not in known:
                raise ValueError(f"LoadModalities: {name}={value!r} must be one of {known}")
        self.max_values = dict(max_values or {})
        check_max_values(self.max_values)
        self.on_size_mismatch, self.on_non_finite = on_size_mismatch, on_non_finite
        self._told: set[str] = set()

    @property
    def named_modalities(self) -> tuple[str, ...]:
        """Those that an argument names."""
        return tuple(self.max_values)

    def transform(self, results: dict) -> dict:
        """Load the images.

        Args:
            results: Holds ``image_paths``; an array among them is an image as it is.

        Returns:
            The same dictionary with ``images``, ``img_shape``, ``ori_shape`` ``(H, W)`` and
            ``on_size_mismatch``.

        Raises:
            FormatError: An image cannot be read, or sizes differ more than is allowed.
        """
        paths = results["image_paths"]
        images = {m: x if isinstance(x, np.ndarray) else self._read(m, x) for m, x in paths.items()}
        leading = next(iter(images))
        shape = images[leading].shape[:2]
        for modality, image in images.items():
            check_same_view(
                paths[modality], image.shape, paths[leading], shape, self.on_size_mismatch
            )
        if any(image.shape[:2] != shape for image in images.values()):
            images = self._align(images, shape)
        results["images"] = images
        results["img_shape"] = results["ori_shape"] = images[leading].shape[:2]
        results["on_size_mismatch"] = self.on_size_mismatch
        return results

    def _read(self, modality: str, path: str) -> np.ndarray:
        image = read_color(path, self.max_values.get(modality), self.on_non_finite)
        is_scaled = image.dtype != np.uint8 and modality not in self.max_values
        if is_scaled and modality not in self._told and 0 < (most := image.max()) < _DARK:
            self._told.add(modality)
            fault = f"no pixel of this 16-bit image is above {most:.0f} of 255; max_values of "
            remedy = f"LoadModalities says which number of {modality} is white"
            print_log(f"{path}: {fault}{remedy}", logger="current", level=logging.WARNING)
        return image

    def _align(self, images: dict[str, np.ndarray], size: Sequence[int]) -> dict[str, np.ndarray]:
        if self.on_size_mismatch == "resize":
            import cv2

            return {m: cv2.resize(x, (size[1], size[0])) for m, x in images.items()}
        height, width = (min(x.shape[axis] for x in images.values()) for axis in (0, 1))
        return {m: crop_middle(x, height, width) for m, x in images.items()}


@register(TRANSFORMS)
class LoadSegLabels(BaseTransform):
    """Load ``label_path`` into ``labels``, of the images' size.

    Margins are cropped to the middle, of labels or images (the published NYUDv2 labels lack the
    white frame of the images). Under ``on_size_mismatch="resize"`` of `LoadModalities` the labels
    are resized, to the nearest pixel.
    """

    def transform(self, results: dict) -> dict:
        """Load the labels.

        Args:
            results: Holds ``label_path``, ``first_label``, ``num_classes`` (None: any) and
                ``images``.

        Returns:
            The same dictionary with ``labels`` ``(H, W)`` uint8, 255 where nothing counts.

        Raises:
            FormatError: It cannot be read, holds a number that is no class, or its size differs
                more than is allowed.
        """
        path = results["label_path"]
        labels = read_labels(
            path,
            results.get("first_label", 0),
            results.get("num_classes"),
            results.get("label_code"),
        )
        shape, rule = results["img_shape"], results.get("on_size_mismatch", "crop")
        leading = next(iter(results.get("image_paths", {"": "the image"}).values()))
        check_same_view(path, labels.shape, leading, shape, rule)
        if labels.shape != shape and rule == "resize":
            import cv2

            labels = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST)
        height, width = (min(a, b) for a, b in zip(labels.shape, shape))
        results["labels"] = crop_middle(labels, height, width)
        images = results["images"]
        results["images"] = {m: crop_middle(x, height, width) for m, x in images.items()}
        results["img_shape"] = results["ori_shape"] = (height, width)
        return results


@register(TRANSFORMS)
class PackSegInputs(BaseTransform):
    """Tensors for `ModalityPreprocessor`, labels and metadata in a data element.

    Args:
        meta_keys: What to keep of the sample, if it is there.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            "sample_name", "group", "img_shape", "ori_shape", "sensor_mask", "corruption_strength",
            "flip",
        ),
    ) -> None:  # fmt: skip
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack.

        Returns:
            ``inputs``: for each modality ``(3, H, W)``; ``data_samples``: metadata, and
            ``gt_sem_seg`` where there are labels.
        """
        inputs = {
            m: torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
            for m, image in results["images"].items()
        }
        sample = BaseDataElement(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        if "labels" in results:
            labels = torch.from_numpy(np.ascontiguousarray(results["labels"]))
            sample.gt_sem_seg = PixelData(data=labels[None])
        return {"inputs": inputs, "data_samples": sample}


def crop_middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of ``(H, W, ...)``."""
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
