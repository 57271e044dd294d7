"""The official SUN RGB-D download as frames, without MATLAB.

``SUNRGBDMeta3DBB_v2.mat`` says where each frame's files lie, its matrices and its boxes;
``allsplit.mat`` which frames are for training; the optional ``SUNRGBDMeta2DBB_v2.mat`` holds the
2D boxes, which are projected from the 3D ones without it. Depth images store millimetres with
their three lowest bits turned to the top.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import decode_grey16
from gemini_det3d.formats.sunrgbd_objects import RoomObjects
from gemini_det3d.formats.sunrgbd_sensors import (
    FROM_ZERO,
    RoomCalibration,
    checked_calibration,
    load_mat,
)
from gemini_det3d.formats.text import read_bytes
from gemini_det3d.geometry.boxes import project_box_outlines

META_FILE, META_2D_FILE, SPLIT_FILE = (
    "SUNRGBDMeta3DBB_v2.mat",
    "SUNRGBDMeta2DBB_v2.mat",
    "allsplit.mat",
)
# Every path in the official files leads through a folder of this name, wherever it lay then.
_ARCHIVE = "SUNRGBD"
_MAX_DEPTH_M = 8.0


@dataclass(frozen=True)
class OfficialFrame:
    """One entry of the metadata.

    Attributes:
        number: From 1, in the order of the metadata; names the frame's files.
        split: 'train' or 'val' (the official test frames); None: in neither list.
        image: Path of the image in the archive.
        depth: Path of the depth image in the archive.
        calibration: Matrices, or the fault that makes them unusable.
        objects: Boxes, ``bbox`` only from the 2D metadata; or the fault.
    """

    number: int
    split: str | None
    image: str
    depth: str
    calibration: RoomCalibration | FormatError
    objects: RoomObjects | FormatError


class Archive:
    """Files of ``SUNRGBD/`` as a folder or still inside ``SUNRGBD.zip``.

    Args:
        root: Folder that holds either.

    Raises:
        FormatError: It holds neither.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / f"{_ARCHIVE}.zip"
        self._zip: zipfile.ZipFile | None = None
        self.is_folder = (root / _ARCHIVE).is_dir()
        if not self.is_folder and not self.path.is_file():
            raise FormatError(root, f"holds neither {_ARCHIVE}/ nor {_ARCHIVE}.zip")

    def __getstate__(self) -> dict:
        return {**vars(self), "_zip": None}  # an open file does not travel between processes

    def where(self, name: str) -> str:
        """How a file is called in messages."""
        return str(self.root / name) if self.is_folder else f"{self.path}/{name}"

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FormatError: There is no such file, or it cannot be unpacked.
        """
        if self.is_folder:
            return read_bytes(self.root / name)
        try:
            if self._zip is None:
                self._zip = zipfile.ZipFile(self.path)
            return self._zip.read(name)
        except KeyError:
            raise FormatError(self.where(name), "no such file in the archive") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise FormatError(self.where(name), f"cannot be unpacked ({error})") from error


def read_official(root: Path) -> list[OfficialFrame]:
    """All frames that the metadata describes.

    Args:
        root: Folder with the metadata; ``allsplit.mat`` may lie in ``SUNRGBDtoolbox``.

    Returns:
        The frames in order; faults of single frames are kept in them.

    Raises:
        FormatError: A metadata file is missing or of another kind.
    """
    path = root / META_FILE
    entries = _entries(path, "SUNRGBDMeta")
    split_of = _read_split(root)
    path_2d = root / META_2D_FILE
    flat: list[Any] = _entries(path_2d, "SUNRGBDMeta2DBB") if path_2d.is_file() else []
    frames = []
    for index, entry in enumerate(entries):
        place = f"entry {index + 1}"
        image, depth = (_archive_path(path, entry, key, place) for key in ("rgbpath", "depthpath"))
        # <sequence>/image/<file>: the split names sequences.
        sequence = image.rsplit("/", 2)[0]
        boxes_2d = flat[index] if index < len(flat) else None
        frames.append(
            OfficialFrame(
                number=index + 1,
                split=split_of.get(sequence),
                image=image,
                depth=depth,
                calibration=_or_fault(_calibration, path, entry, place),
                objects=_or_fault(_objects, path, entry, place, boxes_2d),
            )
        )
    return frames


def decode_depth(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Depth image -> metres.

    Args:
        data: Content of a 16-bit PNG.
        path: Its name, for the error.

    Returns:
        ``(H, W)`` float64, 0 where nothing was measured, at most 8.

    Raises:
        FormatError: It is no 16-bit grey image.
    """
    stored = decode_grey16(data, path)
    millimetres = (stored >> 3) | (stored << 13)
    return np.minimum(millimetres / 1000.0, _MAX_DEPTH_M)


def lift_depth(depth: np.ndarray, image: np.ndarray, calibration: RoomCalibration) -> np.ndarray:
    """Coloured points of all pixels that have a depth.

    Args:
        depth: ``(H, W)`` metres, 0 where nothing was measured.
        image: ``(H, W, 3)`` uint8 RGB.
        calibration: The camera's; pixels count from 1.

    Returns:
        ``(N, 6)`` float32 x, y, z (depth frame) and RGB (0 to 1), row of pixels by row.
    """
    v, u = np.nonzero(depth > 0)
    pixels = np.column_stack([u + 1.0, v + 1.0, np.ones(len(u))]) * depth[v, u][:, None]
    xyz = pixels @ np.linalg.inv(calibration.depth2img).T
    return np.column_stack([xyz, image[v, u] / 255.0]).astype(np.float32)


