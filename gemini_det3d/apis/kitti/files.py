"""Where the files of a frame lie in a KITTI tree, however their suffixes are spelt.

mmdet3d's converter knows files of six digits and one suffix in each folder. What is named otherwise
is shown to it under such a name (`stage`), and named in the info files as in the tree.
"""

from __future__ import annotations

from pathlib import Path

from gemini_det3d.formats.stems import IMAGE_SUFFIXES, spellings

FILES = {"calib": ".txt", "image_2": ".png", "velodyne": ".bin", "label_2": ".txt"}
"""Folders of a part, and the suffix that the converter reads there."""
_SUFFIXES = {folder: (suffix,) for folder, suffix in FILES.items()} | {"image_2": IMAGE_SUFFIXES}


def frame_files(root: Path, part: str, frame: str, folder: str) -> list[Path]:
    """The files of a frame in one folder; there should be one."""
    return spellings(root / part / folder, frame, _SUFFIXES[folder])


def frame_file(root: Path, part: str, frame: str, folder: str) -> Path:
    """The file of a frame in one folder, whether it exists or not."""
    usual = root / part / folder / (frame + FILES[folder])
    if usual.is_file():
        return usual
    return next(iter(frame_files(root, part, frame, folder)), usual)


def converter_name(frame: str, folder: str) -> str:
    """What the converter calls a frame's file."""
    return f"{int(frame):06d}{FILES[folder]}"
