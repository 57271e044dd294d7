"""Taskonomy as a data set, on a tree of a few files."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import domain_path, write_png

PIPELINE = [
    dict(type="LoadDomainImages"),
    dict(type="ResizeDomainImages", size=8),
    dict(type="PackTranslationInputs"),
]
STEMS = ["point_0_view_0", "point_0_view_1", "point_3_view_0"]


@pytest.fixture
def root(tmp_path):
    for stem in STEMS:
        write_png(domain_path(tmp_path, stem, "rgb"), np.zeros((5, 7, 3), dtype=np.uint8))
        write_png(domain_path(tmp_path, stem, "normal"), np.ones((5, 7, 3), dtype=np.uint8))
        write_png(domain_path(tmp_path, stem, "depth_zbuffer"), np.ones((5, 7), dtype=np.uint16))
    (tmp_path / "train.txt").write_text("\n".join(STEMS))
    return tmp_path


def build(root, **options):
    init_default_scope("mmdet3d")
    config = dict(type="TaskonomyDataset", data_root=str(root), ann_file="train.txt",
                  sources=["rgb", "depth_zbuffer"], target="normal", pipeline=PIPELINE)  # fmt: skip
    return DATASETS.build({**config, **options})


def test_a_view_is_its_sources_and_its_target(root):
    views = build(root)
    assert len(views) == 3
    sample = views[2]
    assert sample["inputs"].shape == (2, 3, 8, 8) and (sample["data_samples"].target == 1).all()
    assert sample["data_samples"].stem == STEMS[2]


def test_num_views_takes_the_first_of_the_list(root):
    views = build(root, num_views=2)
    assert [views.get_data_info(i)["stem"] for i in range(len(views))] == STEMS[:2]


def test_missing_files_are_found_when_it_is_built(root):
    gone = domain_path(root, STEMS[1], "rgb")
    gone.unlink()
    domain_path(root, STEMS[2], "normal").unlink()
    with pytest.raises(FormatError, match=rf"{gone.name}: no such file \(and 1 more"):
        build(root)


def test_a_missing_list_is_named(root):
    with pytest.raises(FormatError, match=r"val\.txt: no such file"):
        build(root, ann_file="val.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(sources=["rgb", "sound"]), "sound"),
        (dict(sources=[]), "one or more of"),
        (dict(sources="rgb"), r"must be a list: \['rgb'\]"),
        (dict(sources=["rgb", "normal"]), "stands twice"),
        (dict(num_views=0), "num_views=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(root, options, message):
    with pytest.raises(ValueError, match=message):
        build(root, **options)
