"""Image files as the pixels of a colour image or of a sensor. Shape shorthand: H x W pixels."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images.upright import check_image_bytes, is_deep, kind_of, load_upright
from gemini_det3d.formats.plain_png import decode_plain_png
from gemini_det3d.formats.text import read_bytes

_WHITE_16 = 65535
_COLORS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
ON_NON_FINITE = ("error", "zero")
"""What to do about NaN and infinity in a float image."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a colour image, to its last pixel; see :func:`decode_color`."""
    return decode_color(read_bytes(path), path)


def decode_color(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Bytes of an image file as a colour image.

    Returns:
        ``(H, W, 3)`` uint8, RGB. Grey is repeated, a palette looked up, alpha dropped; of 16 bits
        the upper eight are kept, as OpenCV does.

    Raises:
        FormatError: It is no image, cut off, or of a kind that is no colour image (floats, 32-bit
            integers, Lab).
    """
    check_image_bytes(data, path)
    pixels = decode_plain_png(data)
    if pixels is not None:
        return pixels
    image = load_upright(data, path)
    if is_deep(image):
        grey = np.asarray(image).astype(np.int64)
        if grey.size and not 0 <= grey.min() <= grey.max() <= _WHITE_16:
            raise FormatError(path, f"holds numbers from {grey.min()} to {grey.max()}, no colours")
        return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _COLORS:
        raise FormatError(path, f"holds {kind_of(image)}, expected a colour image of 8 or 16 bits")
    return np.array(image.convert("RGB"))


def decode_sensor(
    data: bytes,
    path: str | os.PathLike,
    max_value: float | None = None,
    on_non_finite: str = "error",
) -> np.ndarray:
    """Bytes of an image of any sensor (colour, depth, events, ...) in 0 to 255.

    Args:
        data: Content of the file.
        path: Its name, for the error.
        max_value: Number that becomes 255 where the file holds 16 bits (None: 65535), 32-bit
            integers or floats (None is refused: their unit is not known). Eight bits stay.
        on_non_finite: 'error' refuses floats with NaN or infinity, 'zero' makes them 0.

    Returns:
        ``(H, W, 3)``: uint8, or float32 of more than eight bits. One channel is repeated thrice.

    Raises:
        FormatError: It is no image, cut off, of a kind that is refused, or not finite.
    """
    image = load_upright(data, path)
    if not is_deep(image) and image.mode not in ("F", "I"):
        return decode_color(data, path)
    numbers = np.asarray(image).astype(np.float32)
    lost = ~np.isfinite(numbers)
    if lost.any() and on_non_finite == "error":
        count = f"{int(lost.sum())} of {lost.size} pixels are NaN or infinite"
        raise FormatError(path, f"{count} (on_non_finite='zero' makes them 0)")
    numbers = np.where(lost, np.float32(0), numbers)
    if max_value is None:
        if not is_deep(image):
            found = f"holds {kind_of(image)} up to {numbers.max(initial=0):g}"
            raise FormatError(path, f"{found}: max_values must say which number becomes 255")
        max_value = _WHITE_16
    grey = np.clip(numbers * np.float32(255.0 / max_value), 0.0, 255.0)
    return np.repeat(grey[..., None], 3, axis=2)


def check_max_values(max_values: Mapping[str, float]) -> None:
    """Refuse numbers that cannot be white, by the name of a modality.

    Raises:
        ValueError: One is not finite and above 0.
    """
    for name, value in max_values.items():
        if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
            raise ValueError(f"max_values: {name}={value!r} must be a number above 0")


def decode_grey16(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Bytes of a 16-bit grey image as the numbers in it.

    Returns:
        ``(H, W)`` uint16.

    Raises:
        FormatError: It is no image, cut off, or not 16-bit grey.
    """
    image = load_upright(data, path)
    if not (is_deep(image) or image.mode == "I"):
        raise FormatError(path, f"is {image.mode}, expected 16-bit grey ({kind_of(image)})")
    numbers = np.asarray(image)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= _WHITE_16:
        fault = f"holds numbers from {numbers.min()} to {numbers.max()}, expected 16-bit grey"
        raise FormatError(path, fault)
    return numbers.astype(np.uint16)
