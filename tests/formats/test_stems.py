"""Names of frames: one list of suffixes, one rule for dots and folders."""

from __future__ import annotations

import os

import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import list_deliver, list_nyudv2, list_sunrgbd
from gemini_det3d.formats.stems import files_by_stem, find_file, stem_of
from gemini_det3d.formats.taskonomy import find_domain, read_list
from gemini_det3d.formats.taskonomy import stem_of as view_stem


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/000001.png", "000001"),
        ("1305031102.175304.png", "1305031102.175304"),
        ("1305031102.175304", "1305031102.175304"),
        ("b\\x.JPEG", "x"),
        ("x.Tiff", "x"),
        (".png", ".png"),
    ],
)
def test_stem_loses_a_known_suffix_and_nothing_else(path, stem):
    assert stem_of(path) == stem


def test_views_keep_dots_and_lose_the_domain():
    assert view_stem("rgb/1305031102.175304_domain_rgb.JPG") == "1305031102.175304"
    assert view_stem("1305031102.175304.jpeg") == "1305031102.175304"


def test_files_of_systems_are_no_frames(tmp_path):
    touch(tmp_path, "a.png", "b.JPEG", "._a.png", ".DS_Store", "Thumbs.db", "notes.txt")
    assert list(files_by_stem(tmp_path)) == ["a", "b"]


def test_two_files_of_one_frame_are_an_error_that_names_both(tmp_path):
    touch(tmp_path, "a.png", "a.JPG")
    with pytest.raises(FormatError, match=r"a\.png: is of one frame with .*a\.JPG"):
        files_by_stem(tmp_path)
    with pytest.raises(FormatError, match="is of one frame with"):
        find_file(tmp_path, "a")


def test_folder_or_dead_link_in_place_of_a_file_is_not_taken_for_a_file_that_is_missing(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(FormatError, match=r"a\.png: is a folder, not a file"):
        find_file(tmp_path, "a")
    with pytest.raises(FormatError, match=r"b\.jpg: is a link to nothing"):
        find_file(tmp_path, "b")
    (tmp_path / "c.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(FormatError, match=r"c\.png: is a folder, not a file"):
        find_file(tmp_path, "c")
    os.mkfifo(tmp_path / "d.png")
    with pytest.raises(FormatError, match=r"d\.png: is a device, not a file"):
        find_file(tmp_path, "d")


def test_folders_are_part_of_the_name(tmp_path):
    touch(tmp_path, "kv1/0.png", "kv2/0.png", "1.png")
    assert list(files_by_stem(tmp_path, with_subfolders=True)) == ["1", "kv1/0", "kv2/0"]
    assert find_file(tmp_path, "kv2/0") == tmp_path / "kv2/0.png"
    assert find_file(tmp_path, "kv3/0") is None


def test_nyudv2_names_are_unique_across_folders(tmp_path):
    lines = ["rgb/kv1/0.png m/kv1/0.png d/kv1/0.png", "rgb/kv2/0.png m/kv2/0.png d/kv2/0.png"]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    assert [f.name for f in list_nyudv2(tmp_path, "train")] == ["kv1/0", "kv2/0"]
    (tmp_path / "val.txt").write_text("rgb/0.5.png m/0.5.png d/0.5.png\nrgb/1.png m/1.png d/1.png")
    assert [f.name for f in list_nyudv2(tmp_path, "val")] == ["0.5", "1"]


def test_sunrgbd_keeps_folders_and_takes_any_suffix(tmp_path):
    touch(tmp_path, "RGB/kv1/0.png", "RGB/kv2/0.JPG", "Depth/kv1/0.png", "labels/kv1/0.PNG")
    touch(tmp_path, "RGB/7.jpg")
    (tmp_path / "train.txt").write_text("RGB/kv1/0.png\nkv2/0\nSUNRGBD/somewhere/7.jpg\n")
    frames = list_sunrgbd(tmp_path, "train")
    assert [frame.name for frame in frames] == ["kv1/0", "kv2/0", "7"]
    assert [frame.images["rgb"].name for frame in frames] == ["0.png", "0.JPG", "7.jpg"]
    assert frames[0].labels == tmp_path / "labels/kv1/0.PNG"
    (tmp_path / "test.txt").write_text("a/7.jpg\nb/7.jpg\n")
    with pytest.raises(FormatError, match=r"a/7\.jpg and b/7\.jpg are both RGB/7"):
        list_sunrgbd(tmp_path, "test")


def test_deliver_takes_upper_case_and_leaves_hidden_files(tmp_path):
    place = "cloud/train/MAP_1"
    touch(tmp_path, f"img/{place}/0.5_rgb_front.PNG", f"img/{place}/._0.5_rgb_front.PNG")
    touch(tmp_path, f"semantic/{place}/0.5_semantic_front.png")
    (frame,) = list_deliver(tmp_path, "train")
    assert frame.name == f"{place}/0.5_rgb_front"
    assert frame.labels.is_file() and frame.images["rgb"].is_file()


def test_taskonomy_buildings_are_part_of_the_view(tmp_path):
    touch(tmp_path, "rgb/allensville/point_0_view_0_domain_rgb.png")
    touch(tmp_path, "rgb/beechwood/point_0_view_0_domain_rgb.JPG", "rgb/p.jpeg")
    (tmp_path / "train.txt").write_text(
        "allensville/point_0_view_0\n/data/rgb/beechwood/point_0_view_0_domain_rgb.png\np\n"
    )
    views = read_list(tmp_path / "train.txt")
    assert views == ["allensville/point_0_view_0", "beechwood/point_0_view_0", "p"]
    files = [find_domain(tmp_path, view, "rgb") for view in views]
    assert all(file.is_file() for file in files) and len(set(files)) == 3


def test_a_flat_tree_may_be_listed_with_folders(tmp_path):
    touch(tmp_path, "rgb/point_0_view_0_domain_rgb.png")
    assert find_domain(tmp_path, "train/point_0_view_0", "rgb").is_file()


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.Jpg", "a.Tiff"])
def test_file_of_a_frame_is_found_however_its_suffix_is_spelt(tmp_path, name):
    touch(tmp_path, name)
    assert find_file(tmp_path, "a").samefile(tmp_path / name)


def test_list_of_absolute_and_relative_paths_names_each_frame(tmp_path):
    (tmp_path / "train.txt").write_text(f"{tmp_path}/a.png l.png d.png\nb/a.png l.png d.png\n")
    frames = list_nyudv2(tmp_path, "train")
    assert len({frame.name for frame in frames}) == 2
