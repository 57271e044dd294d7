"""Joint augmentation of aligned images and labels: one geometry for all, colours for RGB only.

Samples as in `seg_loading`. Sizes are (height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from numbers import Real

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.formats.segmentation import IGNORED
from gemini_det3d.registration import register

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@register(TRANSFORMS)
class SegColorJitter(BaseTransform):
    """Change brightness, contrast and saturation of the RGB image, in this order.

    Args:
        prob: How often.
        factors: Range that each of the three is drawn from.
        modality: The one that is an RGB image.

    Raises:
        ValueError: ``prob`` lies outside 0 to 1, or ``factors`` are no range from 0 on.
    """

    def __init__(
        self, prob: float = 0.2, factors: Sequence[float] = (0.5, 1.5), modality: str = "rgb"
    ) -> None:
        check_share("SegColorJitter", prob)
        if not _is_range(factors):
            raise ValueError(f"SegColorJitter: factors={factors} must be two numbers from 0 on")
        self.prob, self.factors, self.modality = prob, tuple(factors), modality

    @property
    def named_modalities(self) -> tuple[str, ...]:
        """Those that an argument names."""
        return (self.modality,)

    def transform(self, results: dict) -> dict:
        """Change ``images`` of the modality; without it nothing happens."""
        if self.modality not in results["images"] or np.random.rand() >= self.prob:
            return results
        brightness, contrast, saturation = np.random.uniform(*self.factors, size=3)
        image = results["images"][self.modality].astype(np.float32)
        image = np.clip(image * np.float32(brightness), 0, 255)
        image = _mix(image, (image @ _GREY).mean(), contrast)
        image = _mix(image, (image @ _GREY)[..., None], saturation)
        results["images"][self.modality] = image
        return results


@register(TRANSFORMS)
class SegBlur(BaseTransform):
    """Blur the RGB image with a Gaussian of 3 x 3 pixels.

    Args:
        prob: How often.
        modality: The one that is an RGB image.

    Raises:
        ValueError: ``prob`` lies outside 0 to 1.
    """

    def __init__(self, prob: float = 0.2, modality: str = "rgb") -> None:
        check_share("SegBlur", prob)
        self.prob, self.modality = prob, modality

    @property
    def named_modalities(self) -> tuple[str, ...]:
        """Those that an argument names."""
        return (self.modality,)

    def transform(self, results: dict) -> dict:
        """Blur ``images`` of the modality; without it nothing happens."""
        if self.modality in results["images"] and np.random.rand() < self.prob:
            import cv2

            image = results["images"][self.modality]
            results["images"][self.modality] = cv2.GaussianBlur(image, (3, 3), 0)
        return results


@register(TRANSFORMS, "RandomFlipDomainImages")
@register(TRANSFORMS, "SegFlip")
@register(TRANSFORMS)
class AlignedFlip(BaseTransform):
    """Mirror all images of a sample, and its labels, left to right, or none.

    Args:
        prob: How often.
        turn_normals: Whether the x component of normals (red of the image "normal") changes its
            sign along, so that the mirrored normals are those of the mirrored scene. The released
            protocol of translation leaves it.

    Raises:
        ValueError: ``prob`` lies outside 0 to 1.
    """

    def __init__(self, prob: float = 0.5, turn_normals: bool = False) -> None:
        check_share("AlignedFlip", prob)
        self.prob, self.turn_normals = prob, turn_normals

    def transform(self, results: dict) -> dict:
        """Mirror all or nothing; ``flip`` tells which."""
        results["flip"] = bool(np.random.rand() < self.prob)
        if results["flip"]:
            _apply(results, lambda image: image[:, ::-1], lambda labels: labels[:, ::-1])
            if self.turn_normals and "normal" in results["images"]:
                normal = results["images"]["normal"]
                turned = np.stack([255 - normal[..., 0], *normal[..., 1:].transpose(2, 0, 1)], -1)
                results["images"] = {**results["images"], "normal": turned}
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, turn_normals={self.turn_normals})"


@register(TRANSFORMS)
class SegRandomResizedCrop(BaseTransform):
    """Resize by a random factor, keep the aspect, cut out a window, pad what is missing.

    Args:
        crop_size: Of the window.
        short_side: Of the image at factor 1, pixels; None: the smaller side of ``crop_size``.
        factors: Range of the factor.
        with_released_offsets: Draw the place of the window as the released code does: with one
            row and column more than there are, so that a padded edge is cut out at times.

    Raises:
        ValueError: A size is below 1, or ``factors`` are no range above 0.
    """

    def __init__(
        self,
        crop_size: Sequence[int],
        short_side: int | None = None,
        factors: Sequence[float] = (0.5, 2.0),
        with_released_offsets: bool = False,
    ) -> None:
        is_pair = isinstance(crop_size, (list, tuple)) and len(crop_size) == 2
        if not is_pair or min(crop_size) < 1 or not _is_range(factors) or factors[0] <= 0:
            raise ValueError(f"SegRandomResizedCrop: crop_size={crop_size}, factors={factors} must "
                             "be (height, width) and a range above 0")  # fmt: skip
        if short_side is not None and not 1 <= short_side < inf:
            raise ValueError(
                f"SegRandomResizedCrop: short_side={short_side} must be None, or 1 or more pixels"
            )
        self.crop_size = tuple(crop_size)
        self.short_side = min(crop_size) if short_side is None else short_side
        self.factors = tuple(factors)
        self.extra_offsets = 2 if with_released_offsets else 1

    def transform(self, results: dict) -> dict:
        """Change ``images``, ``labels`` and ``img_shape``."""
        scale = np.random.uniform(*self.factors) * self.short_side / min(results["img_shape"])
        size = [max(1, round(side * scale)) for side in results["img_shape"]]
        top, left = (
            np.random.randint(0, max(have - want, 0) + self.extra_offsets)
            for have, want in zip(size, self.crop_size)
        )

        def cut(image: np.ndarray, fill: int) -> np.ndarray:
            image = image[top : top + self.crop_size[0], left : left + self.crop_size[1]]
            missing = [(0, want - have) for want, have in zip(self.crop_size, image.shape)]
            missing += [(0, 0)] * (image.ndim - 2)
            return np.pad(image, missing, constant_values=fill)

        resize_sample(results, size)
        _apply(results, lambda image: cut(image, 0), lambda labels: cut(labels, IGNORED))
        results["img_shape"] = self.crop_size
        return results


@register(TRANSFORMS)
class SegResize(BaseTransform):
    """Resize to a short side, then both sides up to a multiple of a divisor.

    Args:
        short_side: Pixels.
        divisor: Both sides become multiples of it.
        with_labels: Resize the labels as well, as the released evaluation does, so that scores
            are taken at the resized size; then ``test_cfg`` wants ``rescale=False``.

    Raises:
        ValueError: A size is below 1.
    """

    def __init__(self, short_side: int, divisor: int = 32, with_labels: bool = False) -> None:
        if not (1 <= short_side < inf and 1 <= divisor < inf):
            fault = "must be 1 or more pixels each"
            raise ValueError(f"SegResize: short_side={short_side}, divisor={divisor} {fault}")
        self.short_side, self.divisor, self.with_labels = short_side, divisor, with_labels

    def transform(self, results: dict) -> dict:
        """Change ``images`` and ``img_shape``, with ``with_labels`` also ``labels``."""
        scale = self.short_side / min(results["img_shape"])
        sides = [round(side * scale) for side in results["img_shape"]]
        size = [-(-side // self.divisor) * self.divisor for side in sides]
        resize_sample(results, size, self.with_labels)
        return results


def resize_sample(results: dict, size: Sequence[int], with_labels: bool = True) -> None:
    """Resize images bilinearly and labels to the nearest pixel."""
    import cv2

    height, width = size
    results["images"] = {
        m: cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        for m, image in results["images"].items()
    }
    if with_labels and "labels" in results:
        labels = results["labels"]
        results["labels"] = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    results["img_shape"] = (height, width)


def check_share(owner: str, prob: float, name: str = "prob") -> None:
    """Refuse a chance that is none.

    Raises:
        ValueError: It is no number in 0 to 1; the message names the argument.
    """
    if not isinstance(prob, Real) or not 0 <= prob <= 1:
        raise ValueError(f"{owner}: {name}={prob!r} must lie in 0 to 1")


def _is_range(factors: Sequence[float]) -> bool:
    """Whether these are two finite numbers from 0 on, rising."""
    return len(factors) == 2 and 0 <= factors[0] <= factors[1] < inf


def _apply(
    results: dict,
    to_image: Callable[[np.ndarray], np.ndarray],
    to_labels: Callable[[np.ndarray], np.ndarray],
) -> None:
    results["images"] = {m: to_image(image) for m, image in results["images"].items()}
    if "labels" in results:
        results["labels"] = to_labels(results["labels"])


def _mix(image: np.ndarray, grey: np.ndarray | float, factor: float) -> np.ndarray:
    return np.clip(image * np.float32(factor) + grey * np.float32(1 - factor), 0, 255)
