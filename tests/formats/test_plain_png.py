"""PNG files of plain colour: every decoder gives Pillow's bytes, and leaves the rest to Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gemini_det3d.formats import plain_png
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import decode_color
from gemini_det3d.formats.plain_png import decode_plain_png

WAYS = ["opencv", "libspng", "isal and opencv", "isal and libspng"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """One set of decoders, whatever else is installed."""
    if "isal" in request.param:
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(plain_png, "_inflater", lambda: None)
    if "libspng" in request.param:
        decode = plain_png._by_libspng, pytest.importorskip("pyspng").load
    else:
        decode = plain_png._by_opencv, pytest.importorskip("cv2")
    monkeypatch.setattr(plain_png, "_decoder", lambda: lambda data: decode[0](decode[1], data))
    return request.param


def picture(height: int = 53, width: int = 71) -> np.ndarray:
    """Smooth and noisy parts, so that an encoder takes several filters."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows * 3, columns * 2, rows + columns], axis=2)
    noise = np.random.default_rng(0).integers(0, 256, smooth.shape)
    return np.where(columns[..., None] < width // 2, smooth, noise).astype(np.uint8)


def encoded(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("shape", [(53, 71), (1, 1), (350, 97)])  # the last: over 65,535 bytes
def test_decoders_give_the_pixels_that_were_written(way, shape):
    pixels = picture(*shape)
    assert np.array_equal(decode_plain_png(encoded(Image.fromarray(pixels))), pixels)


def test_real_frames_equal_pillows(way, shared_dir):
    for path in sorted((shared_dir / "data" / "kitti_mini/training/image_2").glob("*.png")):
        expected = np.asarray(Image.open(path).convert("RGB"))
        assert np.array_equal(decode_plain_png(path.read_bytes()), expected)


def _others() -> dict[str, bytes]:
    image = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "exif")
    grey16 = Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4))
    jpeg = io.BytesIO()
    image.save(jpeg, "jpeg")
    return {
        "grey": encoded(image.convert("L")),
        "palette": encoded(image.convert("P")),
        "alpha": encoded(image.convert("RGBA")),
        "16 bits": encoded(grey16),
        "transparent colour": encoded(image, transparency=(1, 2, 3)),
        "EXIF": encoded(image, exif=exif),
        "EXIF as text": encoded(image, pnginfo=text),
        "JPEG": jpeg.getvalue(),
        "nothing": b"",
    }


@pytest.mark.parametrize("kind", _others())
def test_other_kinds_are_left_to_pillow(kind):
    assert decode_plain_png(_others()[kind]) is None


def _broken() -> dict[str, bytes]:
    good = encoded(Image.fromarray(picture()))
    at = good.index(b"IDAT") + 200
    flipped = good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :]
    lines = b"".join(b"\0" + row.tobytes() for row in picture())
    head = good[:33]
    ends = chunk(b"IEND", b"")
    return {
        "cut off": good[: len(good) // 2],
        "a byte changed": flipped,
        "too few lines": head + chunk(b"IDAT", zlib.compress(lines[:3000])) + ends,
        "cut stream": head + chunk(b"IDAT", zlib.compress(lines)[:-40]) + ends,
        "huge": good[:16] + struct.pack(">II", 1 << 20, 1 << 20) + good[24:],
    }


@pytest.mark.parametrize("fault", _broken())
def test_broken_files_are_refused_in_one_line(way, fault):
    assert decode_plain_png(_broken()[fault]) is None
    with pytest.raises(FormatError, match=r"x\.png"):
        decode_color(_broken()[fault], "x.png")
