"""Frames of a source: what `gemini-det3d view` asks of every kind of data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from gemini_det3d.apis.file_evaluation import text_files
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_lines
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import ViewFrame


@dataclass(frozen=True)
class Results:
    """One result set.

    Attributes:
        readers: Frame -> what reads its boxes. A frame that is not in it has no results.
        classes: Names of all its boxes, whichever frames are shown.
    """

    readers: Mapping[str, Callable[[], LabeledBoxes]]
    classes: Collection[str] = ()


class FrameSource(Protocol):
    """Frames of one data set.

    Attributes:
        names: Of the frames, in order.
        sets: Names of the result sets that its frames bring along.
    """

    names: Sequence[str]
    sets: Sequence[str]

    @property
    def classes(self) -> Collection[str]:
        """Names of all boxes, whichever frames are shown: a class has one colour."""
        ...

    def files(self, name: str) -> Sequence[Path]:
        """Files of a frame, which nothing may overwrite."""
        ...

    def read(self, name: str) -> ViewFrame:
        """The frame, without results of other detectors.

        Raises:
            FormatError: A file cannot be used.
        """
        ...

    def results(self, path: Path) -> Results:
        """A result set in the data set's own form.

        Raises:
            FormatError: It cannot be used.
        """
        ...


def choose_frames(
    there: Sequence[str], split: Path | None = None, names: Sequence[str] | None = None
) -> list[str]:
    """The frames asked for.

    Args:
        there: All there are, in order.
        split: File that lists frames, one a line, or None.
        names: Frames, or None. Numbers may lack their leading zeros, here and in the file.

    Raises:
        FormatError: A frame is not there, or none is left.
    """
    known = set(there)
    chosen = known
    lists = [(split, [line for _, line in read_lines(split)])] if split else []
    lists += [("--frames", list(names))] if names else []
    for place, wanted in lists:
        full = [name if name in known else name.zfill(6) for name in wanted]
        unknown = [name for name, key in zip(wanted, full) if key not in known]
        if unknown:
            raise FormatError(place, f"there is no frame {unknown[0]}")
        chosen = chosen & set(full)
    if not chosen:
        raise FormatError(split or "--frames", "leaves no frame to show")
    return [name for name in there if name in chosen]


def open_results(
    source: FrameSource, paths: Sequence[Path], frames: Sequence[str]
) -> dict[str, Results]:
    """Result sets by name.

    Args:
        source: Of the frames.
        paths: What `--results` was given.
        frames: Those that may be shown.

    Raises:
        FormatError: A set holds no result of any of the frames, or is given twice.
    """
    sets: dict[str, Results] = {}
    for name, path in zip(result_names(paths), paths):
        found = source.results(path)
        if not any(frame in found.readers for frame in frames):
            raise FormatError(path, f"has no result of any of the {len(frames)} frames")
        sets[name] = found
    return sets


def frames_with_results(frames: Sequence[str], sets: Mapping[str, Results]) -> list[str]:
    """Of the frames those that a result set has; without a set all of them."""
    found = [each.readers for each in sets.values()]
    return [name for name in frames if not found or any(name in each for each in found)]


def result_names(paths: Sequence[Path]) -> list[str]:
    """Names of result sets: their folders' or files'; where these are alike, what tells them apart.

    ``runs/a/epoch_9.pth`` and ``runs/b/epoch_9.pth`` are ``a`` and ``b``.

    Raises:
        FormatError: One is given twice.
    """
    full = [path.resolve() for path in paths]
    twice = next((path for path, each in zip(paths, full) if full.count(each) > 1), None)
    if twice is not None:
        raise FormatError(twice, "is given twice")
    ends = [path.stem if path.is_file() else path.name for path in full]
    if len(set(ends)) == len(ends):
        return ends
    columns = list(zip(*(path.parts for path in full)))
    first = next(i for i, column in enumerate(columns) if len(set(column)) > 1)
    last = 0
    while len({path.parts[-1 - last] for path in full}) == 1:
        last += 1
    return ["/".join(path.parts[first : len(path.parts) - last]) or path.name for path in full]


def read_frames(
    source: FrameSource, frames: Sequence[str], sets: Mapping[str, Results]
) -> Iterator[ViewFrame]:
    """Read what the files hold, frame after frame.

    Args:
        source: Of the frames.
        frames: Their names.
        sets: What :func:`open_results` returns; they come after results of the source's own.

    Raises:
        FormatError: A file cannot be used, or holds boxes, scores or matrices that cannot be shown.
    """
    for name in frames:
        frame = source.read(name)
        readers = [found.readers.get(name) for found in sets.values()]
        others = [None if read is None else read() for read in readers]
        frame = replace(frame, results=[*frame.results, *others])
        fault = _fault(frame)
        if fault:
            raise FormatError(f"frame {name}", fault)
        yield frame


def _fault(frame: ViewFrame) -> str | None:
    """What of it cannot be shown."""
    for found in filter(None, (frame.truth, *frame.results)):
        for what, values in (("box", found.boxes), ("score", found.scores)):
            if values is not None and not np.isfinite(values).all():
                return f"has a {what} that is not finite"
    for camera in frame.cameras:
        if camera.lidar2img is not None:
            matrix = np.asarray(camera.lidar2img, dtype=np.float64)[:3]
            if not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix[:, :3]) < 3:
                return f"has a matrix of {camera.name} that cannot be inverted"
    return None


def result_files(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Text files of a result set by frame; numbers may lack their leading zeros."""
    files = text_files(folder, "result")
    found = {name: files.get(name, files.get(name.lstrip("0") or "0")) for name in names}
    return {name: path for name, path in found.items() if path is not None}
