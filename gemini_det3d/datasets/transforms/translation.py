"""Steps of the translation pipeline: all images of a view share one geometry.

Between the first step and the last a sample holds ``images``, a list of ``(H, W, 3)`` uint8, and
``domains``, their names: the sources in order, then the target where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

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
            The same dictionary with ``images`` and ``domains``.

        Raises:
            FormatError: A file cannot be used, or its aspect is not that of the first.
        """
        paths, domains = list(results["source_paths"]), list(results["sources"])
        if results.get("target_path") is not None:
            paths.append(results["target_path"])
            domains.append(results["target"])
        results["images"] = [
            x if isinstance(x, np.ndarray) else read_domain(x, domain)
            for x, domain in zip(paths, domains)
        ]
        for path, image in zip(paths, results["images"]):
            check_same_view(path, image.shape, paths[0], results["images"][0].shape, "resize")
        results["domains"] = domains
        results["ori_shape"] = results["images"][0].shape[:2]
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

        results["images"] = [
            np.asarray(Image.fromarray(image).resize(self.size, Image.Resampling.BILINEAR))
            for image in results["images"]
        ]
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
        shapes = {image.shape[:2] for image in results["images"]}
        height, width = min(shapes)
        if len(shapes) > 1 or width < self.size[0] or height < self.size[1]:
            raise ValueError(f"images of (height, width) {sorted(shapes)} cannot be cropped to "
                             f"(width, height) {self.size}; resize them before")  # fmt: skip
        left = np.random.randint(width - self.size[0] + 1)
        top = np.random.randint(height - self.size[1] + 1)
        window = slice(top, top + self.size[1]), slice(left, left + self.size[0])
        results["images"] = [image[window] for image in results["images"]]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


@register(TRANSFORMS)
class RandomFlipDomainImages(BaseTransform):
    """Mirrors all images left and right, or none.

    Args:
        prob: How often.
        turn_normals: Whether the x component of normals (red) changes its sign along, so that the
            mirrored normals are those of the mirrored scene. The released protocol leaves it.

    Raises:
        ValueError: ``prob`` lies outside 0 to 1.
    """

    def __init__(self, prob: float = 0.5, turn_normals: bool = False) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"RandomFlipDomainImages: prob={prob} must lie in 0 to 1")
        self.prob, self.turn_normals = prob, turn_normals

    def transform(self, results: dict) -> dict:
        """Flip; ``flip`` says whether."""
        results["flip"] = bool(np.random.random() < self.prob)
        if results["flip"]:
            pairs = zip(results["images"], results["domains"])
            results["images"] = [self._mirror(image, domain) for image, domain in pairs]
        return results

    def _mirror(self, image: np.ndarray, domain: str) -> np.ndarray:
        image = image[:, ::-1]
        if self.turn_normals and domain == "normal":
            image = np.stack([255 - image[..., 0], image[..., 1], image[..., 2]], axis=-1)
        return image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, turn_normals={self.turn_normals})"


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
        shapes = {image.shape for image in results["images"]}
        if len(shapes) > 1:
            raise ValueError(f"images of a view differ in size: {sorted(shapes)}; resize them")
        images = np.ascontiguousarray(np.stack(results["images"]).transpose(0, 3, 1, 2))
        stacked = torch.from_numpy(images)
        num_sources = len(results["sources"])
        sample = BaseDataElement(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        if len(stacked) > num_sources:
            sample.set_data({"target": stacked[num_sources]})
        return {"inputs": stacked[:num_sources], "data_samples": sample}


def _pair(size: int | Sequence[int], owner: str) -> tuple[int, int]:
    width, height = (size, size) if isinstance(size, int) else size
    if width < 1 or height < 1:
        raise ValueError(f"{owner}: size={size} must be 1 or more")
    return int(width), int(height)
