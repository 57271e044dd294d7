"""Findings of a check: how many of them are shown, and what of an earlier report is taken over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from gemini_det3d.formats.text import read_json

if TYPE_CHECKING:
    from typing_extensions import Self

_SHOWN_PER_FAULT = 3
_CHUNK = 8  # frames that a process gets at a time
Known = TypeVar("Known")
Task = TypeVar("Task")
FrameReport = TypeVar("FrameReport")


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        level: ``'error'`` or ``'warning'``.
        file: Path relative to the tree.
        fault: What is wrong, in one line.
    """

    level: str
    file: str
    fault: str


class OfFindings:
    """What the dataclasses of reports on one frame have in common: ``findings``."""

    findings: list[Finding]

    @property
    def has_error(self) -> bool:
        """Whether the frame cannot be used."""
        return any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Back from plain values.

        Raises:
            KeyError: A field is missing.
        """
        values = {field.name: data[field.name] for field in fields(cls)}
        return cls(**{**values, "findings": [Finding(**entry) for entry in data["findings"]]})


def fingerprint(paths: Iterable[Path]) -> str:
    """Sizes, times and suffixes of files, which change when they do; a missing one counts too."""
    marks = []
    for path in paths:
        try:
            status = path.stat()
            marks.append(f"{status.st_size}:{status.st_mtime_ns}{path.suffix}")
        except OSError:
            marks.append("-")
    return " ".join(marks)


def check_all(
    checker: Callable[[Task], FrameReport], tasks: Sequence[Task], workers: int
) -> Iterator[FrameReport]:
    """Reports of frames in their order, with a progress display.

    Args:
        checker: Checks one frame; sent to the processes.
        tasks: The frames.
        workers: Processes at most; few frames need none but this.
    """
    workers = max(1, min(workers, len(tasks) // _CHUNK))
    pool = ProcessPoolExecutor(workers) if workers > 1 else nullcontext()
    with pool, tqdm(total=len(tasks), desc="checking", unit="frame", disable=not tasks) as bar:
        is_pool = isinstance(pool, ProcessPoolExecutor)
        reports = pool.map(checker, tasks, chunksize=_CHUNK) if is_pool else map(checker, tasks)
        for report in reports:
            yield report
            bar.update()


def capped(findings: Sequence[Finding]) -> list[str]:
    """A line each, of many alike the first ones and how many more there are.

    Args:
        findings: Errors first.

    Returns:
        Lines; findings are alike when their faults differ in numbers and names only.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kind = re.sub(r"[\w./-]*\d[\w./-]*", "#", finding.fault)
        groups.setdefault((finding.level, kind), []).append(finding)
    lines = []
    for group in groups.values():
        lines += [f"{f.level:<8} {f.file}: {f.fault}" for f in group[:_SHOWN_PER_FAULT]]
        if len(group) > _SHOWN_PER_FAULT:
            more = len(group) - _SHOWN_PER_FAULT
            lines.append(f"{group[0].level:<8} ... and {more} more of this kind")
    return lines


def take_over(path: Path | None, take: Callable[[Any], Known], nothing: Known) -> Known:
    """What an earlier run found, so that unchanged files are not read again.

    Args:
        path: Its report in JSON, or None.
        take: Gets it out of the content; KeyError and the like where that is none of its own.
        nothing: The answer where the file is missing or none of this check's.
    """
    if path is None or not path.is_file():
        return nothing
    try:
        return take(read_json(path))
    except (ValueError, KeyError, TypeError, AttributeError):
        return nothing
