"""Which frames a data set has, and in which order, as two short marks for a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 4096  # frames that are looked at, evenly spread: reading the infos of more takes seconds
_NAMES = ("sample_name", "stem", "token")  # `sample_idx` is mmengine's: the place in the data set
# Long, and nothing of them tells one frame from another.
_SKIPPED = ("instances", "cam_instances", "ann_info", "eval_ann_info", "lidar_sweeps",
            "image_sweeps")  # fmt: skip


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
    frames = [list(_names(read(index))) for index in range(0, len(dataset), step)]
    if not any(frames):
        return {}
    shared = _shared_folders([name for frame in frames for name in frame if len(name) > 1])
    names = ["|".join("/".join(n[shared if len(n) > 1 else 0 :]) for n in f) for f in frames]
    return {"order": _digest(names), "frames": _digest(sorted(names))}


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """What has become of the frames, in words; None where nothing has, or it is not known."""
    if not before or not now or before == now:
        return None
    if before.get("frames") == now.get("frames"):
        return "its data set has the same frames in another order"
    return "its data set has other frames"


def _names(info: Any) -> Iterator[list[str]]:
    """Names in the nested infos of a frame, folders apart."""
    for key, value in info.items() if isinstance(info, Mapping) else ():
        if key in _SKIPPED:
            continue
        if str(key).endswith(("path", "paths")):
            several = list(value.values()) if isinstance(value, Mapping) else value
            paths = several if isinstance(several, (list, tuple)) else [value]
            yield from (str(path).replace("\\", "/").split("/") for path in paths)
        elif key in _NAMES:
            yield [str(value)]
        else:
            yield from _names(value)


def _shared_folders(paths: list[list[str]]) -> int:
    """How many folders all paths begin with: a set may lie elsewhere."""
    if not paths:
        return 0
    first, last = min(paths), max(paths)
    most = min(len(first), len(last)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
