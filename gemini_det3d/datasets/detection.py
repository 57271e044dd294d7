"""mmdet3d's KITTI data set without what its samples pay for in time and do not use.

Under ``_scope_="gemini_det3d"`` it carries mmdet3d's name, as do the twins of its pipeline's steps
(:mod:`gemini_det3d.datasets.transforms.clouds`): same arguments, same samples.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet3d.datasets import Det3DDataset, KittiDataset

from gemini_det3d.registration import register
from gemini_det3d.registry import DATASETS

__all__ = ["FreshSamples", "QuickKittiDataset"]

_BOXES = "gt_bboxes_3d"


class FreshSamples(Det3DDataset):
    """Mix-in: a sample is unpickled for its reader alone, so it is not copied once more.

    Boxes are kept as arrays until they are asked for: unpickling a tensor takes torch as long as
    all the rest of a sample.
    """

    def parse_data_info(self, info: dict) -> dict:
        """mmdet3d's, with the boxes as arrays."""
        info = super().parse_data_info(info)
        for note in _notes(info):
            boxes = note[_BOXES]
            note[_BOXES] = (type(boxes), boxes.tensor.numpy(), boxes.with_yaw)
        return info

    def get_data_info(self, idx: int) -> dict:
        """mmdet3d's: a sample that no one else holds, with its boxes."""
        info = super().get_data_info(idx)
        for note in _notes(info):
            kind, values, with_yaw = note[_BOXES]
            boxes = torch.from_numpy(values)
            note[_BOXES] = kind(boxes, box_dim=values.shape[1], with_yaw=with_yaw)
        return info

    def prepare_data(self, index: int) -> Any:
        """A packed sample, or None for one without boxes where those are left out."""
        if self.show_ins_var:  # compares with what the pipeline was given
            return super().prepare_data(index)
        sample = self.get_data_info(index)
        sample["box_type_3d"] = self.box_type_3d
        sample["box_mode_3d"] = self.box_mode_3d
        is_filtered = self.filter_empty_gt and not self.test_mode
        if is_filtered and not len(sample["ann_info"]["gt_labels_3d"]):
            return None
        packed = self.pipeline(sample)
        if is_filtered and packed is not None:
            return packed if len(packed["data_samples"].gt_instances_3d.labels_3d) else None
        return packed


def _notes(info: dict) -> list[dict]:
    """Those of a sample's annotations that hold boxes."""
    notes = (info.get(key) for key in ("ann_info", "eval_ann_info"))
    return [note for note in notes if note is not None and _BOXES in note]


@register(DATASETS, "KittiDataset")
class QuickKittiDataset(FreshSamples, KittiDataset):
    """mmdet3d's ``KittiDataset``; same arguments, same samples."""
