"""Calls of ``mmcv._ext`` for which compiled mmcv has a CPU kernel; the same call for both modules.

A case makes its input from a seed, calls the module as ``mmcv/ops/*.py`` does and returns what it
wrote or gave back. ``make_golden.py`` stores compiled mmcv's answers.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor


def rand(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform float32; numpy's legacy generator gives the same on every version."""
    values = np.random.RandomState(seed).uniform(low, high, shape)
    return torch.from_numpy(values.astype(np.float32))


def rectangles(seed: int, num: int, whole: bool = False) -> Tensor:
    """``(num, 4)`` x1, y1, x2, y2; on a lattice with many equal overlaps where ``whole``."""
    corner, size = rand(seed, num, 2, high=20), rand(seed + 1, num, 2, low=1, high=12)
    if whole:
        corner, size = corner.round(), size.round()
    return torch.cat([corner, corner + size], 1)


def rotated(seed: int, num: int) -> Tensor:
    """``(num, 5)`` x, y, width, height, angle."""
    return torch.cat(
        [
            rand(seed, num, 2, high=12),
            rand(seed + 1, num, 2, low=0.5, high=6),
            rand(seed + 2, num, 1, low=-4, high=4),
        ],
        1,
    )


def box_iou_rotated(ext: ModuleType, num_a: int, num_b: int, mode: int) -> dict[str, Tensor]:
    a, b = rotated(1, num_a), rotated(5, num_b)
    ious = a.new_zeros(num_a * num_b)
    ext.box_iou_rotated(a, b, ious, mode_flag=mode, aligned=False)
    return {"ious": ious}


def box_iou_rotated_aligned(ext: ModuleType) -> dict[str, Tensor]:
    a, b = rotated(1, 97), rotated(1, 97) + 0.3 * rand(9, 97, 5)
    ious = a.new_zeros(97)
    ext.box_iou_rotated(a, b, ious, mode_flag=0, aligned=True)
    return {"ious": ious}


def nms_rotated(ext: ModuleType, num: int, threshold: float) -> dict[str, Tensor]:
    dets, scores = rotated(11, num), rand(12, num)
    if num > 7:
        dets[7], scores[5] = dets[3], scores[6]  # equal boxes, equal scores
    order = scores.sort(dim=0, descending=True, stable=True).indices
    labels = torch.zeros(num)
    return {
        "kept": ext.nms_rotated(dets, scores, order, dets[order], labels, threshold, False)
    }  # fmt: skip


def nms(ext: ModuleType, num: int, threshold: float, offset: int, whole: bool) -> dict[str, Tensor]:
    boxes, scores = rectangles(21, num, whole), rand(22, num)
    return {"kept": ext.nms(boxes, scores, iou_threshold=threshold, offset=offset)}


def softnms(ext: ModuleType, num: int, method: int, offset: int) -> dict[str, Tensor]:
    dets = torch.zeros(num, 5)
    index = ext.softnms(
        rectangles(31, num),
        rand(32, num),
        dets,
        iou_threshold=0.3,
        sigma=0.5,
        min_score=0.05,
        method=method,
        offset=offset,
    )
    return {"index": index, "dets": dets[: len(index)]}


def nms_match(ext: ModuleType, num: int) -> dict[str, Tensor]:
    dets = torch.cat([rectangles(41, num), rand(42, num, 1)], 1)
    groups = ext.nms_match(dets, 0.3)
    flat = [member for group in groups for member in group]
    return {"sizes": torch.tensor([len(group) for group in groups]), "members": torch.tensor(flat)}


def bbox_overlaps(ext: ModuleType, mode: int, aligned: bool, offset: int) -> dict[str, Tensor]:
    a, b = rectangles(51, 31), rectangles(53, 31 if aligned else 37)
    ious = a.new_zeros(31) if aligned else a.new_zeros(31, 37)
    ext.bbox_overlaps(a, b, ious, mode=mode, aligned=aligned, offset=offset)
    return {"ious": ious}


def points_in_boxes(ext: ModuleType, num_boxes: int) -> dict[str, Tensor]:
    points = rand(61, 1009, 3, low=-4, high=4)
    boxes = torch.cat(
        [
            rand(62, num_boxes, 3, low=-3, high=3),
            rand(63, num_boxes, 3, low=0.5, high=4),
            rand(64, num_boxes, 1, low=-4, high=4),
        ],
        1,
    )
    inside = torch.zeros(num_boxes, 1009, dtype=torch.int32)
    ext.points_in_boxes_cpu_forward(boxes, points, inside)
    return {"inside": inside}


