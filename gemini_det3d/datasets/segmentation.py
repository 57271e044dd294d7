"""The RGB-X segmentation sets, registered in mmdet3d's DATASETS."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset

from gemini_det3d.datasets.segmentation_classes import (
    DELIVER_CLASSES,
    NYUDV2_CLASSES,
    SUNRGBD_CLASSES,
)
from gemini_det3d.formats.segmentation import (
    SegFrame,
    list_deliver,
    list_nyudv2,
    list_sunrgbd,
)
from gemini_det3d.registration import register


class MultiModalSegDataset(BaseDataset):
    """Frames of several aligned images and a label map.

    A sample has ``image_paths`` by modality, ``label_path``, ``first_label`` (the number of the
    first class in the files), ``sample_name``, ``group``, and ``sensor_mask``, in which every
    modality is True.

    Args:
        data_root: Folder of the set.
        split: Name of the list or split.
        modalities: Names, the leading one first.
        groups: Only frames of these groups (DeLiVER: weathers); None: all.
        pipeline: Steps.
        **kwargs: As mmengine's ``BaseDataset``.

    Raises:
        ValueError: The set has no such modality.
        FormatError: The folder lacks the list or the images of the split.
    """

    list_frames: Callable[[str | os.PathLike, str], list[SegFrame]]
    first_label = 0
    known_modalities: tuple[str, ...] = ("rgb", "depth")

    def __init__(
        self,
        data_root: str,
        split: str,
        modalities: Sequence[str] = ("rgb", "depth"),
        groups: Sequence[str] | None = None,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        unknown = [name for name in modalities if name not in self.known_modalities]
        if unknown or not modalities:
            raise ValueError(
                f"{type(self).__name__}: modalities={list(modalities)}, known are "
                f"{list(self.known_modalities)}"
            )
        self.split, self.modalities, self.groups = split, tuple(modalities), groups
        super().__init__(data_root=data_root, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per frame."""
        frames = type(self).list_frames(self.data_root, self.split)
        return [
            {
                "sample_name": frame.name,
                "group": frame.group,
                "image_paths": {m: str(frame.images[m]) for m in self.modalities},
                "label_path": str(frame.labels),
                "first_label": self.first_label,
                "sensor_mask": dict.fromkeys(self.modalities, True),
            }
            for frame in frames
            if self.groups is None or frame.group in self.groups
        ]


@register(DATASETS)
class NYUDv2SegDataset(MultiModalSegDataset):
    """NYUDv2, 40 classes: 795 frames in ``train.txt``, 654 in ``val.txt``."""

    METAINFO = {"classes": NYUDV2_CLASSES}
    list_frames = staticmethod(list_nyudv2)


@register(DATASETS)
class SUNRGBDSegDataset(MultiModalSegDataset):
    """SUN RGB-D, 37 classes: 5285 frames in ``train.txt``, 5050 in ``test.txt``."""

    METAINFO = {"classes": SUNRGBD_CLASSES}
    list_frames = staticmethod(list_sunrgbd)
    first_label = 1


@register(DATASETS)
class DELIVERSegDataset(MultiModalSegDataset):
    """DeLiVER, 25 classes: RGB, depth (as HHA), events and LiDAR, in five weathers."""

    METAINFO = {"classes": DELIVER_CLASSES}
    list_frames = staticmethod(list_deliver)
    first_label = 1
    known_modalities = ("rgb", "depth", "event", "lidar")
