"""One decoder of image files, which is told what is wanted: a colour image, a sensor, labels.

What a file holds is never guessed from an array's shape: every kind of file (Pillow calls it the
mode) is handled or refused by name. All answers are upright: EXIF orientation is applied, so size,
crop, model and picture agree. Shape shorthand: H x W pixels.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.plain_png import decode_plain_png
from gemini_det3d.formats.text import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

# Cameras append notes behind the end mark; so far back it is looked for.
_TAIL_BYTES = 4096
_EXIF_ORIENTATION = 0x0112
_TIFF_BITS = 258
_WHITE_16 = 65535
_COLORS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
# Numbers survive in these; the others lose or rescale them.
_EXACT_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "TGA")
_NAMES = {
    "1": "black and white", "L": "8-bit grey", "LA": "8-bit grey with alpha", "P": "a palette",
    "PA": "a palette with alpha", "RGB": "a colour image", "RGBA": "a colour image with alpha",
    "CMYK": "a CMYK image", "YCbCr": "a YCbCr image", "LAB": "a Lab image", "HSV": "an HSV image",
    "F": "32-bit floats", "I": "32-bit integers", "I;16": "16-bit grey", "I;16B": "16-bit grey",
    "I;16L": "16-bit grey",
}  # fmt: skip
ON_NON_FINITE = ("error", "zero")
"""What to do about NaN and infinity in a float image."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a colour image, to its last pixel; see :func:`decode_color`."""
    return decode_color(read_bytes(path), path)


def read_image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Size of an upright image, from its header alone.

    Args:
        path: Image file.

    Returns:
        ``(width, height)`` in pixels.

    Raises:
        FormatError: It is missing or no image.
    """
    data = read_bytes(path)
    return _guarded(path, lambda: _upright_size(data))


def read_orientation(path: str | os.PathLike) -> int:
    """EXIF's orientation of an image file: 1 is upright, from 5 on width and height are swapped.

    Raises:
        FormatError: It is missing or no image.
    """
    from PIL import Image

    data = read_bytes(path)

    def read() -> int:
        with Image.open(io.BytesIO(data)) as image:
            return _orientation(image, data)

    return _guarded(path, read)


def decode_color(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Bytes of an image file as a colour image.

    Args:
        data: Content of the file.
        path: Its name, for the error.

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
    image = _load(data, path)
    if _is_deep(image):
        grey = np.asarray(image).astype(np.int64)
        if grey.size and not 0 <= grey.min() <= grey.max() <= _WHITE_16:
            raise FormatError(path, f"holds numbers from {grey.min()} to {grey.max()}, no colours")
        return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _COLORS:
        raise FormatError(path, f"holds {_kind(image)}, expected a colour image of 8 or 16 bits")
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
    image = _load(data, path)
    if not _is_deep(image) and image.mode not in ("F", "I"):
        return decode_color(data, path)
    numbers = np.asarray(image).astype(np.float32)
    lost = ~np.isfinite(numbers)
    if lost.any() and on_non_finite == "error":
        count = f"{int(lost.sum())} of {lost.size} pixels are NaN or infinite"
        raise FormatError(path, f"{count} (on_non_finite='zero' makes them 0)")
    numbers = np.where(lost, np.float32(0), numbers)
    if max_value is None:
        if not _is_deep(image):
            found = f"holds {_kind(image)} up to {numbers.max(initial=0):g}"
            raise FormatError(path, f"{found}: max_values must say which number becomes 255")
        max_value = _WHITE_16
    grey = np.clip(numbers * np.float32(255.0 / max_value), 0.0, 255.0)
    return np.repeat(grey[..., None], 3, axis=2)


def decode_grey16(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Bytes of a 16-bit grey image as the numbers in it.

    Args:
        data: Content of the file.
        path: Its name, for the error.

    Returns:
        ``(H, W)`` uint16.

    Raises:
        FormatError: It is no image, cut off, or not 16-bit grey.
    """
    image = _load(data, path)
    if not (_is_deep(image) or image.mode == "I"):
        raise FormatError(path, f"is {image.mode}, expected 16-bit grey ({_kind(image)})")
    numbers = np.asarray(image)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= _WHITE_16:
        fault = f"holds numbers from {numbers.min()} to {numbers.max()}, expected 16-bit grey"
        raise FormatError(path, fault)
    return numbers.astype(np.uint16)


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
    image = _load(data, path)
    kind, bits = image.format, _bits(image, data)
    if kind not in _EXACT_FORMATS or image.info.get("compression") == "jpeg":
        fault = f"is a {kind} file, which does not keep numbers; labels must be PNG or TIFF"
        raise FormatError(path, fault)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and image.mode in ("LA", "PA", "RGBA"):
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and (bits > 8 or image.mode in ("CMYK", "YCbCr", "LAB", "HSV")):
        raise FormatError(path, f"is {_kind(image)} of {bits} bits, expected one number a pixel")
    if pixels.ndim == 3:
        pixels = _one_channel(pixels, path, code)
    if image.mode == "L" and bits in (2, 4):  # Pillow stretches them to 0 to 255
        pixels = pixels // (255 // (2**bits - 1))
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels) & (pixels % 1 == 0)).all():
        raise FormatError(
            path, "holds numbers that are not whole; a label is the number of a class"
        )
    return pixels.astype(np.int32)


