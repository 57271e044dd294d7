"""Taskonomy's files and the protocol's encodings."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import (
    decode_depth,
    depth_to_raw,
    domain_path,
    encode_depth,
    encode_edge,
    read_domain,
    read_list,
    write_png,
)


def test_depth_is_coded_by_its_logarithm_cut_to_whole_numbers():
    raw = np.array([0, 1, 511, 5119, 65535], dtype=np.uint16)
    by_hand = [0, int(np.log(2) * 255 / 11.1), int(np.log(512) * 255 / 11.1),
               int(np.log(5120) * 255 / 11.1), 254]  # fmt: skip
    assert encode_depth(raw).tolist() == by_hand


def test_depth_comes_back_within_a_step_of_the_code():
    depth = np.array([0.5, 1.0, 3.7, 20.0, 100.0])
    code = encode_depth(depth_to_raw(depth))
    assert (decode_depth(code) <= depth).all() and (decode_depth(code + 1.0) > depth).all()


def test_depth_in_the_file_is_512ths_of_a_metre_and_holes_are_65535():
    assert depth_to_raw(np.array([0, 1.0, 2.5, 500, np.inf])).tolist() == [
        0, 512, 1280, 65535, 65535,
    ]  # fmt: skip


@pytest.mark.parametrize(("domain", "white"), [("edge_texture", 11355), ("edge_occlusion", 11584)])
def test_edges_are_white_at_the_protocols_scale_and_above(domain, white):
    raw = np.array([0, white // 2, white, 60000], dtype=np.uint16)
    assert encode_edge(raw, domain).tolist() == [0, 127, 255, 255]


def test_deep_domains_are_read_from_16_bits_as_three_equal_channels(tmp_path):
    raw = np.arange(6, dtype=np.uint16).reshape(2, 3) * 9000
    path = domain_path(tmp_path, "point_7_view_2", "depth_zbuffer")
    write_png(path, raw)
    image = read_domain(path, "depth_zbuffer")
    assert path.name == "point_7_view_2_domain_depth_zbuffer.png"
    np.testing.assert_array_equal(image, np.repeat(encode_depth(raw)[..., None], 3, axis=2))


def test_shallow_domains_are_read_as_they_are_and_grey_is_repeated(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", rgb)
    write_png(tmp_path / "b.png", rgb[..., 0])
    np.testing.assert_array_equal(read_domain(tmp_path / "a.png", "rgb"), rgb)
    grey = read_domain(tmp_path / "b.png", "reshading")
    np.testing.assert_array_equal(grey, np.repeat(rgb[..., :1], 3, axis=2))


def test_a_depth_of_8_bits_is_refused_by_name(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(FormatError, match=r"a\.png: is L, expected 16-bit grey"):
        read_domain(tmp_path / "a.png", "depth_euclidean")


@pytest.mark.parametrize("domain", ["rgb", "depth_euclidean"])
def test_a_file_cut_off_or_missing_is_named(tmp_path, domain):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 60000, (64, 64), dtype=np.uint16)).save(
        path
    )
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FormatError, match=r"a\.png: is not a readable image"):
        read_domain(path, domain)
    with pytest.raises(FormatError, match=r"b\.png: no such file"):
        read_domain(tmp_path / "b.png", domain)


def test_a_list_may_name_views_in_any_usual_way(tmp_path):
    (tmp_path / "train.txt").write_text(
        "point_1_view_2\n\nrgb/point_3_view_0_domain_rgb.png\npoint_4_view_1_domain_{domain}.png\n"
        "point_5_view_6.png\n"
    )
    assert read_list(tmp_path / "train.txt") == [
        "point_1_view_2", "point_3_view_0", "point_4_view_1", "point_5_view_6",
    ]  # fmt: skip


def test_a_list_that_is_empty_or_names_a_view_twice_is_refused(tmp_path):
    (tmp_path / "none.txt").write_text("\n")
    (tmp_path / "twice.txt").write_text("a\nb\na_domain_rgb.png\n")
    with pytest.raises(FormatError, match="names no view"):
        read_list(tmp_path / "none.txt")
    with pytest.raises(FormatError, match="names a twice"):
        read_list(tmp_path / "twice.txt")


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_png(tmp_path / "a.png", np.zeros((2, 2), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []
