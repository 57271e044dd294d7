"""What evaluations of result files have in common, whatever was evaluated."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gemini_det3d.apis.config import close_names
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder
from gemini_det3d.formats.stems import files_by_stem
from gemini_det3d.formats.text import read_lines, without_nan, write_text


def angle_doubts(kind: str, name: str, angles: Sequence[np.ndarray]) -> list[str]:
    """Whole turns and more: angles in degrees, which give low figures and no error.

    Args:
        kind: What the boxes are, for the message.
        name: What the files call the angle.
        angles: Of each frame, radians.
    """
    sizes = np.abs(np.concatenate([np.zeros(0), *angles]))
    count = int((sizes > 2 * np.pi).sum())
    if not count:
        return []
    fault = f"{count} of {len(sizes)} {kind} have a {name} beyond 2 pi (up to {sizes.max():.4g})"
    return [f"{fault}; it is meant in radians"]


def class_doubts(
    classes: Sequence[str], names: Sequence[np.ndarray], any_case: bool = False
) -> list[str]:
    """Classes that no label has, where labels have one of nearly that name.

    Args:
        classes: What is evaluated.
        names: Class names of each frame's labels.
        any_case: Whether upper and lower case are the same.
    """
    known = sorted(set(np.concatenate([np.zeros(0, np.str_), *names]).tolist()))
    there = {name.lower() for name in known} if any_case else set(known)
    wanted = {name: name.lower() if any_case else name for name in classes}
    close = {name: close_names(name, known) for name, same in wanted.items() if same not in there}
    return [f"no label has the class {name}{hint}" for name, hint in close.items() if hint]


@dataclass(frozen=True)
class FileEvaluation:
    """An evaluation of result files.

    Attributes:
        result: The figures: `num_frames`, `as_dict()`, `explain()` and `table(markdown)`.
        missing: Frames without a result file, counted as empty.
        left_out: Result files of frames that were not asked for.
        doubts: What in the files is hardly meant so.
    """

    result: Any
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def report(self, markdown: bool = False) -> str:
        """Table, reasons for zeros, and what was missing."""
        notes = [*self.result.explain(), *self.doubts]
        if self.missing:
            notes.append(
                f"{len(self.missing)} of {self.result.num_frames} frames have no result file and "
                f"count as empty (first: {self.missing[0]})"
            )
        if self.left_out:
            notes.append(f"{len(self.left_out)} result files of other frames left out")
        bullet = "- " if markdown else ""
        lines = [self.result.table(markdown), "", *(bullet + note for note in notes)]
        return "\n".join(lines).rstrip()

    def as_json(self) -> str:
        """Everything as JSON; what could not be measured is null."""
        content = {
            "num_frames": self.result.num_frames,
            **self.content(),
            "frames_without_results": self.missing,
            "results_left_out": self.left_out,
            "doubts": self.doubts,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def content(self) -> dict[str, Any]:
        """What the JSON says of the figures."""
        return {"figures": without_nan(self.result.as_dict())}


@dataclass(frozen=True)
class ResultFiles:
    """Truth and detections of the frames that are evaluated.

    Attributes:
        truth: Objects of each frame.
        found: Detections of each frame.
        missing: Frames without a result file, counted as empty.
        left_out: Result files of frames that were not asked for.
    """

    truth: list
    found: list
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


def read_result_files(
    results: str | Path,
    annotations: str | Path,
    truth: tuple[Sequence[str], Callable[[str], Any]],
    read: Callable[[Path], Any],
    nothing: Any,
    *,
    split: str | Path | None = None,
    frames: Sequence[str] | None = None,
    progress: bool = True,
) -> ResultFiles:
    """Read a folder of result files, and the truth.

    Args:
        results: Folder of ``<frame>.txt``; numbers may lack their leading zeros, here and in lists.
        annotations: Where the truth comes from, for errors.
        truth: Its frames in order, and a function from a name to its objects.
        read: Reads a result file.
        nothing: What a frame without one has.
        split: File with the frames to evaluate, one a line. None: all.
        frames: The frames to evaluate. None: all.
        progress: Show one.

    Raises:
        FormatError: A file cannot be used, or results and labels do not belong together.
    """
    names, read_truth = truth
    known = set(names)
    width = max(map(len, names), default=0)

    def full(name: str, source: str | Path, complaint: str = f"{annotations} has no frame") -> str:
        found = name if name in known else name.zfill(width)
        if found not in known:
            raise FormatError(source, f"{complaint} {found}")
        return found

    files: dict[str, Path] = {}
    for name, path in text_files(results, "result").items():
        known_file = files.setdefault(full(name, path), path)
        if known_file is not path:
            raise FormatError(path, f"is of one frame with {known_file}; keep one of the two")
    chosen = known
    if split is not None:
        chosen = chosen & {full(line, split) for _, line in read_lines(split)}
    if frames is not None:
        chosen = chosen & {full(name, annotations, "has no frame") for name in frames}
    wanted = [name for name in names if name in chosen]
    bar = tqdm(wanted, desc="reading", unit="frame", disable=not progress, leave=False)
    pairs = [(read_truth(n), read(files[n]) if n in files else nothing) for n in bar]
    return ResultFiles(
        [true for true, _ in pairs],
        [found for _, found in pairs],
        tuple(name for name in wanted if name not in files),
        tuple(name for name in files if name not in chosen),
    )


def text_files(folder: str | Path, kind: str) -> dict[str, Path]:
    """The files of a folder by frame, in order.

    Args:
        folder: Folder of ``<frame>.txt``.
        kind: What they hold: "result" or "label".

    Raises:
        FormatError: It is no folder or holds none; a subfolder that does is named.
    """
    folder = require_folder(folder, f"folder of {kind} files")
    files = files_by_stem(folder, (".txt",))
    if not files:
        inner = sorted({path.parent.name for path in folder.glob("*/*.txt")})
        hint = f"; its subfolder {inner[0]} does" if inner else ""
        raise FormatError(folder, f"holds no {kind} files (*.txt){hint}")
    return files


def add_file_arguments(
    parser: argparse.ArgumentParser, labels: str, classes: Sequence[str]
) -> None:
    """What every evaluation of result files takes."""
    add = parser.add_argument
    add("results", metavar="RESULTS", help="folder of result files (*.txt)")
    add("annotations", metavar="ANNOTATIONS",
        help=f"{labels}, or an info file of mmdet3d (*.pkl; nothing in it is run)")  # fmt: skip
    add("--classes", nargs="+", default=list(classes), metavar="NAME",
        help=f"classes to evaluate, any names (default: {' '.join(classes)})")  # fmt: skip
    add("--split", metavar="FILE", help="evaluate the frames listed in this file")
    add("--json", metavar="FILE", help="write all figures as JSON")
    add("--markdown", metavar="FILE", help="write the report as Markdown")


def report(evaluation: FileEvaluation, args: argparse.Namespace) -> int:
    """Print the report and write what was asked for; the command's exit code."""
    print(evaluation.report())
    if args.json:
        write_text(args.json, evaluation.as_json())
    if args.markdown:
        write_text(args.markdown, evaluation.report(markdown=True) + "\n")
    return 0
