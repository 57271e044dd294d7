"""Loading and packing of a segmentation sample.

A sample in the pipeline: ``images``, for each modality ``(H, W, 3)``; ``labels`` ``(H, W)`` uint8
where they are known; ``sensor_mask``, for each modality whether its sensor delivered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine.structures import BaseDataElement, PixelData

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import read_color, read_labels
from gemini_det3d.registration import register

_ON_SIZE_MISMATCH = ("crop", "resize", "error")


@register(TRANSFORMS)
class LoadModalities(BaseTransform):
    """Load ``image_paths`` into ``images`` of one size.

    Args:
        max_values: For modalities of 16 bits the value that becomes 255; see `read_color`.
        on_size_mismatch: When the files of a frame differ in size: "crop" all to the middle of
            the smallest, "resize" all to the leading modality's size, which is what the released
            code does and which moves pixels off their labels where the sizes differ, or "error".

    Raises:
        ValueError: ``on_size_mismatch`` is another word.
    """

    def __init__(
        self, max_values: dict[str, float] | None = None, on_size_mismatch: str = "crop"
    ) -> None:
        if on_size_mismatch not in _ON_SIZE_MISMATCH:
            raise ValueError(
                f"on_size_mismatch={on_size_mismatch!r} must be one of {_ON_SIZE_MISMATCH}"
            )
        self.max_values = dict(max_values or {})
        self.on_size_mismatch = on_size_mismatch

    def transform(self, results: dict) -> dict:
        """Load the images.

        Args:
            results: Holds ``image_paths``; an array among them is an image as it is.

        Returns:
            The same dictionary with ``images``, ``img_shape`` and ``ori_shape`` ``(H, W)``.

        Raises:
            FormatError: An image cannot be read, or sizes differ under "error".
        """
        paths = results["image_paths"]
        images = {
            m: x if isinstance(x, np.ndarray) else read_color(x, self.max_values.get(m))
            for m, x in paths.items()
        }
        leading = next(iter(images))
        shapes = {m: image.shape[:2] for m, image in images.items()}
        for modality, shape in shapes.items():
            if shape != shapes[leading] and self.on_size_mismatch == "error":
                fault = f"has {shape} pixels, {paths[leading]} has {shapes[leading]}"
                raise FormatError(paths[modality], fault)
        if len(set(shapes.values())) > 1:
            images = self._align(images, shapes[leading])
        results["images"] = images
        results["img_shape"] = results["ori_shape"] = images[leading].shape[:2]
        return results

    def _align(self, images: dict[str, np.ndarray], size: Sequence[int]) -> dict[str, np.ndarray]:
        if self.on_size_mismatch == "resize":
            import cv2

            return {m: cv2.resize(x, (size[1], size[0])) for m, x in images.items()}
        height, width = (min(x.shape[axis] for x in images.values()) for axis in (0, 1))
        return {m: crop_middle(x, height, width) for m, x in images.items()}


@register(TRANSFORMS)
class LoadSegLabels(BaseTransform):
    """Load ``label_path`` into ``labels``; larger images are cropped to the middle of it.

    Where the label map is smaller than the images they are cropped alike (the published NYUDv2
    labels lack the white frame of the images); where it is larger it is cropped.
    """

    def transform(self, results: dict) -> dict:
        """Load the labels.

        Args:
            results: Holds ``label_path``, ``first_label`` and ``images``.

        Returns:
            The same dictionary with ``labels`` ``(H, W)`` uint8, 255 where nothing counts.

        Raises:
            FormatError: It cannot be read.
        """
        labels = read_labels(results["label_path"], results.get("first_label", 0))
        height, width = (min(a, b) for a, b in zip(labels.shape, results["img_shape"]))
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
            "sample_name", "group", "img_shape", "ori_shape", "sensor_mask", "flip",
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
