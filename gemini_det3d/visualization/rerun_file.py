"""The frames of `view` as a recording for the rerun viewer (rerun.io), an optional extra."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.files import UNFINISHED, make_folder
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.page import ViewFrame
from gemini_det3d.visualization.page.frame import Camera
from gemini_det3d.visualization.palette import TRUTH_COLOR, class_colors

_JPEG_QUALITY = 82
_RADIUS_M = 0.03


def import_rerun() -> Any:
    """The package ``rerun``.

    Raises:
        ImportError: It is not installed; the message names the extra.
    """
    try:
        import rerun
    except ImportError:
        raise ImportError("--rrd needs rerun-sdk: pip install 'gemini_det3d[rerun]'") from None
    return rerun


def record_frames(
    frames: Iterable[ViewFrame],
    path: str | os.PathLike,
    sets: Sequence[str],
    title: str,
    colors: Mapping[str, str] | None = None,
) -> Iterator[ViewFrame]:
    """Write frames as they pass by; the file is there when the last one has.

    Args:
        frames: What to write. A frame is a step of the sequence ``frame``.
        path: The ``.rrd`` file.
        sets: Names of the result sets.
        title: Of the recording.
        colors: Of a model's classes, as of :func:`class_colors`; other names take what they leave,
            in the order of their frames.

    Yields:
        The same frames.

    Raises:
        ImportError: rerun is not installed.
    """
    rerun, target = import_rerun(), Path(os.path.realpath(path))
    unfinished = target.with_name(target.name + UNFINISHED)
    make_folder(target.parent)
    recording = rerun.RecordingStream(title)
    recording.save(str(unfinished))
    colors = dict(colors or {})
    try:
        recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for number, frame in enumerate(frames):
            recording.set_time("frame", sequence=number)
            names = [name for found in frame.results if found for name in found.names]
            colors |= class_colors(names, colors)
            _log_frame(rerun, recording, frame, sets, colors)
            yield frame
        recording.flush()
        recording.disconnect()  # closes the file
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _log_frame(
    rerun: Any, recording: Any, frame: ViewFrame, sets: Sequence[str], colors: Mapping[str, str]
) -> None:
    recording.log("name", rerun.TextLog(frame.name))
    recording.log("world/points", rerun.Points3D(frame.points[:, :3], radii=_RADIUS_M))
    white = dict.fromkeys(frame.truth.names if frame.truth else (), TRUTH_COLOR)
    recording.log("world/truth", _boxes(rerun, frame.truth, white))
    for place, found in enumerate(frame.results):
        # names of users may hold anything: a list of parts is escaped
        recording.log(["world", f"{place + 1} {sets[place]}"], _boxes(rerun, found, colors))
    for place, camera in enumerate(frame.cameras):
        _log_camera(rerun, recording, camera, f"{place} {camera.name}")


def _boxes(rerun: Any, boxes: LabeledBoxes | None, colors: Mapping[str, str]) -> Any:
    if boxes is None or not len(boxes):
        return rerun.Clear(recursive=False)  # else those of the frame before would stay
    x, y, z, length, width, height, yaw = np.asarray(boxes.boxes, dtype=np.float64)[:, :7].T
    scores = [""] * len(boxes) if boxes.scores is None else [f" {s:.2f}" for s in boxes.scores]
    none = np.zeros_like(yaw)
    return rerun.Boxes3D(
        centers=np.column_stack([x, y, z + height / 2]),
        half_sizes=np.column_stack([length, width, height]) / 2,
        quaternions=np.column_stack([none, none, np.sin(yaw / 2), np.cos(yaw / 2)]),
        labels=[name + score for name, score in zip(boxes.names, scores)],
        colors=[_rgb(colors[name]) for name in boxes.names],
    )


def _log_camera(rerun: Any, recording: Any, camera: Camera, name: str) -> None:
    image = rerun.Image(np.ascontiguousarray(camera.image)).compress(jpeg_quality=_JPEG_QUALITY)
    if camera.lidar2img is None:
        recording.log(["images", name], image)
        return
    intrinsic, rotation, translation = decompose(camera.lidar2img)
    height, width = camera.image.shape[:2]
    pose = rerun.Transform3D(
        mat3x3=rotation, translation=translation, relation=rerun.TransformRelation.ChildFromParent
    )
    recording.log(["world", name], pose)
    pinhole = rerun.Pinhole(image_from_camera=intrinsic, resolution=[width, height])
    recording.log(["world", name, "image"], pinhole)
    recording.log(["world", name, "image"], image)


def decompose(lidar2img: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A projection as what a pinhole camera and its place are.

    Args:
        lidar2img: ``(3, 4)`` or ``(4, 4)`` points to pixels times depth.

    Returns:
        ``(3, 3)`` intrinsic matrix, ``(3, 3)`` rotation and ``(3,)`` translation from the points'
        frame to the camera's; their product is the projection again.
    """
    matrix = np.asarray(lidar2img, dtype=np.float64)[:3]
    # RQ: the QR decomposition of the rows in reverse
    lower, upper = np.linalg.qr(matrix[::-1, :3].T)
    intrinsic, rotation = upper.T[::-1, ::-1], lower.T[::-1]
    signs = np.sign(np.diag(intrinsic))
    intrinsic, rotation = intrinsic * signs, signs[:, None] * rotation
    translation = np.linalg.solve(intrinsic, matrix[:, 3])
    return intrinsic / intrinsic[2, 2], rotation, translation


def _rgb(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]