def with_outlines(
    objects: RoomObjects, calibration: RoomCalibration, size: tuple[int, int]
) -> RoomObjects:
    """The same objects with 2D boxes (pixels from 1), projected where the metadata had none.

    Args:
        objects: Boxes of one frame.
        calibration: Its matrices.
        size: ``(width, height)`` of its image.
    """
    if objects.bbox is not None:
        return objects
    projection = np.column_stack([FROM_ZERO @ calibration.depth2img, np.zeros(3)])
    outlines = project_box_outlines(objects.bottom_boxes, projection, size)
    return RoomObjects(objects.names, objects.boxes, bbox=outlines + 1)


def _read_split(root: Path) -> dict[str, str]:
    """Sequence in the archive -> split."""
    places = (root, root / "SUNRGBDtoolbox" / "traintestSUNRGBD", root / "traintestSUNRGBD")
    found = [folder / SPLIT_FILE for folder in places if (folder / SPLIT_FILE).is_file()]
    if not found:
        fault = f"no such file, nor in {places[1].relative_to(root)}"
        raise FormatError(root / SPLIT_FILE, fault)
    content = load_mat(found[0])
    splits: dict[str, str] = {}
    for key, split in (("alltrain", "train"), ("alltest", "val")):
        if key not in content:
            raise FormatError(found[0], f"has no variable {key!r}")
        for cell in np.ravel(content[key]):
            splits[_inside(found[0], _text(cell), key).rstrip("/")] = split
    return splits


def _entries(path: Path, variable: str) -> list[Any]:
    content = load_mat(path)
    if variable not in content:
        names = ", ".join(sorted(n for n in content if not n.startswith("__"))) or "none"
        raise FormatError(path, f"has no variable {variable!r} (it has: {names})")
    return list(np.ravel(content[variable]))


def _archive_path(path: Path, entry: Any, key: str, place: str) -> str:
    return _inside(path, _text(_field(path, entry, key, place)), f"{place}: {key}")


def _inside(path: Path, text: str, place: str) -> str:
    """The part of a path from the archive's folder on."""
    parts = text.replace("\\", "/").split("/")
    if _ARCHIVE not in parts or ".." in parts:
        raise FormatError(path, f"{place} {text!r} does not lead into {_ARCHIVE}/")
    return "/".join(parts[parts.index(_ARCHIVE) :])


def _calibration(path: Path, entry: Any, place: str) -> RoomCalibration:
    tilt, intrinsics = (_numbers(path, entry, key, place, (3, 3)) for key in ("Rtilt", "K"))
    return checked_calibration(f"{path} ({place})", tilt, intrinsics)


def _objects(path: Path, entry: Any, place: str, entry_2d: Any) -> RoomObjects:
    names, boxes = [], []
    for index, box in enumerate(np.ravel(_field(path, entry, "groundtruth3DBB", place))):
        where = f"{place}, box {index + 1}"
        center = _numbers(path, box, "centroid", where, (3,))
        half_y, half_x, half_z = np.abs(_numbers(path, box, "coeffs", where, (3,)))
        facing = _numbers(path, box, "orientation", where, (3,))
        names.append(_text(_field(path, box, "classname", where)).replace(" ", "_"))
        yaw = np.arctan2(facing[1], facing[0])
        boxes.append([*center, 2 * half_x, 2 * half_y, 2 * half_z, yaw])
    bbox = None
    if entry_2d is not None:
        flat = np.ravel(_field(path, entry_2d, "groundtruth2DBB", f"{place} of the 2D boxes"))
        if len(flat) == len(names):  # else the two lists do not belong together
            rows = [_numbers(path, b, "gtBb2D", place, (4,)) for b in flat]
            corner = np.array(rows).reshape(-1, 4)
            bbox = np.column_stack([corner[:, :2], corner[:, :2] + corner[:, 2:]])
    return RoomObjects(np.array(names, dtype=np.str_), np.array(boxes).reshape(-1, 7), bbox=bbox)


def _or_fault(read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except FormatError as error:
        return error


def _field(path: Path, struct: Any, key: str, place: str) -> Any:
    if not hasattr(struct, key):
        raise FormatError(path, f"{place} has no field {key!r}")
    return getattr(struct, key)


def _numbers(path: Path, struct: Any, key: str, place: str, shape: tuple[int, ...]) -> np.ndarray:
    value = np.asarray(_field(path, struct, key, place))
    if value.dtype.kind not in "fiu" or value.size != np.prod(shape):
        raise FormatError(path, f"{place}: {key} is {value.dtype} {value.shape}, expected {shape}")
    if not np.isfinite(value).all():
        raise FormatError(path, f"{place}: {key} holds values that are not finite")
    return value.astype(np.float64).reshape(shape)


def _text(value: Any) -> str:
    """MATLAB's text, in however many arrays it is wrapped."""
    while isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.size == 1:
        value = value.reshape(-1)[0]
    flat = np.ravel(value)
    return str(flat[0]) if flat.size else ""
