"""Metadata is read without guessing: what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gemini_det3d.geometry import project
from gemini_det3d.models.metas import image_geometry, view_geometries


def pixel_of(meta, point=(5.0, 2.0, -1.0)):
    return project(torch.tensor([point]), image_geometry(meta).matrix)[0][0].tolist()


def test_image_geometry_of_an_untouched_frame_is_the_projection(meta):
    assert pixel_of(meta) == [36.0, 32.0]


def test_image_geometry_undoes_points_and_follows_the_image(meta):
    meta.update(
        transformation_3d_flow=["S", "HF"],
        pcd_scale_factor=2.0,
        scale_factor=(0.5, 0.25),
        img_shape=(15, 40),
        flip=True,
    )
    # (10, -4, -2) is (5, 2, -1) scaled and mirrored; its pixel (36, 32) -> (18, 8) -> (22, 8).
    assert pixel_of(meta, (10.0, -4.0, -2.0)) == pytest.approx([22.0, 8.0])


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("vertical", [36.0, 28.0]), ("diagonal", [44.0, 28.0]), ("horizontal", [44.0, 32.0]),
     (None, [44.0, 32.0])],
)  # fmt: skip
def test_image_geometry_follows_a_flip_in_its_direction(meta, direction, expected):
    meta.update(flip=True, flip_direction=direction)
    assert pixel_of(meta) == expected  # of (36, 32) in 80 x 60


def test_image_geometry_names_a_flip_that_it_does_not_know(meta):
    meta.update(flip=True, flip_direction="upward")
    with pytest.raises(ValueError, match="horizontal, vertical, diagonal, got 'upward'"):
        image_geometry(meta)


@pytest.mark.parametrize("rows", [3, 4])
def test_a_cameras_fourth_column_counts(meta, rows):
    """KITTI's P2, whose camera stands 6 cm beside the reference."""
    p2 = np.array([[700.0, 0, 600, 45], [0, 700, 180, -0.3], [0, 0, 1, 0.005], [0, 0, 0, 1]])
    del meta["lidar2img"]
    meta.update(cam2img=np.stack([p2] * 2), lidar2cam=np.stack([np.eye(4)[:rows]] * 2))
    meta.update(img_aug_matrix=np.stack([np.eye(3)] * 2))
    pixel, _ = project(torch.tensor([[1.0, 2, 10]]), view_geometries(meta, 2)[1].matrix)
    assert pixel[0].tolist() == pytest.approx([6745 / 10.005, 3199.7 / 10.005])


@pytest.mark.parametrize(
    "key", ["lidar2img", "scale_factor", "flip", "img_shape", "transformation_3d_flow"]
)
def test_image_geometry_names_a_missing_entry(meta, key):
    del meta[key]
    with pytest.raises(KeyError, match=f"sample 7 has no '{key}'"):
        image_geometry(meta)


@pytest.mark.parametrize(
    "step, key", [("R", "pcd_rotation"), ("S", "pcd_scale_factor"), ("T", "pcd_trans")]
)
def test_image_geometry_names_the_missing_value_of_a_recorded_step(meta, step, key):
    meta["transformation_3d_flow"] = [step]
    with pytest.raises(KeyError, match=key):
        image_geometry(meta)


def test_image_geometry_takes_stated_defaults_only_where_an_entry_is_absent(meta):
    del meta["flip"]
    assert torch.equal(
        image_geometry(meta, defaults=dict(flip=False, scale_factor=(9, 9))).matrix,
        image_geometry({**meta, "flip": False}).matrix,
    )


def test_image_geometry_notices_a_crop_that_was_not_recorded(meta):
    meta["img_shape"] = (50, 80)
    with pytest.raises(ValueError, match="img_crop_offset"):
        image_geometry(meta)


def test_image_geometry_refuses_to_guess_that_there_was_no_crop(meta):
    del meta["ori_shape"]
    with pytest.raises(KeyError, match="sample 7 has neither 'img_crop_offset' nor 'ori_shape'"):
        image_geometry(meta)
    assert pixel_of({**meta, "img_crop_offset": (0.0, 0.0)}) == [36.0, 32.0]


