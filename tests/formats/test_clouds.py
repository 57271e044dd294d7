"""Clouds of every container give the same points; what is none is refused by what it is."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.clouds import first_columns, parse_cloud
from gemini_det3d.formats.kitti import read_points


def scan(columns: int, number: int = 500) -> np.ndarray:
    """Points along rings, as a scanner gives them."""
    angle = np.linspace(0, 6 * np.pi, number)
    radius = 12 + np.sin(5 * angle)
    table = [radius * np.cos(angle), radius * np.sin(angle), np.linspace(-2, 1, number)]
    table += [0.3 + 0.1 * np.sin(7 * angle + i) + 30 * i for i in range(columns - 3)]
    return np.stack(table[:columns], axis=1).astype(np.float32)


def npy(points: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points)
    return stream.getvalue()


def pcd(points: np.ndarray, kind: str, names: str = "x y z intensity") -> bytes:
    count, width = points.shape
    header = (
        f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {names}\n"
        f"SIZE {'4 ' * width}\nTYPE {'F ' * width}\nCOUNT {'1 ' * width}\nWIDTH {count}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA {kind}\n"
    ).encode()
    if kind == "ascii":
        return (
            header + "\n".join(" ".join(f"{v!r}" for v in row.tolist()) for row in points).encode()
        )
    if kind == "binary":
        return header + points.astype("<f4").tobytes()
    plain = points.T.astype("<f4").tobytes()
    packed = compress(plain)
    return header + struct.pack("<II", len(packed), len(plain)) + packed


def compress(data: bytes) -> bytes:
    """LZF by literals, and one copy for every eight equal bytes."""
    out, at = bytearray(), 0
    while at < len(data):
        if at >= 8 and data[at : at + 8] == data[at - 8 : at]:
            out += bytes([6 << 5, 7])  # 8 bytes from 8 back
            at += 8
        else:
            chunk = data[at : at + 8]
            out += bytes([len(chunk) - 1]) + chunk
            at += 8
    return bytes(out)


def tarred(data: bytes) -> bytes:
    """In an archive whose blocks are whole points, too."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("a.bin")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


