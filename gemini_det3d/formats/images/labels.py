"""Label maps: images whose pixels are the numbers of classes. Shape shorthand: H x W pixels."""

from __future__ import annotations

import os

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images.upright import channel_bits, kind_of, load_upright

# Numbers survive in these; the others lose or rescale them.
_EXACT_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "TGA")


def decode_labels(
    data: bytes, path: str | os.PathLike, code: int | str | None = None
) -> np.ndarray:
    """Bytes of a label map as the numbers in it.

    Args:
        data: Content of a file that keeps numbers: PNG, TIFF, BMP, GIF or TGA.
        path: Its name, for the error.
        code: How a file of several channels means its numbers: the channel that counts, or 'voc',
            the colours of PASCAL VOC's map (and NYU's: 0 is black, 1 dark red, 2 dark green). None:
            channels must be equal, or all but the first zero.

    Returns:
        ``(H, W)`` int32: of a palette the index, of 1 bit 0 and 1.

    Raises:
        FormatError: It is no image, cut off, stored with losses (JPEG), colour-coded, or holds
            numbers that are not whole.
    """
    image = load_upright(data, path)
    kind, bits = image.format, channel_bits(image, data)
    if kind not in _EXACT_FORMATS or image.info.get("compression") == "jpeg":
        fault = f"is a {kind} file, which does not keep numbers; labels must be PNG or TIFF"
        raise FormatError(path, fault)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and image.mode in ("LA", "PA", "RGBA"):
        pixels = pixels[..., :-1] if pixels.shape[-1] > 2 else pixels[..., 0]
    if pixels.ndim == 3 and (bits > 8 or image.mode in ("CMYK", "YCbCr", "LAB", "HSV")):
        raise FormatError(path, f"is {kind_of(image)} of {bits} bits, expected one number a pixel")
    if pixels.ndim == 3:
        pixels = _one_channel(pixels, path, code)
    if image.mode == "L" and bits in (2, 4):  # Pillow stretches them to 0 to 255
        pixels = pixels // (255 // (2**bits - 1))
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels) & (pixels % 1 == 0)).all():
        raise FormatError(
            path, "holds numbers that are not whole; a label is the number of a class"
        )
    return pixels.astype(np.int32)


def _one_channel(pixels: np.ndarray, path: str | os.PathLike, code: int | str | None) -> np.ndarray:
    if isinstance(code, int):
        return pixels[..., code]
    first, others = pixels[..., :1], pixels[..., 1:]
    if code is None and ((others == first).all() or not others.any()):
        return first[..., 0]
    numbers = _voc_numbers(pixels)
    is_voc = bool((_VOC_COLORS[numbers] == pixels).all())
    if code == "voc" and is_voc:
        return numbers
    count = len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))
    fault = f"is colour-coded ({count} colours); a label map holds the numbers of the classes"
    hint = "; the colours are those of PASCAL VOC's map, which label_code='voc' reads"
    raise FormatError(path, fault + (hint if is_voc else ""))


def _voc_numbers(colors: np.ndarray) -> np.ndarray:
    """``(..., 3)`` uint8 -> numbers whose bits, three by three, are the colours' from the top."""
    numbers = np.zeros(colors.shape[:-1], dtype=np.uint8)
    for place in range(8):
        channel, bit = place % 3, 7 - place // 3
        numbers |= ((colors[..., channel] >> bit) & 1) << place
    return numbers


def _voc_colors() -> np.ndarray:
    """``(256, 3)`` uint8, the other way."""
    numbers = np.arange(256, dtype=np.uint8)
    colors = np.zeros((256, 3), dtype=np.uint8)
    for place in range(8):
        colors[:, place % 3] |= ((numbers >> place) & 1) << (7 - place // 3)
    return colors


_VOC_COLORS = _voc_colors()
