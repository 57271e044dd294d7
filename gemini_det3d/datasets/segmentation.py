"""The RGB-X segmentation sets, registered in mmdet3d's DATASETS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset

from gemini_det3d.datasets.segmentation_sets import DELIVER, NYUDV2, SUNRGBD, SegmentationSet
from gemini_det3d.formats import FormatError
from gemini_det3d.registration import register


class MultiModalSegDataset(BaseDataset):
    """Frames of several aligned images and a label map.

    A sample has ``image_paths`` by modality, ``label_path``, ``first_label``, ``num_classes``,
    ``label_code``, ``sample_name``, ``group``, and ``sensor_mask``, in which every modality is
    True. The order of the modalities is part of ``metainfo``, so a checkpoint states it.

    Args:
        data_root: Folder of the set.
        split: Name of the list or split.
        modalities: Names, the leading one first.
        groups: Only frames of these groups (DeLiVER: weathers); None: all.
        first_label: Number of the first class in the label files, lower ones are ignored; None: as
            the set is published.
        label_code: What the channels of coloured label files mean; see
            :func:`gemini_det3d.formats.images.decode_labels`. None: as the set is published.
        pipeline: Steps.
        **kwargs: As mmengine's ``BaseDataset``.

    Raises:
        ValueError: The set has no such modality, a list is none, ``first_label`` is no number from
            0, or ``label_code`` unknown.
        FormatError: The folder lacks the list or the images of the split, or the split a group.
    """

    published: SegmentationSet

    def __init__(
        self,
        data_root: str,
        split: str,
        modalities: Sequence[str] = ("rgb", "depth"),
        groups: Sequence[str] | None = None,
        first_label: int | None = None,
        label_code: int | str | None = None,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        published = self.published
        for name, value in (("modalities", modalities), ("groups", groups)):
            if isinstance(value, str) or value is not None and not len(value):
                raise ValueError(f"{type(self).__name__}: {name}={value!r} must be a list of names")
        unknown = [name for name in modalities if name not in published.modalities]
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: modalities={list(modalities)}, known are "
                f"{list(published.modalities)}"
            )
        if first_label is not None and (not isinstance(first_label, int) or first_label < 0):
            raise ValueError(
                f"{type(self).__name__}: first_label={first_label!r} must be a whole number from 0"
            )
        if label_code not in (None, 0, 1, 2, "voc"):
            raise ValueError(f"{type(self).__name__}: label_code={label_code!r} must be 0, 1, 2 "
                             "(a channel) or 'voc'")  # fmt: skip
        self.label_code = published.label_code if label_code is None else label_code
        self.split, self.modalities, self.groups = split, tuple(modalities), groups
        self.first_label = published.first_label if first_label is None else first_label
        metainfo = {"modalities": self.modalities, **(kwargs.pop("metainfo", None) or {})}
        super().__init__(data_root=data_root, metainfo=metainfo, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per frame."""
        frames = self.published.list_frames(self.data_root, self.split)
        known = sorted({frame.group for frame in frames})
        unknown = [name for name in self.groups or () if name not in known]
        if unknown:
            fault = f"the split {self.split!r} has no {', '.join(unknown)} (groups), but "
            raise FormatError(self.data_root, fault + (", ".join(known) or "none"))
        return [
            {
                "sample_name": frame.name,
                "group": frame.group,
                "image_paths": {m: str(frame.images[m]) for m in self.modalities},
                "label_path": str(frame.labels),
                "first_label": self.first_label,
                "num_classes": len(self.metainfo["classes"]),
                "label_code": self.label_code,
                "sensor_mask": dict.fromkeys(self.modalities, True),
            }
            for frame in frames
            if self.groups is None or frame.group in self.groups
        ]


@register(DATASETS)
class NYUDv2SegDataset(MultiModalSegDataset):
    """NYUDv2, 40 classes: 795 frames in ``train.txt``, 654 in ``val.txt``."""

    published = NYUDV2
    METAINFO = {"classes": published.classes}


@register(DATASETS)
class SUNRGBDSegDataset(MultiModalSegDataset):
    """SUN RGB-D, 37 classes: 5285 frames in ``train.txt``, 5050 in ``test.txt``."""

    published = SUNRGBD
    METAINFO = {"classes": published.classes}


@register(DATASETS)
class DELIVERSegDataset(MultiModalSegDataset):
    """DeLiVER, 25 classes: RGB, depth (as HHA), events and LiDAR, in five weathers."""

    published = DELIVER
    METAINFO = {"classes": published.classes}
