"""One decoder, told what is wanted: every kind of file is handled, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import (
    decode_color,
    decode_grey16,
    decode_labels,
    decode_sensor,
    read_image,
    read_image_size,
)

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7), dtype=np.uint16)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, byteorder: str = "<", **options) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, byteorder=byteorder, **options)
    return buffer.getvalue()


def grey_png(depth: int, values: list[int]) -> bytes:
    """One row of a grey PNG of less than 8 bits, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    bits = "".join(f"{value:0{depth}b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    row = b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    header = struct.pack(">IIBBBBB", len(values), 1, depth, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """Image, indices, colours."""
    index = np.arange(35, dtype=np.uint8).reshape(5, 7) % 9
    colors = np.random.default_rng(2).integers(0, 256, (9, 3), dtype=np.uint8)
    image = Image.fromarray(index)
    image.putpalette(colors.tobytes())
    return image, index, colors


# --- colour ---------------------------------------------------------------------------------


def test_a_palette_is_looked_up_where_a_colour_image_is_wanted():
    image, index, colors = palette_image()
    assert image.mode == "P"
    np.testing.assert_array_equal(decode_color(encode(image), "a"), colors[index])
    np.testing.assert_array_equal(decode_sensor(encode(image), "a"), colors[index])


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
def test_alpha_is_dropped(mode):
    image = Image.fromarray(RGB).convert(mode)
    np.testing.assert_array_equal(decode_color(encode(image), "a"), RGB)


def test_grey_with_alpha_and_one_bit_are_repeated():
    grey = Image.fromarray(RGB[..., 0]).convert("LA")
    np.testing.assert_array_equal(decode_color(encode(grey), "a")[..., 1], RGB[..., 0])
    bits = Image.fromarray(RGB[..., 0] > 128)
    np.testing.assert_array_equal(
        decode_color(encode(bits), "a")[..., 2], 255 * (RGB[..., 0] > 128)
    )


@pytest.mark.parametrize("data", [encode(DEEP), tiff(DEEP, "<"), tiff(DEEP, ">")])
def test_sixteen_bits_as_colours_are_the_upper_eight(data):
    np.testing.assert_array_equal(decode_color(data, "a")[..., 0], DEEP >> 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_colours_are_those_of_opencv(kind):
    cv2 = pytest.importorskip("cv2")
    data = encode(RGB.repeat(9, 0).repeat(9, 1), kind)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode_color(data, "a"), theirs)


def test_cmyk_is_converted_and_lab_refused():
    data = encode(Image.fromarray(RGB).convert("CMYK"), "TIFF")
    np.testing.assert_array_equal(decode_color(data, "a"), RGB)
    with pytest.raises(
        FormatError, match=r"^a: holds a Lab image \(LAB\), expected a colour image"
    ):
        decode_color(encode(Image.new("LAB", (3, 2)), "TIFF"), "a")


def test_floats_and_32_bit_integers_are_no_colours():
    with pytest.raises(FormatError, match="32-bit floats"):
        decode_color(tiff(DEEP.astype(np.float32)), "a")
    with pytest.raises(FormatError, match="32-bit integers"):
        decode_color(tiff(DEEP.astype(np.int32)), "a")


# --- orientation ----------------------------------------------------------------------------

UPRIGHT = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1),
}  # fmt: skip


def oriented(image: Image.Image | np.ndarray, kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "TIFF":
        return encode(image, kind, tiffinfo={0x0112: orientation})
    options = {"lossless": True} if kind == "WEBP" else {}
    return encode(image, kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_size_and_pixels_are_upright_alike(tmp_path, kind, orientation):
    path = tmp_path / "a"
    path.write_bytes(oriented(RGB, kind, orientation))
    plain = decode_color(encode(RGB, kind, **({"lossless": True} if kind == "WEBP" else {})), "a")
    image = read_image(path)
    np.testing.assert_array_equal(image, UPRIGHT[orientation](plain))
    assert read_image_size(path) == image.shape[1::-1]


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_and_16_bits_are_upright_too(orientation):
    turned = UPRIGHT[orientation]
    found = decode_labels(oriented(RGB[..., 0], "PNG", orientation), "a")
    np.testing.assert_array_equal(found, turned(RGB[..., 0]))
    np.testing.assert_array_equal(
        decode_grey16(oriented(DEEP, "PNG", orientation), "a"), turned(DEEP)
    )
    image, index, colors = palette_image()
    data = oriented(image, "PNG", orientation)
    np.testing.assert_array_equal(decode_color(data, "a"), turned(colors[index]))


def test_a_broken_exif_block_turns_nothing():
    data = encode(RGB, exif=b"Exif\0\0garbage that is no TIFF header")
    np.testing.assert_array_equal(decode_color(data, "a"), RGB)


# --- sensors --------------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_floats_are_scaled_by_the_number_that_is_white(byteorder):
    metres = np.array([[0.0, 2.5, 10.0, 80.0, -1.0]], dtype=np.float32)
    found = decode_sensor(tiff(metres, byteorder), "a", max_value=10.0)
    assert found.shape == (1, 5, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, 0], [0, 63.75, 255, 255, 0])


def test_floats_without_a_scale_are_refused_with_their_range():
    with pytest.raises(FormatError, match="32-bit floats .* up to 9.5: max_values must say"):
        decode_sensor(tiff(np.array([[1.0, 9.5]], np.float32)), "a")


def test_floats_that_are_not_finite_are_refused_or_zero_on_request():
    data = tiff(np.array([[1.0, np.nan, np.inf]], np.float32))
    with pytest.raises(FormatError, match="2 of 3 pixels are NaN or infinite"):
        decode_sensor(data, "a", 2.0)
    assert decode_sensor(data, "a", 2.0, "zero")[0, :, 0].tolist() == [127.5, 0, 0]


@pytest.mark.parametrize("data", [encode(DEEP), tiff(DEEP, ">"), tiff(DEEP.astype(np.int32))])
def test_sixteen_bits_are_numbers_whatever_their_order(data):
    np.testing.assert_allclose(
        decode_sensor(data, "a", 30000.0)[..., 0], np.minimum(DEEP / 30000.0 * 255, 255), rtol=1e-6
    )
    np.testing.assert_array_equal(decode_grey16(data, "a"), DEEP)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (encode(RGB), "is RGB, expected 16-bit grey"),
        (tiff(DEEP.astype(np.float32)), "is F, expected 16-bit grey"),
        (tiff(np.array([[-3, 5]], np.int16)), "holds numbers from -3 to 5"),
        (tiff(np.array([[5, 70000]], np.int32)), "holds numbers from 5 to 70000"),
    ],
)
def test_what_is_not_16_bit_grey_is_named(data, fault):
    with pytest.raises(FormatError, match=fault):
        decode_grey16(data, "a")


# --- labels ---------------------------------------------------------------------------------


def test_labels_of_a_palette_are_its_indices():
    image, index, _ = palette_image()
    np.testing.assert_array_equal(decode_labels(encode(image), "a"), index)
    np.testing.assert_array_equal(decode_labels(encode(image, "GIF"), "a"), index)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_labels_of_few_bits_are_not_stretched(depth):
    values = list(range(2**depth))
    assert decode_labels(grey_png(depth, values), "a").tolist() == [values]


@pytest.mark.parametrize("data", [encode(DEEP), tiff(DEEP, ">"), tiff(DEEP.astype(np.float32))])
def test_labels_of_many_bits_are_kept(data):
    np.testing.assert_array_equal(decode_labels(data, "a"), DEEP)


def test_labels_of_several_channels_count_where_they_cannot_be_colours():
    grey = RGB[..., 0]
    repeated, red = np.repeat(grey[..., None], 3, 2), np.zeros_like(RGB)
    red[..., 0] = grey
    for pixels in (repeated, red):
        np.testing.assert_array_equal(decode_labels(encode(pixels), "a"), grey)
        with_alpha = Image.fromarray(pixels).convert("RGBA")
        np.testing.assert_array_equal(decode_labels(encode(with_alpha), "a"), grey)
    with pytest.raises(FormatError, match=r"is colour-coded \(35 colours\)"):
        decode_labels(encode(RGB), "a")
    np.testing.assert_array_equal(decode_labels(encode(RGB), "a", code=0), grey)


def test_colours_of_pascal_vocs_map_are_recognised_and_read_on_request():
    colors = np.array(
        [[[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 0, 0], [224, 224, 192]]], np.uint8
    )
    with pytest.raises(FormatError, match=r"colour-coded \(5 colours\).*label_code='voc' reads"):
        decode_labels(encode(colors), "a")
    assert decode_labels(encode(colors), "a", code="voc").tolist() == [[0, 1, 2, 9, 255]]
    colors[0, 1] = 128, 64, 32
    with pytest.raises(FormatError, match="a label map holds the numbers of the classes$"):
        decode_labels(encode(colors), "a", code="voc")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (encode(RGB[..., 0], "JPEG"), "is a JPEG file, which does not keep numbers"),
        (encode(RGB, "WEBP"), "is a WEBP file"),
        (encode(RGB[..., 0], "TIFF", compression="jpeg"), "is a TIFF file, which does not keep"),
        (tiff(np.stack([DEEP] * 3, -1), photometric="rgb"), "of 16 bits, expected one number"),
        (tiff(np.array([[0.5, 1]], np.float32)), "numbers that are not whole"),
        (encode(Image.fromarray(RGB).convert("CMYK"), "TIFF"), "is a CMYK image"),
    ],
)
def test_what_cannot_be_a_label_map_is_named(data, fault):
    with pytest.raises(FormatError, match=fault):
        decode_labels(data, "a")


# --- broken files ---------------------------------------------------------------------------


@pytest.mark.parametrize("decode", [decode_color, decode_sensor, decode_grey16, decode_labels])
def test_broken_bytes_are_one_line_for_every_decoder(decode):
    data = encode(DEEP)
    for broken in (b"", b"no image", data[:40], data[: len(data) // 2]):
        with pytest.raises(FormatError, match="^a: is not a readable image"):
            decode(broken, "a")


def test_an_image_over_pillows_limit_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(FormatError, match="^a: has 35 pixels, more than Pillow decodes"):
        decode_color(encode(RGB), "a")


def test_kinds_that_pillow_does_not_know_are_said_to_be_such():
    with pytest.raises(FormatError, match="a TIFF of a kind that Pillow does not know"):
        decode_sensor(tiff(DEEP.astype(np.float64)), "a", 1.0)
