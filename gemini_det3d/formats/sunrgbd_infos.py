"""mmdet3d's info files of SUN RGB-D, written and read without running anything in them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gemini_det3d.formats.errors import FormatError, naming_its_file
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.infos import load_infos
from gemini_det3d.formats.sunrgbd_objects import SUNRGBD_CLASSES, RoomObjects
from gemini_det3d.formats.sunrgbd_sensors import RoomCalibration

_CAMERA = "CAM0"


def frame_info(
    stem: str,
    calibration: RoomCalibration,
    image_size: tuple[int, int],
    objects: RoomObjects | None,
) -> dict:
    """One frame as mmdet3d 1.x keeps it.

    Args:
        stem: Name of the frame's files.
        calibration: Its calibration.
        image_size: ``(width, height)``.
        objects: Truth with ``bbox``; classes other than SUN RGB-D's ten are left out. None: the
            frame has no labels.
    """
    # Through float32, as mmdet3d's converter reads the matrices.
    matrices = (np.asarray(m, np.float32) for m in (calibration.intrinsics, calibration.tilt))
    depth2img = RoomCalibration(*matrices).depth2img
    info = {
        "lidar_points": {"num_pts_feats": 6, "lidar_path": f"{stem}.bin"},
        "images": {
            _CAMERA: {
                "depth2img": depth2img.tolist(),
                "img_path": f"{stem}.jpg",
                "height": int(image_size[1]),
                "width": int(image_size[0]),
            }
        },
    }
    if objects is not None:
        info["instances"] = list(_instances(objects))
    return info


def write_infos(path: str | os.PathLike, frames: Sequence[dict]) -> None:
    """Write an info file of what `frame_info` gives, whole or not at all."""
    metainfo = {
        "categories": {name: index for index, name in enumerate(SUNRGBD_CLASSES)},
        "dataset": "sunrgbd",
        "info_version": "1.1",
    }
    write_whole(path, pickle.dumps({"metainfo": metainfo, "data_list": list(frames)}))


class SunInfos:
    """The frames of an info file, by the name of their files.

    Args:
        path: The pickle, as mmdet3d's converter or ``gemini-det3d prepare sunrgbd`` writes it.

    Raises:
        FormatError: It cannot be read, is no v2 info file, or names a frame twice.
    """

    @naming_its_file
    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        content = load_infos(path)
        if not isinstance(content, dict) or not {"metainfo", "data_list"} <= set(content):
            fault = "is no info file of mmdet3d 1.x (a dict with metainfo and data_list)"
            raise FormatError(path, fault)
        categories = content["metainfo"].get("categories")
        if categories is None:  # older files rely on the data set's own list
            categories = {name: index for index, name in enumerate(SUNRGBD_CLASSES)}
        self._names = {label: name for name, label in categories.items() if label >= 0}
        self._frames: dict[str, dict] = {}
        for position, frame in enumerate(content["data_list"]):
            try:
                name = Path(frame["lidar_points"]["lidar_path"]).stem
            except (KeyError, TypeError):
                fault = f"entry {position} of data_list has no lidar_points.lidar_path"
                raise FormatError(path, fault) from None
            if name in self._frames:
                raise FormatError(path, f"frame {name} is given twice")
            self._frames[name] = frame

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of the frames in the file's order."""
        return tuple(self._frames)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, as the file's categories say."""
        return list(self._names.values())

    @naming_its_file
    def depth2img(self, frame: str) -> np.ndarray:
        """``(3, 3)`` or ``(4, 4)`` float64, depth frame -> pixel times depth.

        Raises:
            FormatError: The frame has none, or not that.
        """
        camera = (self._frames[frame].get("images") or {}).get(_CAMERA) or {}
        matrix = np.asarray(camera.get("depth2img", ()), dtype=np.float64)
        key = f"frame {frame}: images.{_CAMERA}.depth2img"
        if matrix.shape not in ((3, 3), (4, 4)):
            raise FormatError(self.path, f"{key} is missing or no 3 x 3 or 4 x 4 matrix")
        if not np.isfinite(matrix).all():
            raise FormatError(self.path, f"{key} is not finite")
        return matrix

    @naming_its_file
    def image_name(self, frame: str) -> str:
        """Name of the frame's image file.

        Raises:
            FormatError: There is none.
        """
        try:
            return self._frames[frame]["images"][_CAMERA]["img_path"]
        except (KeyError, TypeError):
            raise FormatError(self.path, f"frame {frame} has no images.{_CAMERA}") from None

    def has_truth(self, frame: str) -> bool:
        """Whether a frame has labels; an empty room has."""
        return self._frames[frame].get("instances") is not None

    @naming_its_file
    def objects(self, frame: str) -> RoomObjects:
        """Truth of one frame, without objects of other classes.

        Raises:
            FormatError: The frame has no ``instances``, or one of them lacks a value.
        """
        instances = self._frames[frame].get("instances")
        if instances is None:
            raise FormatError(self.path, f"frame {frame} has no instances (no ground truth)")
        names, boxes = [], []
        for index, instance in enumerate(instances):
            box, label = instance.get("bbox_3d"), instance.get("bbox_label_3d")
            if box is None or label is None or len(box) != 7:
                fault = f"frame {frame}: instance {index} has no bbox_3d of 7 numbers with a label"
                raise FormatError(self.path, fault)
            if label in self._names:
                names.append(self._names[label])
                boxes.append(box)
        values = np.array(boxes, dtype=np.float64).reshape(-1, 7)
        return RoomObjects(np.array(names, dtype=np.str_), values)


def _instances(objects: RoomObjects) -> Iterator[dict]:
    if objects.bbox is None:
        raise ValueError("info files hold 2D boxes, and these objects have none")
    for index, name in enumerate(objects.names.tolist()):
        if name not in SUNRGBD_CLASSES:
            continue
        label = SUNRGBD_CLASSES.index(name)
        yield {
            "bbox_3d": objects.boxes[index].tolist(),
            "bbox": objects.bbox[index].tolist(),
            "bbox_label_3d": label,
            "bbox_label": label,
        }
