"""Image features in the cells where their rays end, and nothing of what is not there."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmdet3d.registry import MODELS

from gemini_det3d.geometry import image_matrix, point_to_pixel_matrix, points_matrix
from gemini_det3d.models import LiftToBEV
from gemini_det3d.models.metas import ImageGeometry, view_geometries
from gemini_det3d.models.view_transforms import Views
from gemini_det3d.models.view_transforms.lift import depth_loss

# Looks along x with focal length 10 px and centre (40, 30): u = 40 - 10 y / x, v = 30 - 10 z / x.
PROJECTION = torch.tensor([[40.0, -10.0, 0.0, 0.0], [30.0, 0.0, -10.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
# The same camera looking back.
BACKWARDS = PROJECTION @ torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
SIZE = (60, 80)
RANGE = [-11.25, -7.5, -5.1, 11.25, 7.5, 5.1]  # 45 x 15 cells, no round number on a border


def lift(**options) -> LiftToBEV:
    return MODELS.build(
        dict(
            type="LiftToBEV", in_channels=3, out_channels=5, point_cloud_range=RANGE,
            cell_size_m=[0.5, 1.0], depth_m=[1, 8, 1], **options,
        )
    )  # fmt: skip


def view(projection=PROJECTION) -> ImageGeometry:
    return ImageGeometry(projection.double(), SIZE, SIZE)


def packed(*geometries: ImageGeometry) -> Views:
    return Views.pack(geometries, torch.device("cpu"))


def transparent(model: LiftToBEV) -> LiftToBEV:
    """Every feature is 1 and every depth equally likely, so a map counts entries."""
    last = model.depth_net[1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[-model.out_channels :] = 1
    return model.eval()


def test_map_has_the_grid_of_the_range_and_says_which_cells_are_seen():
    bev, seen = lift()(torch.randn(2, 3, 6, 8), [view(), view()], [0, 1], [None, None])
    assert bev.shape == (2, 5, 15, 45) and seen.shape == (2, 15, 45)
    assert seen[:, :, 24:37].any() and not seen[:, :, :24].any() and not seen[:, :, 39:].any()


def test_every_ray_ends_in_the_cells_computed_one_by_one():
    model = transparent(lift(num_refine=0, with_lidar_depth=False))
    bev, _ = model(torch.randn(1, 3, 3, 5), [view()], [0], [None])
    expected = torch.zeros(15, 45)
    for row in range(3):
        for column in range(5):
            u, v = 16 * column + 8, 20 * row + 10
            for x in (1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5):
                y, z = (40 - u) * x / 10, (30 - v) * x / 10
                if abs(y) < 7.5 and abs(z) < 5.1:
                    expected[math.floor(y + 7.5), math.floor((x + 11.25) / 0.5)] += 1 / 7
    torch.testing.assert_close(bev[0, 3], expected)


def test_measured_depth_puts_a_pixel_where_its_point_is():
    model = transparent(lift(num_refine=0))
    torch.nn.init.constant_(model.lidar_trust, 50.0)  # trust the LiDAR alone
    points = torch.tensor([[6.4, 2.4, -1.7]])  # pixel (36.25, 32.66): row 1, column 2 of 3 x 5
    bev, _ = model(torch.randn(1, 3, 3, 5), [view()], [0], [points])
    without, _ = model(torch.randn(1, 3, 3, 5), [view()], [0], [None])
    # Its cell's centre is pixel (40, 30), so at bin 6 to 7 m the point (6.5, 0, 0): row 7, col 35.
    gained = (bev - without)[0, 0]
    assert gained.argmax().item() == 7 * 45 + 35
    assert gained.max().item() == pytest.approx(6 / 7, abs=1e-5)


def test_depth_is_a_distribution_with_and_without_measurement():
    model = lift()
    measured = torch.zeros(2, 7, 3, 5)
    measured[0, 4, 1, 2] = 1
    depth = model.depth_distribution(torch.randn(2, 7, 3, 5), measured)
    torch.testing.assert_close(depth.sum(1), torch.ones(2, 3, 5))
    assert depth[0, 4, 1, 2] > 0.88 and depth.amin() >= 0


def test_augmented_image_and_points_fill_the_augmented_map():
    # Flip everything: points by y, image by u. The map must be the mirrored map.
    model = transparent(lift(num_refine=0, with_lidar_depth=False))
    flipped = point_to_pixel_matrix(
        PROJECTION, points_matrix(["HF"]), image_matrix((1, 1), flip=True, width_px=80)
    )
    plain, _ = model(torch.randn(1, 3, 3, 5), [view()], [0], [None])
    mirrored, _ = model(torch.randn(1, 3, 3, 5), [view(flipped)], [0], [None])
    torch.testing.assert_close(mirrored, plain.flip(2))
    moved = point_to_pixel_matrix(
        PROJECTION, points_matrix(["T"], translation=torch.tensor([0.5, 1.0, 0])), torch.eye(3)
    )
    shifted, _ = model(torch.randn(1, 3, 3, 5), [view(moved)], [0], [None])
    torch.testing.assert_close(shifted[..., 1:, 1:], plain[..., :-1, :-1])


@pytest.mark.parametrize("num_views", [1, 2, 6])
def test_any_number_of_views_adds_up(num_views):
    model = lift(num_refine=0, with_lidar_depth=False).eval()
    features = torch.randn(num_views, 3, 3, 5)
    views = [view((PROJECTION, BACKWARDS)[i % 2]) for i in range(num_views)]
    together, seen = model(features, views, [0] * num_views, [None])
    one_by_one = [model(f[None], [g], [0], [None]) for f, g in zip(features, views)]
    torch.testing.assert_close(together, sum(bev for bev, _ in one_by_one))
    assert torch.equal(seen[0], torch.stack([s[0] for _, s in one_by_one]).any(0))


def test_sample_without_a_view_is_zero_unseen_and_unknown_to_the_statistics():
    model = lift().train()
    features = torch.randn(1, 3, 3, 5)
    bev, seen = model(features, [view()], [1], [None, None, None])
    alone = lift().train()
    alone.load_state_dict(model.state_dict())
    assert not bev[[0, 2]].any() and not seen[[0, 2]].any() and bev[1].any()
    norm = model.refine[0].bn
    before = norm.running_mean.clone()
    model(features, [view()], [0], [None])
    one = norm.running_mean - before
    norm.running_mean.copy_(before)
    model(features, [view()], [1], [None, None, None])
    torch.testing.assert_close(norm.running_mean - before, one)


def test_a_rig_that_stays_is_sorted_once_and_one_that_moved_anew(monkeypatch):
    from gemini_det3d.models.view_transforms import lift as module

    sorted_, original = [], module.order_by_cell
    monkeypatch.setattr(module, "order_by_cell", lambda *a: sorted_.append(1) or original(*a))
    model, features = lift().eval(), torch.randn(1, 3, 3, 5)
    moved = PROJECTION.clone()
    moved[0, 3] += 1e-3
    first, _ = model(features, [view()], [0], [None])
    again, _ = model(features, [view()], [0], [None])
    other, _ = model(features, [view(moved)], [0], [None])
    assert len(sorted_) == 2 and torch.equal(first, again)
    back, _ = model(features, [view()], [0], [None])
    assert len(sorted_) == 3 and torch.equal(first, back)


def test_a_plan_that_another_thread_replaced_is_not_taken():
    """Many threads may ask one detector; here the other one always wrote its plan just before."""
    mine, features = view(), torch.randn(1, 3, 3, 5)
    model = lift().eval()
    wanted, _ = model(features, [mine], [0], [None])
    model(features, [view(BACKWARDS)], [0], [None])
    theirs = model._last_plan

    class Shared(LiftToBEV):
        _last_plan = property(lambda self: theirs, lambda self, plan: None)

    model.__class__ = Shared
    model.__dict__.pop("_last_plan")
    found, _ = model(features, [mine], [0], [None])
    torch.testing.assert_close(found, wanted)


def test_no_view_at_all_still_gives_every_parameter_a_gradient():
    model = lift()
    bev, seen = model(torch.zeros(0), [], [], [None, None])
    bev.sum().backward()
    assert bev.shape == (2, 5, 15, 45) and not bev.any() and not seen.any()
    assert all(p.grad is not None for p in model.parameters())


def test_every_parameter_learns():
    model = lift()
    points = torch.tensor([[6.4, 2.4, -1.7]])
    bev, _ = model(torch.randn(2, 3, 6, 8), [view(), view(BACKWARDS)], [0, 0], [points])
    (bev * torch.randn_like(bev)).sum().backward()
    assert [n for n, p in model.named_parameters() if not p.grad.any()] == []


def test_features_in_the_padding_are_not_lifted():
    model = lift()
    padded = packed(ImageGeometry(PROJECTION.double(), (60, 48), (60, 80)))
    assert (model.cells_of(padded, (3, 5))[..., 3:] == -1).all()
    assert (model.cells_of(padded, (3, 5))[..., :3] >= 0).any()


def test_features_in_the_empty_corners_of_a_rotated_image_are_not_lifted():
    image = image_matrix((1, 1), width_px=80, rotation_rad=math.pi / 2, height_px=60)
    matrix = point_to_pixel_matrix(PROJECTION, torch.eye(4), image)
    model = lift()
    cells = model.cells_of(packed(ImageGeometry(matrix, SIZE, SIZE, image, SIZE)), (3, 5))[0]
    # A quarter turn of 80 x 60 covers columns 10 to 70 of the canvas.
    assert (cells[:, :, 0] == -1).all() and (cells[:, :, 4] == -1).all()
    assert (cells[:, :, 1:4] >= 0).any()


def test_cells_behind_the_empty_part_of_a_canvas_are_not_seen():
    image = image_matrix((0.5, 0.5))  # fills a quarter of the canvas
    matrix = point_to_pixel_matrix(PROJECTION, torch.eye(4), image)
    features = torch.randn(1, 3, 3, 5)
    _, seen = lift()(features, [ImageGeometry(matrix, SIZE, SIZE, image, SIZE)], [0], [None])
    _, plain = lift()(features, [view()], [0], [None])
    _, as_if_full = lift()(features, [ImageGeometry(matrix, SIZE, SIZE)], [0], [None])
    assert torch.equal(seen, plain) and not torch.equal(seen, as_if_full)


META = dict(
    sample_idx=3, img_shape=SIZE, ori_shape=(120, 160), batch_input_shape=(64, 96),
    transformation_3d_flow=["HF"],
)  # fmt: skip


def test_view_geometries_take_bevfusion_matrices_and_camera_poses():
    aug = torch.eye(4).repeat(2, 1, 1)
    aug[:, :2, :2] *= 0.5
    aug[1, 0, 3] = 7
    camera = torch.tensor([[10.0, 0, 40], [0, 10, 30], [0, 0, 1]])
    pose = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    meta = dict(META, img_aug_matrix=aug.numpy(), cam2img=[camera] * 2, lidar2cam=[pose] * 2)
    first, second = view_geometries(meta, 2)
    point = torch.tensor([5.0, -2.0, -1.0, 1.0], dtype=torch.float64)  # (5, 2, -1) flipped
    assert (first.matrix @ point).tolist() == [18 * 5, 16 * 5, 5]
    assert (second.matrix @ point).tolist() == [25 * 5, 16 * 5, 5]


def test_view_ends_where_the_image_does_though_img_shape_is_that_of_the_file():
    """BEVFusion's ImageAug3D cuts images to 64 x 96 here and leaves img_shape as it was."""
    meta = dict(META, img_shape=(120, 160), lidar2img=[PROJECTION] * 2)
    views = view_geometries(dict(meta, img_aug_matrix=torch.eye(4).repeat(2, 1, 1)), 2)
    assert views[0].size == (64, 96)
    assert views[0].shows(torch.tensor([[95.0, 63.0], [97.0, 63.0]])).tolist() == [True, False]