def check_image_bytes(data: bytes, path: str | os.PathLike) -> None:
    """Refuse a PNG or JPEG file that ends before its end mark.

    Some decoders fill what is missing with grey and say nothing.

    Args:
        data: Content of the file.
        path: Its name, for the error.

    Raises:
        FormatError: The file is empty or cut off.
    """
    if not data:
        raise FormatError(path, "is not a readable image (0 bytes)")
    for start, end in ((b"\x89PNG", b"IEND"), (b"\xff\xd8", b"\xff\xd9")):
        if data.startswith(start) and end not in data[-_TAIL_BYTES:]:
            fault = f"is not a readable image (cut off after {len(data)} bytes)"
            raise FormatError(path, fault)


def _load(data: bytes, path: str | os.PathLike) -> Image:
    """The upright image, every pixel decoded."""
    check_image_bytes(data, path)
    return _guarded(path, lambda: _upright(data))


def _guarded(path: str | os.PathLike, read):
    """Run a reader of Pillow's; whatever broken bytes lead it to is one line."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about EXIF, transparency, and sizes below its limit
            return read()
    except Image.DecompressionBombError as error:
        size = re.search(r"\((\d+) pixels\)", str(error))
        count = f"{int(size.group(1)):,} pixels" if size else "too many pixels"
        raise FormatError(path, f"has {count}, more than Pillow decodes; make it smaller") from None
    except Exception as error:  # Pillow's decoders raise nearly anything
        raise FormatError(path, f"is not a readable image ({_reason(error, path)})") from error


def _upright(data: bytes) -> Image:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.load()
        orientation, kind = _orientation(image, data), image.format
        if orientation in _turns():
            info = image.info
            image = image.transpose(_turns()[orientation])
            image.format, image.info = kind, info
        return image


def _upright_size(data: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.format == "TIFF":  # which Pillow turns itself, some versions while loading
            image.load()
            return image.size
        width, height = image.size
        return (height, width) if _orientation(image, data) >= 5 else (width, height)


def _orientation(image: Image, data: bytes) -> int:
    """EXIF's 1 to 8; a note that cannot be read turns nothing."""
    if image.format == "PNG" and b"eXIf" not in data and b"Raw profile type exif" not in data:
        return 1  # asking Pillow would decode the whole image
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block, whichever way
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _turns() -> dict:
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }  # fmt: skip


def _is_deep(image: Image) -> bool:
    """Whether it is 16-bit grey; older versions of Pillow call that of a PNG "I"."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def _bits(image: Image, data: bytes) -> int:
    """Bits of a channel in the file, where Pillow's answer may hold fewer or more."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return max(_tiff_bits(data))
    return 8


def _tiff_bits(data: bytes) -> tuple[int, ...]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        bits = image.tag_v2.get(_TIFF_BITS, (1,))  # type: ignore[attr-defined]
    return bits if isinstance(bits, tuple) else (bits,)


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


def _kind(image: Image) -> str:
    return f"{_NAMES.get(image.mode, 'an image')} ({image.mode})"


def _reason(error: Exception, path: str | os.PathLike) -> str:
    """What Pillow said, without the address of a buffer or a second copy of the path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "unknown format, or a TIFF of a kind that Pillow does not know"
    return " ".join(str(error).replace(os.fspath(path), "").split()) or type(error).__name__
