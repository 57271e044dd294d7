"""Steps of the translation pipeline: all images of a view share one geometry.

Between the first step and the last a sample holds ``images``, ``(H, W, 3)`` uint8 by domain: the
sources in order, then the target where there is one. So does a segmentation sample, by modality;
`AlignedFlip` serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine.structures import BaseDataElement

from gemini_det3d.formats.aligned import check_same_view
from gemini_det3d.formats.taskonomy import read_domain
from gemini_det3d.registration import register


@register(TRANSFORMS)
class LoadDomainImages(BaseTransform):
    """Reads a view's images in the encodings of their domains."""

    def transform(self, results: dict) -> dict:
        """Read the files.

        Args:
            results: ``source_paths``, ``sources`` and, where it is known, ``target_path`` and
                ``target``. An array among the paths is an image in its domain's encoding.

        Returns:
            The same dictionary with ``images`` and ``ori_shape``.

        Raises:
            FormatError: A file cannot be used, or its aspect is not that of the first.
        """
        paths, domains = list(results["source_paths"]), list(results["sources"])
        if results.get("target_path") is not None:
            paths.append(results["target_path"])
            domains.append(results["target"])
        images = {
            domain: x if isinstance(x, np.ndarray) else read_domain(x, domain)
            for x, domain in zip(paths, domains)
        }
        results["images"] = images
        results["ori_shape"] = images[domains[0]].shape[:2]
        for path, image in zip(paths, images.values()):
            check_same_view(path, image.shape, paths[0], results["ori_shape"], "resize")
        return results


@register(TRANSFORMS)
class ResizeDomainImages(BaseTransform):
    """Resizes all images to one size, bilinear over the area that a new pixel covers.

    Args:
        size: Pixels of both sides, or (width, height).

    Raises:
        ValueError: A size below 1.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _pair(size, "ResizeDomainImages")

    def transform(self, results: dict) -> dict:
        """Resize; images may differ in size before."""
        from PIL import Image

        results["images"] = {
            domain: np.asarray(Image.fromarray(image).resize(self.size, Image.Resampling.BILINEAR))
            for domain, image in results["images"].items()
        }
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


@register(TRANSFORMS)
class RandomCropDomainImages(BaseTransform):
    """Cuts the same window out of all images, at random.

    Args:
        size: Pixels of both sides, or (width, height).

    Raises:
        ValueError: A size below 1.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _pair(size, "RandomCropDomainImages")

    def transform(self, results: dict) -> dict:
        """Crop.

        Raises:
            ValueError: The images are smaller than the window, or of different sizes.
        """
        shapes = {image.shape[:2] for image in results["images"].values()}
        height, width = min(shapes)
        if len(shapes) > 1 or width < self.size[0] or height < self.size[1]:
            raise ValueError(f"images of (height, width) {sorted(shapes)} cannot be cropped to "
                             f"(width, height) {self.size}; resize them before")  # fmt: skip
        left = np.random.randint(width - self.size[0] + 1)
        top = np.random.randint(height - self.size[1] + 1)
        window = slice(top, top + self.size[1]), slice(left, left + self.size[0])
        results["images"] = {domain: x[window] for domain, x in results["images"].items()}
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


@register(TRANSFORMS)
class PackTranslationInputs(BaseTransform):
    """Ends the pipeline.

    ``inputs`` becomes the S sources, ``(S, 3, H, W)`` uint8; ``data_samples`` an element that holds
    ``target``, ``(3, H, W)`` uint8, where it is known, and as metadata where the images came from.
    """

    meta_keys = ("stem", "sources", "source_paths", "target_path", "ori_shape", "flip")

    def transform(self, results: dict) -> dict:
        """Pack.

        Raises:
            ValueError: The images differ in size.
        """
        views = list(results["images"].values())
        shapes = {image.shape for image in views}
        if len(shapes) > 1:
            raise ValueError(f"images of a view differ in size: {sorted(shapes)}; resize them")
        images = np.ascontiguousarray(np.stack(views).transpose(0, 3, 1, 2))
        stacked = torch.from_numpy(images)
        num_sources = len(results["sources"])
        sample = BaseDataElement(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        if len(stacked) > num_sources:
            sample.set_data({"target": stacked[num_sources]})
        return {"inputs": stacked[:num_sources], "data_samples": sample}


def _pair(size: int | Sequence[int], owner: str) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size) if _is_list(size) else ()
    if len(pair) != 2 or not all(isinstance(side, int) and side >= 1 for side in pair):
        raise ValueError(f"{owner}: size={size} must be 1 or more, or (width, height) of such")
    return pair


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
