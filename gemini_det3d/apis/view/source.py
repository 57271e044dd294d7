"""Frames of a source: what `gemini-det3d view` asks of every kind of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gemini_det3d.apis.file_evaluation import text_files
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_lines
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import ViewFrame

Results = Mapping[str, Callable[[], LabeledBoxes]]
"""Of one result set: frame -> what reads its boxes. A frame that is not in it has no results."""


class FrameSource(Protocol):
    """Frames of one data set.

    Attributes:
        names: Of the frames, in order.
    """

    names: Sequence[str]

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
    source: FrameSource, split: Path | None = None, names: Sequence[str] | None = None
) -> list[str]:
    """The frames asked for.

    Args:
        source: All there are.
        split: File that lists frames, one a line, or None.
        names: Frames, or None. Numbers may lack their leading zeros, here and in the file.

    Raises:
        FormatError: A frame is not there, or none is left.
    """
    known = set(source.names)
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
    return [name for name in source.names if name in chosen]


def open_results(
    source: FrameSource, paths: Sequence[Path], frames: Sequence[str]
) -> dict[str, Results]:
    """Result sets by name: their folder's or file's, the path where two are alike.

    Args:
        source: Of the frames.
        paths: What `--results` was given.
        frames: The frames shown.

    Raises:
        FormatError: A set holds no result of any of the frames, or is given twice.
    """
    sets: dict[str, Results] = {}
    ends = [path.resolve().stem if path.is_file() else path.resolve().name for path in paths]
    for path, end in zip(paths, ends):
        found = source.results(path)
        if not any(name in found for name in frames):
            raise FormatError(path, f"has no result of the {len(frames)} frames to show")
        name = end if ends.count(end) == 1 else str(path)
        if name in sets:
            raise FormatError(path, "is given twice")
        sets[name] = found
    return sets


def read_frames(
    source: FrameSource, frames: Sequence[str], sets: Mapping[str, Results]
) -> Iterator[ViewFrame]:
    """Read what the files hold, frame after frame.

    Args:
        source: Of the frames.
        frames: Their names.
        sets: What :func:`open_results` returns; they come after results of the source's own.

    Raises:
        FormatError: A file cannot be used.
    """
    for name in frames:
        frame = source.read(name)
        others = [of[name]() if name in of else None for of in sets.values()]
        yield replace(frame, results=[*frame.results, *others])


def result_files(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Text files of a result set by frame; numbers may lack their leading zeros."""
    files = text_files(folder, "result")
    found = {name: files.get(name, files.get(name.lstrip("0") or "0")) for name in names}
    return {name: path for name, path in found.items() if path is not None}