def test_a_missing_entry_can_be_stated_in_the_neck_or_in_the_birds_eye_view_detector(meta):
    del meta["flip"]
    with pytest.raises(KeyError, match="meta_defaults of the fusion neck, or of the model .*BEV"):
        image_geometry(meta)


def test_image_geometry_follows_a_recorded_crop(meta):
    meta.update(img_shape=(50, 70), img_crop_offset=(3.0, 4.0))
    assert pixel_of(meta) == [33.0, 28.0]


@pytest.mark.parametrize(
    "broken", [torch.zeros(6, 4, 4), torch.eye(3), torch.full((4, 4), torch.nan)]
)
def test_image_geometry_rejects_a_projection_that_cannot_be(meta, broken):
    meta["lidar2img"] = broken
    with pytest.raises(ValueError, match="lidar2img"):
        image_geometry(meta)


def test_image_geometry_takes_3_by_3_where_points_are_in_the_cameras_place(meta):
    """SUN RGB-D's depth2img is 3 x 3; a LiDAR elsewhere needs its place."""
    depth2img = [[10.0, 40, 0], [0, 30, -10], [0, 1, 0]]
    meta.update(depth2img=depth2img)
    geometry = image_geometry(meta, "DEPTH")
    pixel, depth = project(torch.tensor([[2.0, 5.0, 1.0]]), geometry.matrix)
    assert pixel[0].tolist() == [44.0, 28.0] and depth.item() == 5


def test_image_geometry_moves_pixels_before_the_image_was_augmented(meta):
    meta.update(scale_factor=(0.5, 2.0), img_shape=(120, 40))
    moved = image_geometry(meta, pixel_offset=(-0.5, -1.0))
    pixel = project(torch.tensor([[5.0, 2.0, -1.0]]), moved.matrix)[0][0]
    assert pixel.tolist() == pytest.approx([(36 - 0.5) * 0.5, (32 - 1) * 2])


def bevfusion(meta, flips=(1.0, -1.0, 1.0), **changes):
    """Points turned by 90 degrees, doubled, then mirrored, as BEVFusion's own steps record it."""
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # of rows
    whole = torch.eye(4)
    whole[:3, :3] = torch.diag(torch.tensor(flips)) @ (2 * turn.T)
    steps = dict(pcd_rotation=turn, pcd_scale_factor=2.0, pcd_trans=torch.zeros(3))
    flow = ["R", "T", "S"]  # without the flips
    return {**meta, **steps, "transformation_3d_flow": flow, "lidar_aug_matrix": whole, **changes}


@pytest.mark.parametrize("flow", [["R", "T", "S"], None])
def test_image_geometry_undoes_the_flips_that_bevfusion_records_in_its_matrix_alone(meta, flow):
    # (5, 2, -1) is turned to (-2, 5, -1), doubled, and mirrored to (-4, -10, -2)
    known = bevfusion(meta, transformation_3d_flow=flow)
    if flow is None:  # flips alone: no other step has written anything
        known = {**meta, "lidar_aug_matrix": torch.diag(torch.tensor([1.0, -1, 1, 1]))}
        del known["transformation_3d_flow"]
        assert pixel_of(known, (5.0, -2.0, -1.0)) == [36.0, 32.0]
    else:
        assert pixel_of(known, (-4.0, -10.0, -2.0)) == pytest.approx([36.0, 32.0])


@pytest.mark.parametrize(
    "mixed",
    [dict(transformation_3d_flow=["R", "T", "S", "HF"]), dict(lidar_aug_matrix=torch.eye(4))],
)
def test_image_geometry_refuses_steps_of_which_each_record_holds_a_part(meta, mixed):
    with pytest.raises(ValueError, match="two augmentations"):
        image_geometry(bevfusion(meta, **mixed))


def test_image_geometry_refuses_a_step_whose_first_value_is_lost(meta):
    meta.update(transformation_3d_flow=["S", "HF", "S"], pcd_scale_factor=2.0)
    with pytest.raises(ValueError, match="twice"):
        image_geometry(meta)
