"""mmdet3d's KITTI info files (v2 pickles) -> calibrations and objects.

An info file holds ``metainfo`` with the categories and ``data_list`` with one dict a frame. It
keeps all of KITTI's labels, ``DontCare`` regions included, whose label is -1 like that of every
class that mmdet3d does not know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.errors import FormatError, naming_its_file
from gemini_det3d.formats.infos import parse_infos, preferred_infos
from gemini_det3d.formats.kitti_calibration import Calibration
from gemini_det3d.formats.kitti_objects import Objects
from gemini_det3d.formats.text import read_bytes

_NO_CLASS = -1
_KEYS = ("bbox_label", "truncated", "occluded", "alpha", "bbox", "bbox_3d")


class KittiInfos:
    """The frames of an info file; each is checked when it is asked for.

    Args:
        data: Content of the file.
        path: Its name, for errors.

    Raises:
        FormatError: It is no v2 info file, or describes a frame in two ways.
    """

    @naming_its_file
    def __init__(self, data: bytes, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        content = parse_infos(data, path)
        if not isinstance(content, dict) or not {"metainfo", "data_list"} <= set(content):
            fault = "is no info file of mmdet3d 1.x (a dict with metainfo and data_list)"
            raise FormatError(path, fault)
        categories = content["metainfo"].get("categories")
        if not isinstance(categories, dict):
            raise FormatError(path, "metainfo has no categories")
        self._names: dict[int, list[str]] = {}
        for name, label in categories.items():
            self._names.setdefault(label, []).append(name)
        self._frames: dict[int | str, dict] = {}
        for position, frame in enumerate(content["data_list"]):
            if "sample_idx" not in frame:
                raise FormatError(path, f"entry {position} of data_list has no sample_idx")
            known = self._frames.setdefault(frame["sample_idx"], frame)
            if known is not frame and repr(known) != repr(frame):  # a split list may repeat one
                raise FormatError(path, f"frame {frame['sample_idx']} is given twice, differently")

        self._order = [frame["sample_idx"] for frame in content["data_list"]]
        self._file_names = {i: _name_of_files(frame) for i, frame in self._frames.items()}
        if len(set(self._file_names.values())) < len(self._frames):  # do not tell frames apart
            self._file_names = {i: frame_name(i) for i in self._frames}
        self._by_name = _alone({i: _stems(frame) for i, frame in self._frames.items()})
        self._by_name |= {frame_name(i): i for i in self._frames}
        self._by_name |= {name: i for i, name in self._file_names.items()}

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    @property
    def frames(self) -> tuple[int | str, ...]:
        """The frames' ``sample_idx``, in the file's order."""
        return tuple(self._frames)

    def frame_at(self, position: int) -> int | str:
        """The frame at a position of ``data_list``, which counts repetitions.

        Raises:
            FormatError: There are fewer frames.
        """
        if not 0 <= position < len(self._order):
            raise FormatError(self.path, f"has {len(self._order)} frames, none at {position}")
        return self._order[position]

    def name_of(self, frame: int | str) -> str:
        """The name of a frame's files, such as ``000007``."""
        return self._file_names[frame]

    def paths(self) -> list[Path]:
        """Of the frames' images, or clouds, as far as the file names them."""
        return [Path(path) for path in map(_path_of, self._frames.values()) if path]

    def frame_named(self, name: str) -> int | str:
        """The frame whose files have this name, such as ``000007``.

        Args:
            name: Of `name_of`, or of any of its cameras' images or its cloud where no other frame
                has one of that name.

        Raises:
            FormatError: There is none.
        """
        if name not in self._by_name:
            raise FormatError(self.path, f"has no frame {name}")
        return self._by_name[name]

    @naming_its_file
    def calibration(self, frame: int | str, camera: str = "CAM2") -> Calibration:
        """Matrices of one frame; the rectification is part of the LiDAR's pose.

        Args:
            frame: Its ``sample_idx``.
            camera: Key under ``images``.

        Raises:
            FormatError: The frame or a matrix is missing, or has another shape.
        """
        matrices = []
        for key in ("cam2img", "lidar2cam"):
            matrix = np.asarray(self._of_camera(frame, camera, key), dtype=np.float64)
            if matrix.shape not in ((3, 4), (4, 4)):
                fault = f"images.{camera}.{key} has shape {matrix.shape}, expected (4, 4)"
                raise FormatError(self.path, f"frame {frame}: {fault}")
            matrices.append(matrix[:3])
        return Calibration(p2=matrices[0], r0_rect=np.eye(3), tr_velo_to_cam=matrices[1])

    @naming_its_file
    def image_size(self, frame: int | str, camera: str = "CAM2") -> tuple[int, int]:
        """Width and height of a frame's image in pixels.

        Raises:
            FormatError: The frame or its size is missing.
        """
        width, height = (self._of_camera(frame, camera, key) for key in ("width", "height"))
        return int(width), int(height)

    @naming_its_file
    def objects(self, frame: int | str) -> Objects:
        """Ground truth of one frame, ``DontCare`` regions included.

        Raises:
            FormatError: The frame has no instances, or one lacks a value.
        """
        instances = self._frame(frame).get("instances")
        if instances is None:
            raise FormatError(self.path, f"frame {frame} has no instances (no ground truth)")
        columns = {key: np.array([self._value(frame, i, key) for i in instances]) for key in _KEYS}
        boxes = columns["bbox_3d"].astype(np.float64).reshape(-1, 7)
        length, height, width = boxes[:, 3:6].T
        names = [self._name(frame, *pair) for pair in zip(columns["bbox_label"].tolist(), boxes)]
        return Objects(
            name=np.array(names, dtype=np.str_),
            truncated=columns["truncated"],
            occluded=columns["occluded"],
            alpha=columns["alpha"],
            bbox=columns["bbox"].reshape(-1, 4),
            dimensions=np.column_stack([height, width, length]),
            location=boxes[:, :3],
            rotation_y=boxes[:, 6],
        )

    def _frame(self, frame: int | str) -> dict:
        if frame not in self._frames:
            raise FormatError(self.path, f"has no frame {frame}")
        return self._frames[frame]

    def _of_camera(self, frame: int | str, camera: str, key: str) -> Any:
        images = self._frame(frame).get("images") or {}
        value = (images.get(camera) or {}).get(key)
        if value is None:
            raise FormatError(self.path, f"frame {frame} has no images.{camera}.{key}")
        return value

    def _value(self, frame: int | str, instance: dict, key: str) -> Any:
        if instance.get(key) is None:
            raise FormatError(self.path, f"frame {frame}: an instance has no {key}")
        return instance[key]

    def _name(self, frame: int | str, label: int, box: np.ndarray) -> str:
        """Class name of a label; the label -1 is shared by all classes unknown to mmdet3d."""
        names = self._names.get(label, [])
        if label == _NO_CLASS:
            if min(box[3:6]) <= 0:
                return "DontCare"
            names = [name for name in names if name != "DontCare"]
            return names[0] if len(names) == 1 else "Unknown"
        if not names:
            fault = f"frame {frame}: label {label} is not among the categories of metainfo"
            raise FormatError(self.path, fault)
        return names[0]