POINTS = scan(4)
CONTAINERS = {
    "bin": POINTS.tobytes(),
    "npy": npy(POINTS),
    "npy of doubles": npy(POINTS.astype(np.float64)),
    "npy big-endian": npy(POINTS.astype(">f4")),
    "npy column by column": npy(np.asfortranarray(POINTS)),
    "npy with more columns": npy(np.hstack([POINTS, POINTS])),
    "pcd ascii": pcd(POINTS, "ascii"),
    "pcd binary": pcd(POINTS, "binary"),
    "pcd compressed": pcd(POINTS, "binary_compressed"),
    "pcd in another order": pcd(POINTS[:, [3, 2, 0, 1]], "binary", "reflectivity z x y"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_gives_the_same_points(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(CONTAINERS[name])  # content decides, not the suffix
    points = read_points(tmp_path / "a.bin")
    assert points.dtype == np.float32 and points.flags.writeable
    assert np.array_equal(points, POINTS)


def test_compressed_copies_are_unpacked() -> None:
    points = np.zeros((64, 4), np.float32)
    points[:, 0] = np.arange(64)
    assert len(pcd(points, "binary_compressed")) < len(pcd(points, "binary"))
    assert np.array_equal(parse_cloud(pcd(points, "binary_compressed"), "a.pcd"), points)


@pytest.mark.parametrize("columns", [3, 5, 6, 7])
def test_other_number_of_columns_is_refused_and_named(columns: int) -> None:
    data = scan(columns, 4 * 125).tobytes()
    with pytest.raises(FormatError, match=rf": {columns} float32 columns\?.*--point-columns"):
        parse_cloud(data, "a.bin")
    with pytest.raises(FormatError, match=rf"columns\?.* save 4 of {columns}$"):
        parse_cloud(data, "a.bin", remedy="save 4 of {}")
    assert parse_cloud(data, "a.bin", columns).shape == (500, columns)


@pytest.mark.parametrize(
    "data, fault",
    [
        (POINTS.astype(np.float64).tobytes(), "float64 values"),
        (np.arange(1, 401, dtype="<i4").tobytes(), r"values\? clouds are little-endian float32"),
        (POINTS.astype(">f4").tobytes(), "big-endian float32 values"),
        (POINTS.tobytes()[:-3], "7997 bytes are no whole number of points of 4 float32"),
        (b"ply\nformat ascii 1.0\n", "is a .ply file"),
        (b"PK\x03\x04" + bytes(60), "is a .zip or .npz archive"),
        (b"\x89PNG\r\n" + bytes(58), "is a PNG image"),
        (b"\x80\x04" + bytes(61) + b".", "is a pickle"),
        (b"<!doctype html> 404 not found...", "is a page of the web"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0000000000\n", "Git LFS"),
        (npy(np.array(["a"])), r"expected numbers \(N, 4 or more\)"),
        (npy(POINTS[:, :3]), "has 3 columns, needs 4"),
        (npy(POINTS)[:-8], "is no readable .npy file"),
        (npy(np.zeros(3, dtype=[("x", "f4")])), "has named columns"),
        (pcd(POINTS, "binary")[:-8], "is cut off"),
        (pcd(POINTS, "binary_compressed")[:-8], "is cut off"),
        (pcd(POINTS, "ascii")[:-30], "values, the header has 500 points of 4"),
        (pcd(POINTS, "binary", "a b c d"), "has no x, y, z"),
        (pcd(POINTS, "binary", "x y z rgb"), "has no intensity, but x, y, z, rgb: rgb is none"),
        (pcd(POINTS, "ascii", "ring x y z"), "ring is none"),
        (pcd(POINTS, "binary").replace(b"SIZE 4", b"SIZE 3"), "header does not hold"),
        (pcd(POINTS, "binary").replace(b"POINTS 500", b"POINTS 9999999999"), "is cut off"),
        (npy(POINTS.T), r"is an array of \(4, 500\): points are rows; transpose it"),
        (b"1.0 2.0 3.0 0.5\n" * 9, "is text; clouds are"),
        (b"x,y,z,intensity\n" + b"1,2,3,0.5\n" * 9, "is text; clouds are"),
        (b"LASF" + bytes(60), "laspy|is no readable .las"),
        (tarred(POINTS.tobytes()), "is a tar archive; unpack it first"),
        (gzip.compress(POINTS.tobytes(), mtime=0), r"gzip archive"),
    ],
)
def test_file_that_is_no_cloud_is_one_line_that_says_what_it_is(data: bytes, fault: str) -> None:
    with pytest.raises(FormatError, match=fault) as error:
        parse_cloud(data, "a.bin")
    assert "\n" not in str(error.value)


def test_byte_order_mark_in_front_of_a_pcd_is_nothing() -> None:
    marked = b"\xef\xbb\xbf" + pcd(POINTS, "ascii")
    np.testing.assert_array_equal(parse_cloud(marked, "a.pcd"), POINTS)


@pytest.mark.parametrize("is_packed", [False, True], ids=["las", "laz"])
def test_las_is_read_by_its_library_and_refused_in_one_line_where_it_is_cut(is_packed) -> None:
    laspy = pytest.importorskip("laspy")
    if is_packed:
        pytest.importorskip("lazrs")
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales = [0.001] * 3
    las = laspy.LasData(header)
    las.x, las.y, las.z = POINTS[:, :3].astype(np.float64).T
    las.intensity = np.arange(len(POINTS))
    stream = io.BytesIO()
    las.write(stream, do_compress=is_packed)
    found = parse_cloud(stream.getvalue(), "a.laz")
    np.testing.assert_allclose(found[:, :3], POINTS[:, :3], atol=0.0006)  # half a millimetre's step
    np.testing.assert_array_equal(found[:, 3], np.arange(len(POINTS)))
    for size in (10, 200, len(stream.getvalue()) - 50):
        with pytest.raises(FormatError, match="a.laz: is no readable .las file") as error:
            parse_cloud(stream.getvalue()[:size], "a.laz")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "folder, columns", [("kitti_mini", 4), ("kitti_more", 4), ("nuscenes_mini", 5)]
)
def test_every_real_cloud_is_read_by_its_columns_and_no_others(shared_dir, folder, columns) -> None:
    files = sorted((shared_dir / "data" / folder).rglob("*.bin"))
    assert files
    for file in files:
        data = file.read_bytes()
        assert parse_cloud(data, file, columns).shape[1] == columns
        values = len(data) // 4
        for other in (3, 4, 5, 6):
            if other != columns:
                cut = data[: values // (columns * other) * columns * other * 4]
                with pytest.raises(FormatError, match=f"{columns} float32 columns"):
                    parse_cloud(cut, file, other)


@pytest.mark.parametrize("points", [np.zeros((0, 4)), np.zeros((1, 9)), np.ones((7, 4), np.int16)])
def test_array_of_any_width_gives_its_first_columns(points: np.ndarray) -> None:
    found = first_columns(points, 4, "points")
    assert found.dtype == np.float32 and np.array_equal(found, points[:, :4])


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.zeros(8), np.array([["a"] * 4])])
def test_array_that_is_no_cloud_is_one_line(points: np.ndarray) -> None:
    with pytest.raises(FormatError, match="points: "):
        first_columns(points, 4, "points")


@pytest.mark.parametrize("load_dim, use_dim", [(4, [0, 1, 2, 4]), (3, 4), (2, 2), (4, [-1])])
def test_columns_that_are_not_loaded_cannot_be_used(load_dim: int, use_dim) -> None:
    from gemini_det3d.datasets.transforms import LoadPointsFromFileChecked

    with pytest.raises(ValueError, match="use_dim"):
        LoadPointsFromFileChecked(coord_type="LIDAR", load_dim=load_dim, use_dim=use_dim)


@pytest.mark.parametrize("mark", [b"<", b"\x80\x02", b"\x80\x04", b"\x1f\x8b"])
def test_good_cloud_may_begin_with_the_bytes_of_a_mark(mark: bytes) -> None:
    data = mark + POINTS.tobytes()[len(mark) :]  # one cloud in 256 begins with "<"
    assert parse_cloud(data, "a.bin").tobytes() == data
