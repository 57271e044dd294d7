"""One range, one size of voxels, one grid in all parts of a detector."""

from __future__ import annotations

import pytest
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from gemini_det3d.apis.config import config_root, find_config, mmdet3d_mim
from gemini_det3d.engine.grid_checks import check_anchors, check_grid
from gemini_det3d.formats import FormatError

TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
OTHER_RANGE = [0, -10, -3, 20, 10, 1]


def changed(change):
    config = Config.fromfile(find_config(TOY))
    config.merge_from_dict({"model": change})
    return config.model


@pytest.mark.parametrize(
    "change, said",
    [
        ({"data_preprocessor": {"voxel_layer": {"point_cloud_range": OTHER_RANGE}}},
         r"model\.pts_voxel_encoder\.point_cloud_range: is \[0, -20, .*voxel_layer\.point_"),
        ({"pts_voxel_encoder": {"point_cloud_range": OTHER_RANGE}},
         r"model\.pts_voxel_encoder\.point_cloud_range: is \[0, -10, .*\[0, -20"),
        ({"data_preprocessor": {"voxel_layer": {"voxel_size": [0.2, 0.2, 0.2]}}},
         r"model\.pts_voxel_encoder\.voxel_size: is \[0\.1"),
        ({"pts_middle_encoder": {"sparse_shape": [21, 200, 200]}},
         r"model\.pts_middle_encoder\.sparse_shape: is \[21, 200, 200\]; .*\[21, 400, 400\]"),
        ({"pts_middle_encoder": {"sparse_shape": [41, 400, 400]}}, r"sparse_shape: is \[41"),
        ({"pts_bbox_head": {"anchor_generator": {"ranges": [[0, -60, -1.7, 80, 60, -1.7]]}}},
         r"model\.pts_bbox_head\.anchor_generator\.ranges: lays anchors over \[0, -60"),
    ],
)  # fmt: skip
def test_part_that_was_forgotten_is_named(change, said):
    with pytest.raises(FormatError, match=said):
        check_grid(changed(change))


LAYER = r"model\.data_preprocessor\.voxel_layer\."


@pytest.mark.parametrize(
    "layer, said",
    [
        (
            {"voxel_size": [0.1, 0, 0.2]},
            r"voxel_size: is \[0\.1, 0, 0\.2\], expected numbers above 0",
        ),
        ({"voxel_size": [0.1, "a", 0.2]}, r"voxel_size: is .*'a'.*, expected finite numbers"),
        ({"point_cloud_range": [0, 0, 0, 1, 1, float("nan")]}, r"point_cloud_range: is .*finite"),
        ({"point_cloud_range": [0, 0, 3, 1, 1, 1]}, r"point_cloud_range: is .*then higher ones"),
    ],
)
def test_numbers_that_make_no_grid_are_named(layer, said):
    with pytest.raises(FormatError, match=LAYER + said):
        check_grid(changed({"data_preprocessor": {"voxel_layer": layer}}))


def test_text_in_place_of_a_number_is_named_wherever_it_is():
    with pytest.raises(
        FormatError, match=r"model\.pts_voxel_encoder\.voxel_size: is \['x', 1, 1\]"
    ):
        check_grid(changed({"pts_voxel_encoder": {"voxel_size": ["x", 1, 1]}}))


def head(classes, sizes=3, assigners=3, per_class=True):
    """mmdet3d's own head, as its MVX-Net has it, with other numbers."""
    model = Config.fromfile(mmdet3d_mim() / "configs" / MVXNET).model
    part = model.pts_bbox_head
    generator = part.anchor_generator
    generator.update(ranges=generator.ranges[:sizes], sizes=generator.sizes[:sizes])
    rule = model.train_cfg.pts
    rule.assigner = [rule.assigner[0]] * assigners if assigners else rule.assigner[0]
    part.update(num_classes=classes, assign_per_class=per_class, train_cfg=rule)
    init_default_scope("mmdet3d")
    return nn.ModuleDict({"pts_bbox_head": MODELS.build(part)})


MVXNET = "mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py"


@pytest.mark.parametrize("classes, sizes, assigners", [(2, 3, 3), (4, 3, 3), (3, 2, 2), (3, 3, 2)])
def test_anchors_that_are_not_one_size_for_each_class_are_refused(classes, sizes, assigners):
    said = f"model.pts_bbox_head: {classes} classes .*, {sizes} sizes .* {assigners} assigners"
    with pytest.raises(FormatError, match=said):
        check_anchors(head(classes, sizes, assigners))


def test_anchors_of_all_classes_may_have_any_number_of_sizes():
    """As nuScenes' FreeAnchor has four for ten classes."""
    heads = head(10, 2, 0), head(2, per_class=False), head(3), nn.Linear(1, 1)
    assert [check_anchors(each) for each in heads] == [None] * 4


def test_every_config_is_of_one_grid():
    for path in sorted(config_root().glob("*/*.py")):
        if path.parent.name != "_base_":
            assert check_grid(Config.fromfile(path).get("model") or {}) is None


def test_anchors_may_begin_half_a_cell_further_in():
    inside = [[0.2, -19.8, -1.7, 39.8, 19.8, -1.7]]
    assert check_grid(changed({"pts_bbox_head": {"anchor_generator": {"ranges": inside}}})) is None
    assert check_grid({"backbone": dict(type="MiT")}) is None  # no voxels, nothing to compare
