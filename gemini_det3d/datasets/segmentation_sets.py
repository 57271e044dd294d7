"""The published segmentation sets: classes in the order of their labels, files, splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from gemini_det3d.formats.segmentation import SegFrame, list_deliver, list_nyudv2, list_sunrgbd

NYUDV2_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
)  # fmt: skip
# SUN RGB-D has the same classes without the three collective ones.
SUNRGBD_CLASSES = NYUDV2_CLASSES[:37]
DELIVER_CLASSES = (
    "Building", "Fence", "Other", "Pedestrian", "Pole", "RoadLine", "Road", "SideWalk",
    "Vegetation", "Cars", "Wall", "TrafficSign", "Sky", "Ground", "Bridge", "RailTrack",
    "GroundRail", "TrafficLight", "Static", "Dynamic", "Water", "Terrain", "TwoWheeler", "Bus",
    "Truck",
)  # fmt: skip


@dataclass(frozen=True)
class SegmentationSet:
    """What a published set is like.

    Attributes:
        list_frames: Root and split -> frames.
        classes: Names, in the order of their numbers.
        splits: Names of its splits.
        first_label: Number of the first class in the files.
        label_code: What the channels of coloured label files mean; see
            :func:`gemini_det3d.formats.images.decode_labels`.
        modalities: Names of its images, the leading one first.
        size_rule: What its recipe does about files of a frame that differ in size; see
            ``LoadModalities``.
    """

    list_frames: Callable[[str | os.PathLike, str], list[SegFrame]]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    first_label: int = 0
    label_code: int | str | None = None
    modalities: tuple[str, ...] = ("rgb", "depth")
    size_rule: str = "crop"


NYUDV2 = SegmentationSet(list_nyudv2, NYUDV2_CLASSES, ("train", "val"))
SUNRGBD = SegmentationSet(list_sunrgbd, SUNRGBD_CLASSES, ("train", "test"), first_label=1)
DELIVER = SegmentationSet(
    list_deliver, DELIVER_CLASSES, ("train", "val", "test"), first_label=1,
    label_code=0,  # as the released code reads them
    modalities=("rgb", "depth", "event", "lidar"),
    size_rule="resize",
)  # fmt: skip
SETS = {"nyudv2": NYUDV2, "sunrgbd": SUNRGBD, "deliver": DELIVER}
"""By the names that ``gemini-det3d prepare segmentation --kind`` takes."""
