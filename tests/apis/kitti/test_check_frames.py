"""``gemini-det3d prepare kitti``: every fault of a frame's files is a line that names the file."""

from __future__ import annotations

import numpy as np
import pytest
from kitti_camera import CALIBRATION
from PIL import Image
from trees import edit

from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.formats.kitti import (
    Calibration,
    read_calibration,
    read_objects,
    read_points,
    write_calibration,
    write_objects,
    write_points,
)


def _findings(tree, frame="000001", part="training", class_map=None):
    report = FrameChecker(tree, class_map or {})((part, frame))
    return [(f.level, f.file, f.fault) for f in report.findings]


def test_good_frame_has_no_findings(tree):
    assert _findings(tree) == []
    stats = FrameChecker(tree, {})(("training", "000001")).stats
    assert stats["points"] == 606 and 200 < stats["points_in_image"] < 606
    assert stats["classes"]["Car"]["count"] == 1
    assert stats["classes"]["Car"]["iou"] == [pytest.approx(1, abs=1e-3)]
    assert stats["classes"]["Pedestrian"]["points"][0] >= 53
    assert stats["classes"]["Car"]["difficulty"] in ([0, 1, 0, 0], [1, 0, 0, 0])


BAD_FILES = [
    ("calib", lambda p: p.unlink(), "no such file"),
    ("calib", lambda p: edit(p, "P2:", "PX:"), "has no P2"),
    ("calib", lambda p: edit(p, "R0_rect:", "RX:"), "has no R0_rect"),
    ("calib", lambda p: edit(p, "Tr_velo_to_cam: ", "Tr_velo_to_cam: 7 "), "13 values, expected"),
    ("calib", lambda p: p.write_bytes(b"\xff\x00"), "is not a text file"),
    ("image_2", lambda p: p.unlink(), "no such file"),
    ("velodyne", lambda p: p.rename(p.with_suffix(".npy")), "there is 000001.npy; mmdet3d's"),
    ("image_2", lambda p: p.write_bytes(p.read_bytes()[:3000]), "is not a readable image"),
    ("velodyne", lambda p: p.unlink(), "no such file"),
    ("velodyne", lambda p: p.write_bytes(p.read_bytes()[:-3]), "no whole number of points"),
    ("velodyne", lambda p: p.write_bytes(b""), "holds no points"),
    ("velodyne", lambda p: write_points(p, np.full((5, 4), np.nan)), "5 of 5 points are NaN"),
    ("velodyne", lambda p: write_points(p, np.full((5, 4), -3.0)), "0 of 5 points fall into"),
    ("label_2", lambda p: p.unlink(), "no such file"),
    ("label_2", lambda p: edit(p, "Car", "Car 1"), "line 2: 15 columns, expected 16"),
    ("label_2", lambda p: edit(p, "Car", "car"), "unknown class 'car'; rename it with"),
    ("label_2", lambda p: edit(p, " 1.5 ", " nan "), "'nan' is not finite"),
    ("label_2", lambda p: edit(p, " 1.5 ", " -1.5 "), "object 1 (Car) has dimensions -1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("folder", "spoil", "fault"), BAD_FILES, ids=lambda v: str(v)[:24])
def test_bad_file_is_one_error_that_names_it(tree, folder, spoil, fault):
    checker = FrameChecker(tree, {})
    path = checker.path("training", "000001", folder)
    spoil(path)
    errors = [f for f in _findings(tree) if f[0] == "error"]
    assert len(errors) == 1, errors
    assert errors[0][1] == path.relative_to(tree).as_posix()
    assert fault in errors[0][2] and "\n" not in errors[0][2]


def test_cloud_of_more_columns_says_what_helps(tree):
    angle = np.linspace(0, 6 * np.pi, 500)
    columns = [12 * np.cos(angle), 12 * np.sin(angle), angle / 9, angle / 20, 30 + angle]
    write_points(tree / "training" / "velodyne" / "000001.bin", np.stack(columns, axis=1))
    ((_, _, fault),) = [each for each in _findings(tree) if each[0] == "error"]
    assert fault.endswith("nuScenes' sweeps have 5; save the first 4 columns")


SINGULAR = {
    "P2": " ".join(["1"] * 12),
    "R0_rect": "0 0 0 0 0 0 0 0 0",
    "Tr_velo_to_cam": "1 0 0 0 0 1 0 0 0 0 0 0",
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrix_is_an_error(tree, name):
    path = tree / "training" / "calib" / "000001.txt"
    lines = [n for n in path.read_text().splitlines() if not n.startswith(name + ":")]
    path.write_text("\n".join([*lines, f"{name}: {SINGULAR[name]}"]))
    assert ("error", "training/calib/000001.txt", f"{name} is singular") in _findings(tree)


def test_mirroring_calibration_is_an_error_and_a_skewed_one_a_warning(tree):
    path = tree / "training" / "calib" / "000001.txt"
    for factors, level, fault in (
        ([1, 1, -1], "error", "R0_rect mirrors (determinant -1)"),
        ([1, 1, 1.01], "warning", "R0_rect is no rotation"),
        ([1, 1, 1.2], "error", "R0_rect is no rotation"),
    ):
        write_calibration(
            path, Calibration(CALIBRATION.p2, np.diag(factors), CALIBRATION.tr_velo_to_cam)
        )
        assert any(f[0] == level and f[2].startswith(fault) for f in _findings(tree))


def test_label_that_does_not_fit_its_2d_box_is_a_warning(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(path)
    objects.location[0, 0] -= 3
    write_objects(path, objects)
    assert any(
        f[0] == "warning" and f[2].startswith("object 1 (Car): the projected 3D box overlaps")
        for f in _findings(tree)
    )


def test_visible_object_without_points_is_a_warning(tree):
    path = tree / "training" / "velodyne" / "000001.bin"
    write_points(path, read_points(path)[:500])  # the ground alone
    assert ("warning", "training/label_2/000001.txt", "object 2 (Pedestrian) holds no points") in (
        _findings(tree)
    )


def test_implausible_values_are_warnings(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(path)
    objects.dimensions[0] = objects.dimensions[0, ::-1]  # length first
    objects.rotation_y[1] = 90
    objects.truncated[1] = 2
    objects.occluded[1] = 7
    write_objects(path, objects)
    faults = " | ".join(fault for level, _, fault in _findings(tree) if level == "warning")
    for part in (
        "object 1 (Car) is 4.1 m high",
        "rotation_y 90",
        "truncated by 2",
        "occluded by 7",
    ):
        assert part in faults
    cloud = read_points(tree / "training" / "velodyne" / "000001.bin")
    write_points(tree / "training" / "velodyne" / "000001.bin", cloud * [1, 1, 1, 255])
    assert any("reflectance spans" in fault for _, _, fault in _findings(tree))


def _turned(objects):
    objects.rotation_y += np.pi / 2


def _mirrored(objects):
    objects.rotation_y *= -1


@pytest.mark.parametrize("change", [_turned, _mirrored])
def test_angles_that_contradict_each_other_are_a_warning(tree, change):
    path = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(path)
    change(objects)
    write_objects(path, objects)
    faults = [fault for level, _, fault in _findings(tree) if level == "warning"]
    assert any("by its rotation_y and place it is" in fault for fault in faults)
    objects.alpha[:] = -10  # unknown, in KITTI's word
    write_objects(path, objects)
    assert not any("alpha" in fault for _, _, fault in _findings(tree))


def test_object_that_stands_there_twice_is_a_warning(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    path.write_text(path.read_text() * 2)
    faults = [fault for _, _, fault in _findings(tree)]
    assert "object 3 (Car) is object 1 once more" in faults
    assert "object 4 (Pedestrian) is object 2 once more" in faults


@pytest.mark.parametrize("size", [(198, 65), (794, 262), (250, 131)])
def test_image_of_another_size_than_its_calibrations_is_a_warning(tree, size):
    path = tree / "training" / "image_2" / "000001.png"
    Image.open(path).resize(size).save(path)
    assert any("was the image resized?" in fault for _, _, fault in _findings(tree))


def test_renamed_class_is_no_error_and_counts_under_its_new_name(tree):
    edit(tree / "training" / "label_2" / "000001.txt", "Car", "auto")
    assert _findings(tree, class_map={"auto": "Car"}) == []
    report = FrameChecker(tree, {"auto": "Car"})(("training", "000001"))
    assert report.stats["classes"]["Car"]["count"] == 1
    assert report.rewrite == ["label_2"]


def test_canonical_files_are_left_alone_and_others_keep_every_digit(tree, tmp_path):
    calib = tree / "training" / "calib" / "000001.txt"
    label = tree / "training" / "label_2" / "000001.txt"
    assert canonical_calibration(calib) is None and canonical_labels(label, {}) is None
    expected = read_calibration(calib)
    lines = calib.read_text().splitlines()
    calib.write_text("\n\n".join([*lines[5:], "note: 7", lines[2].replace(" ", "  "), lines[4]]))
    calib.write_text(canonical_calibration(calib))
    assert [n.split(":")[0] for n in calib.read_text().splitlines()][5] == "Tr_velo_to_cam"
    np.testing.assert_array_equal(read_calibration(calib).lidar2img, expected.lidar2img)
    first, second = label.read_text().splitlines()
    ignored = "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10"
    label.write_text(f"{ignored}\n{first}\n\n{second.replace(' ', '  ')}")
    assert canonical_labels(label, {"Car": "Van"}) == (
        f"{first.replace('Car', 'Van')}\n{second}\n{ignored}\n"
    )


def test_objects_that_become_regions_keep_their_place_in_the_image_alone(tree):
    label = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(label)
    name = str(objects.name[0])
    label.write_text(canonical_labels(label, {name: "DontCare"}))
    regions = read_objects(label).select(read_objects(label).name == "DontCare")
    np.testing.assert_array_equal(regions.bbox, objects.bbox[objects.name == name])
    assert (regions.dimensions == -1).all() and (regions.location == -1000).all()


def test_line_of_a_calibration_without_a_name_is_passed_by(tree):
    calib = tree / "training" / "calib" / "000001.txt"
    expected = read_calibration(calib)
    calib.write_text(":\n" + calib.read_text())
    assert canonical_calibration(calib) is not None
    np.testing.assert_array_equal(read_calibration(calib).lidar2img, expected.lidar2img)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_image_in_two_kinds_is_an_error_that_names_both(tree, suffix):
    image = tree / "training" / "image_2" / "000001.png"
    image.with_suffix(suffix).write_bytes(image.read_bytes())
    fault = f"is of one frame with 000001{suffix}; keep one of the two"
    assert ("error", "training/image_2/000001.png", fault) in _findings(tree)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_that_lie_on_their_side_are_an_error(tree, orientation):
    image = tree / "training" / "image_2" / "000001.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(image).save(image, exif=exif)
    faults = [fault for _, file, fault in _findings(tree) if "image_2" in file]
    assert [("save it upright" in fault) for fault in faults] == [True] * (orientation >= 5)


def test_labels_with_scores_are_labels(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    before = _findings(tree)
    path.write_text("".join(f"{line} 0.9\n" for line in path.read_text().splitlines()))
    assert _findings(tree) == before
