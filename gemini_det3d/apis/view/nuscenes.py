"""nuScenes: mmdet3d's info file, whose clouds and six images lie beside it or in `samples`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.apis.view.source import Results
from gemini_det3d.formats.errors import FormatError, naming_its_file
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.infos import load_infos
from gemini_det3d.formats.kitti import read_points
from gemini_det3d.formats.text import read_json
from gemini_det3d.geometry.matrices import as_4x4
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import Camera, ViewFrame

_COLUMNS = 5
_NEED = f"this layout needs {_COLUMNS}"
_LIDAR = "LIDAR_TOP"
# The order in which six images make two rows: the front ones above.
_FRONT = "CAM_FRONT"
_ORDER = ("CAM_FRONT_LEFT", _FRONT, "CAM_FRONT_RIGHT",
          "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")  # fmt: skip


class NuScenesFrames:
    """Samples in the LiDAR's frame (x right, y front, z up).

    Args:
        path: The info file (pickle or JSON twin); nothing in it is run.

    Raises:
        FormatError: It is no info file of nuScenes.
    """

    sets: Sequence[str] = ()

    @naming_its_file
    def __init__(self, path: Path) -> None:
        self.path = str(path)
        content = load_infos(path)
        categories = content["metainfo"]["categories"]
        self._classes = {label: name for name, label in categories.items()}
        frames = content["data_list"]
        self._frames = {str(frame.get("token", frame["sample_idx"])): frame for frame in frames}
        self.names = list(self._frames)

    @property
    def classes(self) -> list[str]:
        """Those of the info file."""
        return list(self._classes.values())

    @naming_its_file
    def files(self, name: str) -> list[Path]:
        """The info file, the cloud and the images."""
        frame = self._frames[name]
        cloud = self._find(frame["lidar_points"]["lidar_path"], _LIDAR)
        images = (self._find(frame["images"][c]["img_path"], c) for c in self._cameras(frame))
        return [Path(self.path), cloud, *images]

    @naming_its_file
    def read(self, name: str) -> ViewFrame:
        """The sample with those of its cameras that the file has."""
        frame = self._frames[name]
        _, cloud, *images = self.files(name)
        names = self._cameras(frame)
        cameras = [
            Camera(read_image(image), _projection(frame["images"][camera]), camera)
            for camera, image in zip(names, images)
        ]
        front = names.index(_FRONT) if _FRONT in names else 0
        points = read_points(cloud, _COLUMNS, _NEED)
        return ViewFrame(name, points, cameras, self._truth(frame), front=front)

    def results(self, path: Path) -> Results:
        """A submission (`results_nusc.json`), its boxes brought from the world into the LiDAR's."""
        content = read_json(path)
        found = content.get("results") if isinstance(content, dict) else None
        if not isinstance(found, dict):
            raise FormatError(path, "is no nuScenes submission (an object with `results`)")
        chosen = {name: rows for name, rows in found.items() if name in self._frames}
        readers = {name: partial(self._found, path, name, rows) for name, rows in chosen.items()}
        return Results(readers, _class_names(chosen.values()))

    def _cameras(self, frame: dict) -> list[str]:
        there = frame.get("images") or {}
        return [c for c in (*_ORDER, *sorted(set(there) - set(_ORDER))) if c in there]

    def _truth(self, frame: dict) -> LabeledBoxes | None:
        instances = frame.get("instances")
        if instances is None:
            return None
        kept = [each for each in instances if each["bbox_label_3d"] in self._classes]
        boxes = np.array([each["bbox_3d"][:7] for each in kept], dtype=np.float64).reshape(-1, 7)
        boxes[:, 2] -= boxes[:, 5] / 2  # the file has their middles
        return LabeledBoxes(boxes, [self._classes[each["bbox_label_3d"]] for each in kept])

    def _found(self, path: Path, name: str, rows: list[dict]) -> LabeledBoxes:
        frame = self._frames[name]
        try:
            lidar2ego, ego2global = (
                np.asarray(matrix, dtype=np.float64)
                for matrix in (frame["lidar_points"]["lidar2ego"], frame["ego2global"])
            )
            to_lidar = np.linalg.inv(ego2global @ lidar2ego)
            boxes = [_to_lidar(row, to_lidar) for row in rows]
            names = [row["detection_name"] for row in rows]
            scores = [float(row["detection_score"]) for row in rows]
        except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
            fault = (
                f"sample {name} has another form than expected ({type(error).__name__}: {error})"
            )
            raise FormatError(path, fault) from error
        return LabeledBoxes(np.array(boxes).reshape(-1, 7), names, np.array(scores))

    def _find(self, file: str, sensor: str) -> Path:
        folder = Path(self.path).parent
        places = [folder / file, folder / "samples" / sensor / Path(file).name]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise FormatError(self.path, f"{file} lies neither beside it nor in samples/{sensor}")
        return found


def _class_names(samples: Iterable[Any]) -> set[str]:
    """Classes of a submission; rows of another form are told when their sample is shown."""
    listed = (row for rows in samples if isinstance(rows, list) for row in rows)
    names = (row.get("detection_name") for row in listed if isinstance(row, dict))
    return {name for name in names if isinstance(name, str)}


def _projection(camera: dict) -> np.ndarray:
    """``(3, 4)`` LiDAR -> pixels."""
    return (as_4x4(camera["cam2img"]) @ as_4x4(camera["lidar2cam"]))[:3]


def _to_lidar(row: dict, to_lidar: np.ndarray) -> np.ndarray:
    """``(7,)`` of a submission's box: centre, width, length, height and quaternion in the world."""
    w, x, y, z = (float(value) for value in row["rotation"])
    ahead = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    facing = to_lidar[:3, :3] @ ahead
    width, length, height = (float(value) for value in row["size"])
    center = to_lidar @ [*(float(value) for value in row["translation"]), 1.0]
    yaw = np.arctan2(facing[1], facing[0])
    return np.array([*center[:2], center[2] - height / 2, length, width, height, yaw])
