"""Which frames a data set has, and in which order, as two short marks for a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 4096  # frames that are looked at, evenly spread: reading the infos of more takes seconds
_NAMES = ("sample_idx", "sample_name", "stem", "token")
# Long, and nothing of them tells one frame from another.
_SKIPPED = ("instances", "cam_instances", "ann_info", "eval_ann_info", "lidar_sweeps",
            "image_sweeps")  # fmt: skip
_FOLDERS = 3  # last parts of a path: a set may move


def frame_marks(dataset: Any) -> dict[str, str]:
    """Marks of a data set's frames, from their files' names; content is not looked at.

    Args:
        dataset: With mmengine's ``get_data_info``.

    Returns:
        ``order`` and, the same in any order, ``frames``; empty where frames have no names.
    """
    read = getattr(dataset, "get_data_info", None)
    if read is None or not len(dataset):
        return {}
    step = -(-len(dataset) // _MOST)
    names = ["|".join(_names(read(index))) for index in range(0, len(dataset), step)]
    if not any(names):
        return {}
    return {"order": _digest(names), "frames": _digest(sorted(names))}


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """What has become of the frames, in words; None where nothing has, or it is not known."""
    if not before or not now or before == now:
        return None
    if before.get("frames") == now.get("frames"):
        return "its data set has the same frames in another order"
    return "its data set has other frames"


def _names(info: Any) -> Iterator[str]:
    """Names in the nested infos of a frame."""
    for key, value in info.items() if isinstance(info, Mapping) else ():
        if key in _SKIPPED:
            continue
        is_path = str(key).endswith("path") or str(key).endswith("paths")
        if is_path and isinstance(value, (list, tuple)):
            yield from (_tail(each) for each in value)
        elif is_path and isinstance(value, Mapping):
            yield from (_tail(each) for each in value.values())
        elif is_path:
            yield _tail(value)
        elif key in _NAMES:
            yield str(value)
        else:
            yield from _names(value)


def _tail(path: Any) -> str:
    return "/".join(str(path).replace("\\", "/").split("/")[-_FOLDERS:])


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
