"""Damaged and swapped images, label maps and lists of frames in every reader of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats.images import (
    decode_grey16,
    read_image,
    read_image_size,
    read_orientation,
)
from gemini_det3d.formats.segmentation import (
    list_nyudv2,
    list_sunrgbd,
    read_color,
    read_labels,
)
from gemini_det3d.formats.taskonomy import read_domain

pytest.importorskip("tests.fuzz.harness")

from tests.fuzz.harness import Reader, faults_of  # noqa: E402
from tests.fuzz.mutations import mutated  # noqa: E402

PER_READER = 36
RGB = np.random.default_rng(0).integers(0, 256, (31, 37, 3), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (31, 37), dtype=np.uint16)
LABELS = np.random.default_rng(2).integers(0, 5, (31, 37), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def palette() -> bytes:
    image, stream = Image.fromarray(LABELS), io.BytesIO()
    image.putpalette(bytes(range(15)))
    image.save(stream, "PNG")
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(RGB, "JPEG", exif=exif)


def is_color(image: np.ndarray) -> None:
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def is_sensor(image: np.ndarray) -> None:
    assert image.ndim == 3 and image.shape[2] == 3 and np.isfinite(image).all()
    assert image.size == 0 or 0 <= image.min() <= image.max() <= 255


def are_labels(labels: np.ndarray) -> None:
    assert labels.dtype == np.uint8 and labels.ndim == 2
    assert set(np.unique(labels)) <= {*range(5), 255}


def in_list(list_frames):
    """A list of frames is read by the folder that it lies in."""

    def read(path):
        (path.parent / "train.txt").write_bytes(path.read_bytes())
        return list_frames(path.parent, "train")

    return read


READERS = {
    "colour png": Reader(".png", encode(RGB, "PNG"), read_image, is_color),
    "colour jpeg": Reader(".jpg", turned(), read_image, is_color),
    "colour tiff": Reader(".tif", encode(RGB, "TIFF"), read_image, is_color),
    "colour bmp": Reader(".bmp", encode(RGB, "BMP"), read_image, is_color),
    "colour gif": Reader(".gif", encode(LABELS, "GIF"), read_image, is_color),
    "colour webp": Reader(".webp", encode(RGB, "WEBP"), read_image, is_color),
    "colour palette": Reader(".png", palette(), read_image, is_color),
    "size": Reader(".jpg", turned(), read_image_size),
    "orientation": Reader(".jpg", turned(), read_orientation),
    "sensor png": Reader(".png", encode(DEEP, "PNG"), lambda p: read_color(p, 9e3), is_sensor),
    "sensor float": Reader(".tif", encode(DEEP.astype(np.float32), "TIFF"),
                           lambda p: read_color(p, 9e3), is_sensor),
    "16 bits": Reader(".png", encode(DEEP, "PNG"), lambda p: decode_grey16(p.read_bytes(), p)),
    "domain": Reader(".png", encode(DEEP, "PNG"), lambda p: read_domain(p, "depth_zbuffer"),
                     is_color),
    "labels png": Reader(".png", encode(LABELS, "PNG"), lambda p: read_labels(p, 0, 5), are_labels),
    "labels palette": Reader(".png", palette(), lambda p: read_labels(p, 0, 5), are_labels),
    "labels tiff": Reader(".tif", encode(LABELS, "TIFF"), lambda p: read_labels(p, 0, 5),
                          are_labels),
    "labels in colours": Reader(".png", encode(RGB, "PNG"), lambda p: read_labels(p, 0, 5, "voc"),
                                are_labels),
    "list of nyudv2": Reader(".txt", b"rgb/1.png l/1.png d/1.png\n", in_list(list_nyudv2)),
    "list of sunrgbd": Reader(".txt", b"RGB/kv1/1.jpg\nRGB/kv2/1.jpg\n", in_list(list_sunrgbd)),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_damaged_and_swapped_files_are_one_line_or_right(name, tmp_path):
    others = [reader.good for other, reader in READERS.items() if other != name]
    files = mutated(READERS[name].good, others, PER_READER)
    assert faults_of(READERS[name], files, tmp_path) == []
