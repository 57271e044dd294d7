"""PNG files of plain 8-bit colour, what cameras of data sets write, by the fastest means there are.

Most of the time goes into inflating. ISA-L (`isal`) takes a third of zlib's time; its output is
handed on as a PNG that is not compressed, to libspng (`pyspng`) or OpenCV, which undo the filters.
Both are the extra ``fast``; where they are not installed OpenCV does all. The bytes are the same.
Whatever else a PNG may hold (a palette, alpha, 16 bits, interlacing, a colour that means
transparent, EXIF) and whatever is broken is left to Pillow, which knows it all.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable

import numpy as np

__all__ = ["decode_plain_png"]

# A header of 13 bytes; 8 bits of red, green, blue; deflate, usual filters, not interlaced.
_START, _PLAIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\x08\x02\0\0\0"
_HEADER_END = 33
_SPECIAL = {b"tRNS", b"eXIf"}
_EXIF_AS_TEXT = b"Raw profile type exif"
_MOST_STORED = 65535  # bytes of a block that deflate does not compress


def decode_plain_png(data: bytes) -> np.ndarray | None:
    """Bytes of a PNG file of plain 8-bit colour as an image.

    Returns:
        ``(H, W, 3)`` uint8, RGB; None where the file is of another kind, too large or broken, or
        where no decoder is installed.
    """
    if not data.startswith(_START) or data[24:29] != _PLAIN:
        return None
    from PIL import Image

    width, height = struct.unpack(">II", data[16:24])
    most = Image.MAX_IMAGE_PIXELS  # above which Pillow warns or refuses
    pixels = None if most is not None and width * height > most else _compressed(data)
    decode, inflate = _decoder(), _inflater()
    if pixels is None or decode is None:
        return None
    if inflate is not None:
        lines = inflate(pixels, height * (1 + 3 * width))
        if lines is None:
            return None
        data = _without_compression(data[:_HEADER_END], lines)
    image = decode(data)
    return image if image is not None and image.shape == (height, width, 3) else None


def _compressed(data: bytes) -> bytes | None:
    """The compressed pixels, or None of a file that is not whole or says more than colours."""
    at, parts, view = _HEADER_END, [], memoryview(data)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + size
        if kind in _SPECIAL or data.startswith(_EXIF_AS_TEXT, at + 8):
            return None
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None  # libspng would not notice
        if kind == b"IDAT":
            parts.append(view[at + 8 : end])
        elif kind == b"IEND":
            return b"".join(parts)
        at = end + 4
    return None


def _without_compression(header: bytes, lines: bytes) -> bytes:
    """A PNG file of the same header whose filtered lines are stored as they are."""
    from isal import isal_zlib

    view, body = memoryview(lines), [b"IDAT\x78\x01"]
    for start in range(0, len(lines), _MOST_STORED):
        block = view[start : start + _MOST_STORED]
        is_last = start + len(block) == len(lines)
        body += [struct.pack("<BHH", is_last, len(block), 65535 - len(block)), block]
    body.append(struct.pack(">I", isal_zlib.adler32(lines)))
    chunk = b"".join(body)
    ends = struct.pack(">I", len(chunk) - 4), struct.pack(">I", isal_zlib.crc32(chunk))
    return b"".join((header, ends[0], chunk, ends[1], b"\0\0\0\0IEND\xaeB`\x82"))


@functools.cache
def _inflater() -> Callable[[bytes, int], bytes | None] | None:
    try:
        from isal import isal_zlib
    except ImportError:
        return None

    def inflate(pixels: bytes, size: int) -> bytes | None:
        stream = isal_zlib.decompressobj()
        try:
            lines = stream.decompress(pixels, size + 1)
        except isal_zlib.error:  # pyright: ignore -- its stub has an instance
            return None
        return lines if stream.eof and len(lines) == size else None  # eof: the checksum agrees

    return inflate


@functools.cache
def _decoder() -> Callable[[bytes], np.ndarray | None] | None:
    try:
        import pyspng

        return functools.partial(_by_libspng, pyspng.load)
    except ImportError:
        pass
    try:
        import cv2

        return functools.partial(_by_opencv, cv2)
    except ImportError:
        return None


def _by_libspng(load: Callable, data: bytes) -> np.ndarray | None:
    try:
        return load(data)
    except RuntimeError:  # broken, or cut off
        return None


def _by_opencv(cv2, data: bytes) -> np.ndarray | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