def test_view_geometries_name_what_is_missing_or_wrong():
    with pytest.raises(KeyError, match="img_aug_matrix"):
        view_geometries(dict(META, lidar2img=[PROJECTION] * 2), 2)
    wrong = dict(META, lidar2img=[PROJECTION] * 2, img_aug_matrix=torch.eye(4).repeat(3, 1, 1))
    with pytest.raises(ValueError, match="2 matrices"):
        view_geometries(wrong, 2)


@pytest.mark.parametrize(
    "wrong, fault",
    [
        (dict(cell_size_m=[0.7, 1.0]), "whole"),
        (dict(depth_m=[1, 8, 0.3]), "depth_m"),
        (dict(point_cloud_range=[0, 0, 0, 1, 1]), "point_cloud_range"),
    ],
)
def test_lift_refuses_grids_that_cannot_be(wrong, fault):
    arguments = dict(
        in_channels=3, out_channels=5, point_cloud_range=RANGE, cell_size_m=[0.5, 1.0],
        depth_m=[1, 8, 1],
    )  # fmt: skip
    with pytest.raises(ValueError, match=fault):
        LiftToBEV(**{**arguments, **wrong})


def test_lift_on_cuda_equals_cpu(cuda):
    model, features = lift().eval(), torch.randn(2, 3, 3, 5)
    views, points = [view(), view(BACKWARDS)], torch.tensor([[6.4, 2.4, -1.7]])
    expected = model(features, views, [0, 0], [points])
    bev, seen = model.to(cuda)(features.to(cuda), views, [0, 0], [points.to(cuda)])
    torch.testing.assert_close(bev.cpu(), expected[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(seen.cpu(), expected[1])


def test_depth_loss_is_the_cross_entropy_where_points_measure():
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    measured = torch.zeros_like(logits)
    measured[0, :, 0, 1] = torch.tensor([0.25, 0.0, 0.75])
    measured[1, 2, 1, 0] = 1.0
    shares = logits.softmax(dim=1)
    slow = [0.25 * shares[0, 0, 0, 1].log() + 0.75 * shares[0, 2, 0, 1].log()]
    slow.append(shares[1, 2, 1, 0].log())
    found = depth_loss(logits, measured)
    torch.testing.assert_close(found, -sum(slow) / 2, check_dtype=False)
    assert depth_loss(logits, torch.zeros_like(logits)) == 0


def test_depth_loss_is_held_in_training_only_and_taken_once():
    model = lift(depth_loss_weight=2.0)
    cloud = torch.tensor([[5.0, 0.0, 0.0]])
    inputs = (torch.randn(1, 3, 6, 8), [view()], [0])
    model(*inputs, [cloud])
    copy.deepcopy(model)
    assert model.auxiliary_losses()["loss_depth"] > 0 and model.auxiliary_losses() == {}
    for points, given in (([None], inputs), ([cloud], (torch.zeros(0), [], []))):
        model(*given, points)
        assert model.auxiliary_losses()["loss_depth"] == 0
    model.eval()(*inputs, [cloud])
    assert model.auxiliary_losses() == {}
    with pytest.raises(ValueError, match="depth_loss_weight"):
        lift(depth_loss_weight=-1.0)