VOXEL_SIZE, RANGE = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([-2.0, -3.0, -1.0, 2.0, 3.0, 1.0])


def sweep(num: int) -> Tensor:
    """``(num, 5)`` points, some outside the range, some on its sides, one not a number."""
    points = rand(71, num, 5, low=-3.2, high=3.2) * torch.tensor([0.7, 1.0, 0.4, 1.0, 1.0])
    if num > 11:
        points[:6, :3] = torch.tensor(
            [[-2, -3, -1], [2, 3, 1], [-2, 3, 1], [1.9999999, 2.9999998, 0.99999994],
             [0, 0, 0], [float("nan"), 0, 0]]
        )  # fmt: skip
    return points


def dynamic_voxelize(ext: ModuleType, num: int) -> dict[str, Tensor]:
    coors = torch.zeros(num, 3, dtype=torch.int32)
    ext.dynamic_voxelize_forward(sweep(num), VOXEL_SIZE, RANGE, coors, NDim=3)
    return {"coors": coors}


def hard_voxelize(ext: ModuleType, num: int, max_points: int, max_voxels: int) -> dict[str, Tensor]:
    points = sweep(num)
    voxels = torch.zeros(max_voxels, max_points, 5)
    coors = torch.zeros(max_voxels, 3, dtype=torch.int32)
    per_voxel = torch.zeros(max_voxels, dtype=torch.int32)
    count = torch.zeros((), dtype=torch.long)
    ext.hard_voxelize_forward(
        points, VOXEL_SIZE, RANGE, voxels, coors, per_voxel, count,
        max_points=max_points, max_voxels=max_voxels, NDim=3, deterministic=True,
    )  # fmt: skip
    return {"voxels": voxels, "coors": coors, "per_voxel": per_voxel, "count": count}


def regions() -> Tensor:
    """``(13, 5)`` regions of two images, some beyond the map, one without size."""
    corner, size = rand(82, 13, 2, low=-6, high=40), rand(83, 13, 2, low=2, high=30)
    rois = torch.cat([(rand(81, 13, 1) > 0.5).float(), corner, corner + size], 1)
    rois[4, 3:] = rois[4, 1:3]
    return rois


def roi_align(ext: ModuleType, ratio: int, mode: int, aligned: bool) -> dict[str, Tensor]:
    maps, rois = rand(84, 2, 3, 11, 13, low=-1), regions()
    out = maps.new_zeros(13, 3, 5, 7)
    where = [out.clone(), out.clone()] if mode == 0 else [out.new_zeros(0), out.new_zeros(0)]
    options = dict(
        aligned_height=5, aligned_width=7, spatial_scale=0.25, sampling_ratio=ratio,
        pool_mode=mode, aligned=aligned,
    )  # fmt: skip
    ext.roi_align_forward(maps, rois, out, *where, **options)
    grad = torch.zeros_like(maps)
    ext.roi_align_backward(rand(85, *out.shape, low=-1), rois, *where, grad, **options)
    return {"out": out, "argmax_y": where[0], "argmax_x": where[1], "grad": grad}


