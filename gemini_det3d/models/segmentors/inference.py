"""Ways to ask a network about an image: in pieces, at several sizes, mirrored.

Each takes `predict`, which maps images to logits of the same size, by stream, and is one again, so
they combine. Shape shorthand: B images, K classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gemini_det3d.models.decode_heads.mlp_head import enlarge

Images = Mapping[str, Tensor]
"""For each modality ``(B, C, H, W)``."""
Predict = Callable[[Images], dict[str, Tensor]]
"""Images -> for each stream ``(B, K, H, W)``."""
NOT_FINITE = -1
"""Answer for a pixel whose logits are NaN or infinite: it is no class, and makes scores NaN."""
_TEST_DEFAULTS: dict[str, Any] = dict(
    mode="whole", window=None, stride=None, scales=(1.0,), flip=False, resize="bilinear",
    rescale=True,
)  # fmt: skip


def checked_test_cfg(given: Mapping[str, Any]) -> dict[str, Any]:
    """The whole ``test_cfg`` of a segmentor.

    Args:
        given: Some of its keys: ``mode`` "whole" or "slide" (then ``window`` and ``stride``, two
            numbers each), ``scales``, ``flip``, ``resize``, ``rescale``.

    Returns:
        All of them.

    Raises:
        ValueError: A key is unknown, or its value is none it can have; the message names it.
    """
    unknown = set(given) - set(_TEST_DEFAULTS)
    if unknown:
        raise ValueError(f"test_cfg: unknown keys {sorted(unknown)}, known {list(_TEST_DEFAULTS)}")
    cfg = {**_TEST_DEFAULTS, **given}
    if cfg["mode"] not in ("whole", "slide"):
        raise ValueError(f"test_cfg: mode must be 'whole' or 'slide', got {cfg['mode']!r}")
    if cfg["mode"] == "slide":
        for name in ("window", "stride"):
            value = cfg[name]
            if value is None or len(value) != 2 or min(value) < 1:
                raise ValueError(f"test_cfg: {name} must be two positive numbers, got {value!r}")
        if any(step > size for step, size in zip(cfg["stride"], cfg["window"])):
            raise ValueError(
                f"test_cfg: stride={cfg['stride']!r} leaves pixels between windows of "
                f"window={cfg['window']!r}; it must not be larger"
            )
    for name in ("flip", "rescale"):
        if not isinstance(cfg[name], bool):
            raise ValueError(f"test_cfg: {name} must be True or False, got {cfg[name]!r}")
    if cfg["resize"] not in ("bilinear", "bicubic"):
        raise ValueError(f"test_cfg: resize must be bilinear or bicubic, got {cfg['resize']!r}")
    if not cfg["scales"] or min(cfg["scales"]) <= 0:
        raise ValueError(f"test_cfg: scales must be positive, got {cfg['scales']!r}")
    return cfg


def classes_of(logits: Tensor, size: Sequence[int], resize: str) -> Tensor:
    """The class of every pixel.

    Args:
        logits: ``(B, K, h, w)``.
        size: Height and width of the answer.
        resize: How logits come to it, "bilinear" or "bicubic".

    Returns:
        ``(B, H, W)`` int64; `NOT_FINITE` where logits are NaN or infinite.
    """
    logits = enlarge(logits, size, resize)
    return torch.where(torch.isfinite(logits).all(dim=1), logits.argmax(dim=1), NOT_FINITE)


def slide(predict: Predict, images: Images, window: Sequence[int], stride: Sequence[int]) -> dict:
    """Logits of a large image from overlapping windows, averaged where they overlap.

    Args:
        predict: Asked about one window at a time.
        images: The large images.
        window: Height and width; larger than the image means as large as it.
        stride: Steps down and to the right; the last window ends with the image.

    Returns:
        As `predict`, of the images' size.

    Raises:
        ValueError: A stride is larger than the window: pixels in between would have no answer.
    """
    if stride[0] > window[0] or stride[1] > window[1]:
        raise ValueError(f"stride {tuple(stride)} is larger than the window {tuple(window)}")
    height, width = next(iter(images.values())).shape[-2:]
    sums: dict[str, Tensor] = {}
    counts = torch.zeros(height, width, device=next(iter(images.values())).device)
    for top in starts(height, window[0], stride[0]):
        for left in starts(width, window[1], stride[1]):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            found = predict({name: x[..., rows, columns] for name, x in images.items()})
            counts[rows, columns] += 1
            for stream, logits in found.items():
                if stream not in sums:
                    sums[stream] = logits.new_zeros(*logits.shape[:2], height, width)
                sums[stream][..., rows, columns] += logits
    return {stream: total / counts for stream, total in sums.items()}


def starts(size: int, window: int, stride: int) -> Iterator[int]:
    """Where windows begin so that they cover ``size`` pixels."""
    last = max(size - window, 0)
    yield from range(0, last, stride)
    yield last


def multi_scale(
    predict: Predict,
    images: Images,
    scales: Sequence[float] = (1.0,),
    with_flip: bool = False,
    divisor: int = 32,
) -> dict:
    """Mean probabilities over sizes and mirror images.

    Args:
        predict: Asked once per size and mirror image.
        images: The images.
        scales: Factors of the size, rounded to multiples of `divisor`.
        with_flip: Whether also mirrored, left to right.
        divisor: What the network wants sizes to be a multiple of.

    Returns:
        Logarithms of the mean probabilities: logits again, of the images' size.
    """
    size = next(iter(images.values())).shape[-2:]
    if tuple(scales) == (1.0,) and not with_flip:
        return predict(images)
    means: dict[str, Tensor] = {}
    turns = (False, True) if with_flip else (False,)
    for scale in scales:
        scaled = [max(divisor, round(side * scale / divisor) * divisor) for side in size]
        seen = {name: _resize(x, size if scale == 1 else scaled) for name, x in images.items()}
        for is_flipped in turns:
            for stream, logits in predict(_mirror(seen) if is_flipped else seen).items():
                logits = logits.flip(-1) if is_flipped else logits
                share = _resize(logits, size).softmax(dim=1) / (len(scales) * len(turns))
                means[stream] = means[stream] + share if stream in means else share
    return {stream: mean.clamp(min=1e-12).log() for stream, mean in means.items()}


def _mirror(images: Images) -> dict[str, Tensor]:
    return {name: x.flip(-1) for name, x in images.items()}


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False)
