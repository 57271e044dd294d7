"""The frames that files or folders make, and the files of a result, for `gemini-det3d infer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemini_det3d.formats import clouds
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    Calibration,
    from_lidar_boxes,
    write_objects,
)
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, files_by_stem, find_file, stem_of
from gemini_det3d.formats.text import write_json
from gemini_det3d.visualization import LabeledBoxes, draw_detection_panel, save_png

_SUFFIXES = {
    "image": IMAGE_SUFFIXES,
    "points": clouds.SUFFIXES,
    "calib": (".txt", ".json"),
    "label": (".txt",),
}


@dataclass(frozen=True)
class Frame:
    """Files of one frame.

    Attributes:
        name: Stem of the results.
        image: Image file.
        points: Point file.
        calib: Calibration file.
        label: KITTI label file to draw beside the detections, or None.
    """

    name: str
    image: Path
    points: Path
    calib: Path
    label: Path | None = None


def find_frames(image: Path, points: Path, calib: Path, label: Path | None = None) -> list[Frame]:
    """Put together the files of each frame.

    Args:
        image: Image file, or a folder of them.
        points: Point file, or a folder.
        calib: Calibration file (for all frames), or a folder.
        label: Label file, a folder, or None.

    Returns:
        The frames, sorted by name. In folders the images decide which there are.

    Raises:
        FormatError: A path does not exist, a folder holds no image or lacks the file of a frame,
            or a single file of points or labels stands against a folder of images.
    """
    if not image.exists():
        raise FormatError(image, "no such file or folder")
    images = [image]
    if image.is_dir():
        images = list(files_by_stem(image).values())
        if not images:
            raise FormatError(image, f"holds no image ({', '.join(_SUFFIXES['image'])})")
        for path in (points, label):
            if path is not None and path.is_file():
                raise FormatError(path, f"is one file for the {len(images)} images of {image}")
    return [
        Frame(
            stem,
            path,
            _partner(points, stem, "points"),
            _partner(calib, stem, "calib"),
            None if label is None else _partner(label, stem, "label"),
        )
        for stem, path in ((stem_of(path), path) for path in images)
    ]


def write_results(
    out: Path,
    frame: Frame,
    detections: LabeledBoxes,
    calibration: Calibration,
    image: np.ndarray,
    points: np.ndarray,
    truth: LabeledBoxes | None = None,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Write ``NAME.txt``, ``NAME.json`` and ``NAME.png``.

    Args:
        out: Folder; made when there is none.
        frame: The frame's name and files.
        detections: Boxes in the LiDAR frame.
        calibration: Calibration of the frame.
        image: ``(H, W, 3)`` uint8 RGB.
        points: ``(N, 4)`` points to draw.
        truth: Labelled boxes to draw, or None.
        colors: Of the model's classes; None: of those that were found.
    """
    size = (image.shape[1], image.shape[0])
    objects = from_lidar_boxes(
        detections.boxes, detections.names, detections.scores, calibration, size
    )
    write_objects(out / f"{frame.name}.txt", objects)
    data = {
        "frame": frame.name,
        "image": str(frame.image),
        "points": str(frame.points),
        "calibration": str(frame.calib),
        "units": "metres, radians, pixels; LiDAR frame: x front, y left, z up",
        "detections": [
            {
                "name": name,
                "score": round(float(score), 6),
                "center_bottom": np.round(box[:3], 4).tolist(),
                "length_width_height": np.round(box[3:6], 4).tolist(),
                "yaw": round(float(box[6]), 4),
                "bbox_2d": np.round(bbox, 2).tolist(),
            }
            for name, score, box, bbox in zip(
                detections.names, objects.score, detections.boxes, objects.bbox
            )
        ],
    }
    write_json(out / f"{frame.name}.json", data)
    matrix = calibration.lidar2img
    picture = draw_detection_panel(image, points, matrix, detections, truth, colors=colors)
    save_png(out / f"{frame.name}.png", picture)


def _partner(path: Path, stem: str, kind: str) -> Path:
    """The file of a frame: the path itself, or its file of that stem in the folder."""
    if not path.is_dir():
        if not path.exists():
            raise FormatError(path, "no such file or folder")
        return path
    found = find_file(path, stem, _SUFFIXES[kind])
    if found is None:
        expected = path / (stem + _SUFFIXES[kind][0])
        raise FormatError(expected, "no such file, but an image of that name")
    return found