def _name_of_files(frame: dict) -> str:
    """The stem of a frame's image, else of its cloud, else what its ``sample_idx`` says."""
    path = _path_of(frame)
    return Path(path).stem if path else frame_name(frame["sample_idx"])


def _path_of(frame: dict) -> str | None:
    """Of a frame's image, else of its cloud."""
    camera = (frame.get("images") or {}).get("CAM2") or {}
    return camera.get("img_path") or (frame.get("lidar_points") or {}).get("lidar_path")


def _stems(frame: dict) -> set[str]:
    """Of all images of a frame, and of its cloud."""
    cameras = (frame.get("images") or {}).values()  # KITTI's R0_rect, a matrix, is among them
    images = [each.get("img_path") for each in cameras if isinstance(each, dict)]
    cloud = (frame.get("lidar_points") or {}).get("lidar_path")
    return {Path(path).stem for path in (*images, cloud) if path}


def _alone(stems: dict[int | str, set[str]]) -> dict[str, int | str]:
    """Names that one frame has, to that frame."""
    frames: dict[str, list[int | str]] = {}
    for frame, names in stems.items():
        for name in names:
            frames.setdefault(name, []).append(frame)
    return {name: of[0] for name, of in frames.items() if len(of) == 1}


def frame_name(frame: int | str) -> str:
    """KITTI's own name of a frame's files, six digits where ``sample_idx`` is a number."""
    return frame if isinstance(frame, str) else f"{int(frame):06d}"


def read_infos(path: str | os.PathLike) -> KittiInfos:
    """Read an info file without running anything that it might hold.

    Args:
        path: The pickle, as mmdet3d's converter writes it, or its JSON twin.

    Raises:
        FormatError: See :class:`KittiInfos`.
    """
    path = preferred_infos(path)
    return KittiInfos(read_bytes(path), path)
