"""Image files as upright, whole images of Pillow's, or refused in one line."""

from __future__ import annotations

import io
import os
import re
import warnings
from typing import TYPE_CHECKING

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kinds import seeming_kind
from gemini_det3d.formats.text import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

# Cameras append notes behind the end mark; so far back it is looked for.
_TAIL_BYTES = 4096
_EXIF_ORIENTATION = 0x0112
_TIFF_BITS = 258
_NAMES = {
    "1": "black and white", "L": "8-bit grey", "LA": "8-bit grey with alpha", "P": "a palette",
    "PA": "a palette with alpha", "RGB": "a colour image", "RGBA": "a colour image with alpha",
    "CMYK": "a CMYK image", "YCbCr": "a YCbCr image", "LAB": "a Lab image", "HSV": "an HSV image",
    "F": "32-bit floats", "I": "32-bit integers", "I;16": "16-bit grey", "I;16B": "16-bit grey",
    "I;16L": "16-bit grey",
}  # fmt: skip


def read_image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Size of an upright image, from its header alone.

    Returns:
        ``(width, height)`` in pixels.

    Raises:
        FormatError: It is missing or no image.
    """
    data = read_bytes(path)
    return _guarded(path, data, lambda: _upright_size(data))


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

    return _guarded(path, data, read)


def check_image_bytes(data: bytes, path: str | os.PathLike) -> None:
    """Refuse a PNG or JPEG file that ends before its end mark.

    Some decoders fill what is missing with grey and say nothing.

    Raises:
        FormatError: The file is empty or cut off.
    """
    if not data:
        raise FormatError(path, "is not a readable image (0 bytes)")
    for start, end in ((b"\x89PNG", b"IEND"), (b"\xff\xd8", b"\xff\xd9")):
        if data.startswith(start) and end not in data[-_TAIL_BYTES:]:
            fault = f"is not a readable image (cut off after {len(data)} bytes)"
            raise FormatError(path, fault)


def load_upright(data: bytes, path: str | os.PathLike) -> Image:
    """The upright image, every pixel decoded.

    Raises:
        FormatError: It is no image, or cut off.
    """
    check_image_bytes(data, path)
    return _guarded(path, data, lambda: _upright(data))


def is_deep(image: Image) -> bool:
    """Whether it is 16-bit grey; older versions of Pillow call that of a PNG "I"."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def channel_bits(image: Image, data: bytes) -> int:
    """Bits of a channel in the file, where Pillow's answer may hold fewer or more."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return max(_tiff_bits(data))
    return 8


def kind_of(image: Image) -> str:
    """What an image is, in words, with Pillow's name of its mode."""
    return f"{_NAMES.get(image.mode, 'an image')} ({image.mode})"


def _guarded(path: str | os.PathLike, data: bytes, read):
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
        reason = _reason(error, path, data)
        raise FormatError(path, f"is not a readable image ({reason})") from error


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


def _tiff_bits(data: bytes) -> tuple[int, ...]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        bits = image.tag_v2.get(_TIFF_BITS, (1,))  # type: ignore[attr-defined]
    return bits if isinstance(bits, tuple) else (bits,)


def _reason(error: Exception, path: str | os.PathLike, data: bytes) -> str:
    """What Pillow said, without the address of a buffer or a second copy of the path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        unknown = "unknown format, or a TIFF of a kind that Pillow does not know"
        return seeming_kind(data, "image") or unknown
    return " ".join(str(error).replace(os.fspath(path), "").split()) or type(error).__name__