def modulated_deform_conv(ext: ModuleType, group: int, with_bias: bool) -> dict[str, Tensor]:
    maps = rand(91, 2, 4, 7, 8, low=-1)
    weight, bias = rand(92, 6, 4 // group, 3, 2, low=-1), rand(93, 6)
    offset, mask = rand(94, 2, 2 * 2 * 6, 4, 9, low=-2, high=2), rand(95, 2, 2 * 6, 4, 9)
    out, spare = maps.new_zeros(2, 6, 4, 9), [maps.new_zeros(0), maps.new_zeros(0)]
    options = dict(
        kernel_h=3, kernel_w=2, stride_h=2, stride_w=1, pad_h=1, pad_w=1, dilation_h=1,
        dilation_w=1, group=group, deformable_group=2, with_bias=with_bias,
    )  # fmt: skip
    ext.modulated_deform_conv_forward(
        maps, weight, bias, spare[0], offset, mask, out, spare[1], **options
    )
    inputs = (maps, weight, bias, offset, mask)
    grads = [torch.zeros_like(tensor) for tensor in inputs]
    ext.modulated_deform_conv_backward(
        maps, weight, bias, spare[0], offset, mask, spare[1], *grads,
        rand(96, *out.shape, low=-1), **options,
    )  # fmt: skip
    names = ("maps", "weight", "bias", "offset", "mask")
    return {"out": out, **{f"grad_{name}": grad for name, grad in zip(names, grads)}}


def deform_conv(ext: ModuleType, group: int) -> dict[str, Tensor]:
    maps, weight = rand(101, 2, 4, 7, 8, low=-1), rand(102, 6, 4 // group, 3, 2, low=-1)
    offset = rand(103, 2, 2 * 2 * 6, 4, 7, low=-2, high=2)
    out, spare = maps.new_zeros(2, 6, 4, 7), [maps.new_zeros(0), maps.new_zeros(0)]
    options = dict(
        kW=2, kH=3, dW=1, dH=2, padW=1, padH=1, dilationW=3, dilationH=1, group=group,
        deformable_group=2, im2col_step=2,
    )  # fmt: skip
    ext.deform_conv_forward(maps, weight, offset, out, *spare, **options)
    grad_out = rand(104, *out.shape, low=-1)
    grads = [torch.zeros_like(tensor) for tensor in (maps, offset, weight)]
    ext.deform_conv_backward_input(
        maps, offset, grad_out, grads[0], grads[1], weight, spare[0], **options
    )
    ext.deform_conv_backward_parameters(
        maps, offset, grad_out, grads[2], *spare, scale=1, **options
    )
    return {"out": out, "grad_maps": grads[0], "grad_offset": grads[1], "grad_weight": grads[2]}


# Name: function, arguments, tolerance. 0 means bit for bit. Where it is not 0, sums are taken in
# another order; rotated overlaps of compiled mmcv are float32 throughout, ours float64.
CASES = {
    "box_iou_rotated": (box_iou_rotated, (71, 83, 0), 1e-6),
    "box_iou_rotated of the first": (box_iou_rotated, (71, 83, 1), 1e-6),
    "box_iou_rotated of none": (box_iou_rotated, (0, 5, 0), 0),
    "box_iou_rotated of equals and neighbours": (box_iou_rotated_aligned, (), 1e-6),
    "nms_rotated": (nms_rotated, (151, 0.2), 0),
    "nms_rotated strict": (nms_rotated, (151, 0.01), 0),
    "nms_rotated of none": (nms_rotated, (0, 0.2), 0),
    "nms": (nms, (211, 0.4, 0, False), 0),
    "nms with offset": (nms, (211, 0.4, 1, False), 0),
    "nms of overlaps that equal the threshold": (nms, (211, 0.5, 0, True), 0),
    "nms of none": (nms, (0, 0.5, 0, False), 0),
    "softnms naive": (softnms, (101, 0, 0), 0),
    "softnms linear": (softnms, (101, 1, 1), 1e-6),
    "softnms gaussian": (softnms, (101, 2, 0), 1e-6),
    "softnms of none": (softnms, (0, 1, 0), 0),
    "nms_match": (nms_match, (101,), 0),
    "nms_match of none": (nms_match, (0,), 0),
    "bbox_overlaps": (bbox_overlaps, (0, False, 0), 0),
    "bbox_overlaps of the first": (bbox_overlaps, (1, False, 1), 0),
    "bbox_overlaps aligned": (bbox_overlaps, (0, True, 1), 0),
    "points_in_boxes": (points_in_boxes, (17,), 0),
    "points_in_boxes of none": (points_in_boxes, (0,), 0),
    "dynamic_voxelize": (dynamic_voxelize, (2003,), 0),
    "dynamic_voxelize of none": (dynamic_voxelize, (0,), 0),
    "hard_voxelize": (hard_voxelize, (2003, 4, 1500), 0),
    "hard_voxelize of too many": (hard_voxelize, (2003, 2, 100), 0),
    "hard_voxelize of none": (hard_voxelize, (0, 4, 50), 0),
    "roi_align": (roi_align, (2, 1, True), 2e-6),
    "roi_align adaptive": (roi_align, (0, 1, True), 2e-6),
    "roi_align adaptive, not aligned": (roi_align, (0, 1, False), 2e-6),
    "roi_align max": (roi_align, (2, 0, True), 2e-6),
    "roi_align max, adaptive, not aligned": (roi_align, (0, 0, False), 2e-6),
    "modulated_deform_conv": (modulated_deform_conv, (1, True), 5e-6),
    "modulated_deform_conv in groups": (modulated_deform_conv, (2, False), 5e-6),
    "deform_conv": (deform_conv, (1,), 5e-6),
    "deform_conv in groups": (deform_conv, (2,), 5e-6),
}


def run(ext: ModuleType, name: str) -> dict[str, Tensor]:
    """What a module answers in one case."""
    function, arguments, _ = CASES[name]
    return function(ext, *arguments)
