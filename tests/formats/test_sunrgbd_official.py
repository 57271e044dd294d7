"""The official SUN RGB-D download, number by number; what is wrong with it is said in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mat_files import structs
from PIL import Image
from scipy.io import savemat

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.sunrgbd_objects import RoomObjects
from gemini_det3d.formats.sunrgbd_official import (
    Archive,
    decode_depth,
    lift_depth,
    read_official,
    with_outlines,
)
from gemini_det3d.formats.sunrgbd_sensors import RoomCalibration

K = np.array([[500.0, 0, 40], [0, 400, 30], [0, 0, 1]])
LEVEL = RoomCalibration(K, np.eye(3))


def box(**changes) -> dict:
    return {
        "centroid": np.array([[1.0, 3.0, -0.5]]),
        "coeffs": np.array([[0.4, 0.3, -0.2]]),  # half of y, x and z
        "orientation": np.array([[0.0, 2.0, 0.0]]),
        "classname": "night stand",
        **changes,
    }


def entry(sequence: str, *boxes: dict, **changes) -> dict:
    return {
        "rgbpath": f"/n/fs/sun3d/data/SUNRGBD/{sequence}/image/a.jpg",
        "depthpath": f"C:\\data\\SUNRGBD\\{sequence}\\depth_bfx\\a.png",
        "Rtilt": np.eye(3),
        "K": K,
        "groundtruth3DBB": structs(boxes),
        **changes,
    }


def write_meta(root: Path, *entries: dict, flat: list | None = None, split_in: str = "") -> Path:
    """Metadata of entries; sequences 'one' are for training, 'two' for test."""
    savemat(root / "SUNRGBDMeta3DBB_v2.mat", {"SUNRGBDMeta": structs(entries)})
    if flat is not None:
        savemat(root / "SUNRGBDMeta2DBB_v2.mat", {"SUNRGBDMeta2DBB": structs(flat)})
    (root / split_in).mkdir(parents=True, exist_ok=True)
    lists = {
        "alltrain": np.array(["/n/SUNRGBD/one/"], object),
        "alltest": np.array(["/n/SUNRGBD/two"], object),
    }
    savemat(root / split_in / "allsplit.mat", lists)
    return root


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def test_depth_is_millimetres_whose_low_bits_are_on_top_and_ends_at_eight_metres():
    millimetres = np.array([[0, 1, 7], [1234, 7999, 8191]], np.uint16)
    depth = decode_depth(png((millimetres << 3) | (millimetres >> 13)), "a.png")
    np.testing.assert_allclose(depth, [[0, 0.001, 0.007], [1.234, 7.999, 8.0]], atol=1e-12)
    # three low bits of the depth are the three high ones of the file
    np.testing.assert_allclose(decode_depth(png(np.array([[1 << 13]], np.uint16)), "a.png"), 0.0 + (
        ((1 << 13) >> 3) / 1000
    ))  # fmt: skip
    assert decode_depth(png(np.array([[5]], np.uint16)), "a.png").item() == 8.0


def test_depth_image_of_another_kind_names_the_file():
    with pytest.raises(FormatError, match=r"a\.png: "):
        decode_depth(png(np.zeros((2, 2, 3), np.uint8)), "a.png")


def test_pixels_with_a_depth_become_coloured_points_in_their_order():
    depth = np.zeros((3, 4))
    depth[2, 0], depth[0, 3] = 2.0, 5.0
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    points = lift_depth(depth, image, LEVEL)
    # u = 4, v = 1 and u = 1, v = 3, counted from 1; x right, y ahead, z up
    xyz = [[(4 - 40) / 500 * 5, 5, (30 - 1) / 400 * 5], [(1 - 40) / 500 * 2, 2, (30 - 3) / 400 * 2]]
    np.testing.assert_allclose(points[:, :3], xyz, rtol=1e-6)
    np.testing.assert_allclose(points[:, 3:] * 255, [[9, 10, 11], [24, 25, 26]], rtol=1e-6)
    assert points.dtype == np.float32


def test_frames_have_paths_split_matrices_and_boxes(tmp_path):
    frames = read_official(
        write_meta(tmp_path, entry("one", box(), box(classname="bed")), entry("two"), entry("no"))
    )
    assert [(frame.number, frame.split) for frame in frames] == [
        (1, "train"),
        (2, "val"),
        (3, None),
    ]
    assert frames[0].image == "SUNRGBD/one/image/a.jpg"
    assert frames[0].depth == "SUNRGBD/one/depth_bfx/a.png"
    np.testing.assert_array_equal(frames[0].calibration.intrinsics, K)
    objects = frames[0].objects
    assert objects.names.tolist() == ["night_stand", "bed"]
    assert objects.bbox is None
    np.testing.assert_allclose(objects.boxes[0], [1, 3, -0.5, 0.6, 0.8, 0.4, np.pi / 2])
    assert frames[1].objects.boxes.shape == (0, 7)


@pytest.mark.parametrize("folder", ["SUNRGBDtoolbox/traintestSUNRGBD", "traintestSUNRGBD"])
def test_split_may_lie_in_the_toolbox(tmp_path, folder):
    (frame,) = read_official(write_meta(tmp_path, entry("one"), split_in=folder))
    assert frame.split == "train"


def test_outlines_are_those_of_the_metadata_where_both_lists_are_as_long(tmp_path):
    flat = [
        {"groundtruth2DBB": structs([{"gtBb2D": np.array([[3.0, 4.0, 10.0, 20.0]])}])},
        {"groundtruth2DBB": structs([{"gtBb2D": np.array([[3.0, 4.0, 10.0, 20.0]])}] * 2)},
    ]
    first, second, third = read_official(
        write_meta(tmp_path, *[entry("one", box())] * 3, flat=flat)
    )
    np.testing.assert_array_equal(first.objects.bbox, [[3, 4, 13, 24]])
    assert second.objects.bbox is None  # two outlines of one box
    assert third.objects.bbox is None  # a frame the flat list does not reach
    kept = with_outlines(first.objects, LEVEL, (80, 60))
    assert kept is first.objects


def test_outlines_are_projected_where_there_are_none_and_end_at_pixels_counted_from_1():
    # a box 2 m ahead, 0.4 wide, 0.2 deep and 0.3 high: its near face is 1.9 m away
    objects = RoomObjects(np.array(["bed"]), np.array([[0.0, 2, 0, 0.4, 0.2, 0.3, 0]]))
    half = np.array([0.2 * 500, 0.15 * 400]) / 1.9
    left, top = np.maximum([40 - half[0], 30 - half[1]], 1)
    for size in ((800, 600), (73, 47)):
        (outline,) = with_outlines(objects, LEVEL, size).bbox
        right, bottom = np.minimum([40 + half[0], 30 + half[1]], size)
        np.testing.assert_allclose(outline, [left, top, right, bottom], atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"K": np.eye(2)}, r"entry 1: K is .* \(2, 2\), expected \(3, 3\)"),
        ({"K": np.full((3, 3), np.nan)}, "entry 1: K holds values that are not finite"),
        ({"Rtilt": 2 * np.eye(3)}, r"the tilt is no rotation \(off by 3\)"),
        ({"Rtilt": np.diag([1.0, 1, -1])}, r"the tilt is no rotation \(it mirrors"),
        ({"K": "text"}, "entry 1: K is .*, expected"),
    ],
)
def test_bad_matrices_of_one_frame_are_kept_as_its_fault(tmp_path, changes, said):
    bad, good = read_official(write_meta(tmp_path, entry("one", **changes), entry("two", box())))
    assert isinstance(bad.calibration, FormatError)
    with pytest.raises(FormatError, match=said):
        raise bad.calibration
    assert len(good.objects) == 1
    assert good.calibration.intrinsics[0, 0] == 500


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"centroid": np.zeros((1, 2))}, r"entry 1, box 2: centroid is float64 \(1, 2\)"),
        ({"coeffs": np.array([[1, np.inf, 1]])}, "entry 1, box 2: coeffs holds values that are"),
    ],
)
def test_bad_box_is_kept_as_its_frame_s_fault(tmp_path, wrong, said):
    (frame,) = read_official(write_meta(tmp_path, entry("one", box(), box(**wrong))))
    with pytest.raises(FormatError, match=said):
        raise frame.objects


def test_missing_field_is_named(tmp_path):
    row = entry("one")
    del row["groundtruth3DBB"]
    (frame,) = read_official(write_meta(tmp_path, row))
    with pytest.raises(FormatError, match="entry 1 has no field 'groundtruth3DBB'"):
        raise frame.objects


@pytest.mark.parametrize("path", ["/n/elsewhere/a.jpg", "/n/SUNRGBD/../../etc/a.jpg", ""])
def test_paths_that_lead_elsewhere_are_refused(tmp_path, path):
    with pytest.raises(FormatError, match="entry 1: rgbpath .* does not lead into SUNRGBD/"):
        read_official(write_meta(tmp_path, entry("one", rgbpath=path)))


@pytest.mark.parametrize(
    ("name", "variable", "said"),
    [
        ("SUNRGBDMeta3DBB_v2.mat", "Other", r"has no variable 'SUNRGBDMeta' \(it has: Other\)"),
        ("SUNRGBDMeta2DBB_v2.mat", "Other", "has no variable 'SUNRGBDMeta2DBB'"),
        ("allsplit.mat", "alltrain", "has no variable 'alltest'"),
    ],
)
def test_metadata_without_its_variable_names_it(tmp_path, name, variable, said):
    write_meta(tmp_path, entry("one"))
    savemat(tmp_path / name, {variable: np.array(["/n/SUNRGBD/one"], object)})
    with pytest.raises(FormatError, match=f"{name}: {said}"):
        read_official(tmp_path)


def test_missing_split_says_where_it_was_looked_for(tmp_path):
    write_meta(tmp_path, entry("one"))
    (tmp_path / "allsplit.mat").unlink()
    fault = r"allsplit\.mat: no such file, nor in SUNRGBDtoolbox/traintestSUNRGBD"
    with pytest.raises(FormatError, match=fault):
        read_official(tmp_path)


def test_archive_is_read_as_a_folder_before_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "SUNRGBD.zip", "w") as packed:
        packed.writestr("SUNRGBD/a.txt", "packed")
    archive = Archive(tmp_path)
    assert archive.read("SUNRGBD/a.txt") == b"packed"
    assert archive.where("SUNRGBD/a.txt") == f"{tmp_path}/SUNRGBD.zip/SUNRGBD/a.txt"
    again = pickle.loads(pickle.dumps(archive))  # what a worker process is given
    assert again.read("SUNRGBD/a.txt") == b"packed"
    with pytest.raises(FormatError, match=r"SUNRGBD\.zip/SUNRGBD/b\.txt: no such file in the"):
        archive.read("SUNRGBD/b.txt")
    (tmp_path / "SUNRGBD").mkdir()
    (tmp_path / "SUNRGBD" / "a.txt").write_text("unpacked")
    archive = Archive(tmp_path)
    assert archive.read("SUNRGBD/a.txt") == b"unpacked"
    assert archive.where("SUNRGBD/a.txt") == str(tmp_path / "SUNRGBD/a.txt")


def test_archive_that_is_none_is_told(tmp_path):
    with pytest.raises(FormatError, match=r"holds neither SUNRGBD/ nor SUNRGBD\.zip"):
        Archive(tmp_path)
    (tmp_path / "SUNRGBD.zip").write_bytes(b"no archive")
    with pytest.raises(FormatError, match="cannot be unpacked"):
        Archive(tmp_path).read("SUNRGBD/a.txt")
