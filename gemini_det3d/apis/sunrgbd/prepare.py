"""Check SUN RGB-D and write mmdet3d's info files and points, with or without MATLAB."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.findings import Finding, capped, check_all, take_over
from gemini_det3d.apis.sunrgbd.check import RoomChecker, RoomReport
from gemini_det3d.apis.sunrgbd.sources import EXTRACTED, SPLITS, open_source
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.sunrgbd import SUNRGBD_CLASSES, write_infos
from gemini_det3d.formats.text import write_json, write_text

# Raised whenever a check changes, so that no finding of an older one is taken over.
_REPORT_VERSION = 1


@dataclass(frozen=True)
class RoomOptions:
    """What to do.

    Attributes:
        root: Folder with the data.
        out: Where results go; None: into the same folder.
        check_only: Write nothing but the report.
        report: JSON report; None: ``sunrgbd_report.json`` in ``out``, none when only checking.
        workers: Processes.
        skip_bad: Write info files without the frames that have errors.
    """

    root: Path
    out: Path | None = None
    check_only: bool = False
    report: Path | None = None
    workers: int = 1
    skip_bad: bool = False


def prepare_sunrgbd(options: RoomOptions) -> int:
    """Check all frames, write their points, say what was found, and write the info files.

    Frames that an earlier run checked and wrote are taken over while their files stay the same.

    Returns:
        0 when done, 1 when errors were found and no info file was written.

    Raises:
        FormatError: There is nothing to check.
        ConfigError: An option cannot be.
    """
    if options.workers < 1:
        raise ConfigError(f"--workers {options.workers}, expected at least 1")
    root = options.root.resolve()
    out = options.out.resolve() if options.out else root
    source = open_source(root)
    checker = RoomChecker(source, None if options.check_only else out)
    path = options.report or (None if options.check_only else out / "sunrgbd_report.json")
    reports = _check_all(checker, options.workers, path)
    print(_text(root, source.frames, reports))
    if path is not None:
        print(f"report: {path}")
    bad = [report.stem for report in reports.values() if report.has_error]
    if options.check_only:
        return int(bool(bad))
    if bad and not (options.skip_bad and len(bad) < len(reports)):
        hint = (
            f", or leave {len(bad)} frames out with --skip-bad" if len(bad) < len(reports) else ""
        )
        print(f"no info files written: mend the errors{hint}", file=sys.stderr)
        return 1
    for split in SPLITS:
        infos = [reports[stem].info for stem in source.frames[split] if reports[stem].info]
        write_infos(out / f"sunrgbd_infos_{split}.pkl", [info for info in infos if info])
        if source.writes_sources:
            numbers = "".join(f"{int(stem)}\n" for stem in source.frames[split])
            write_text(out / EXTRACTED / f"{split}_data_idx.txt", numbers)
    sizes = ", ".join(f"{split} {len(source.frames[split])}" for split in SPLITS)
    left_out = f" without {len(bad)} frames with errors" if bad else ""
    print(f"{out}: wrote sunrgbd_infos_*.pkl ({sizes}{left_out}) and points")
    return 0


def _check_all(checker: RoomChecker, workers: int, path: Path | None) -> dict[str, RoomReport]:
    """Reports of all frames by name; saved also when the check is interrupted."""
    source = checker.source
    stems = list(dict.fromkeys(stem for split in SPLITS for stem in source.frames[split]))
    if not stems:
        raise FormatError(getattr(source, "folder", None) or source.meta, "lists no frames")
    reports, todo = {}, []
    known = _load_known(path)
    for stem in stems:
        earlier = known.get(stem)
        same = earlier is not None and earlier.fingerprint == source.fingerprint(stem)
        if same and (earlier.has_error or checker.is_written(stem)):
            reports[stem] = earlier
        else:
            todo.append(stem)
    try:
        for report in check_all(checker, todo, workers):
            reports[report.stem] = report
    finally:
        if path is not None:
            _save(path, reports)
    return {stem: reports[stem] for stem in stems}


def _text(root: Path, frames: dict[str, list[str]], reports: dict[str, RoomReport]) -> str:
    """For reading: one line per fault, then the counts."""
    findings = [finding for report in reports.values() for finding in report.findings]
    common = len(set(frames["train"]) & set(frames["val"]))
    if common:
        fault = f"{common} frames are in train, too; their scores say nothing about others"
        findings.append(Finding("warning", "val", fault))
    findings += _misspelt(reports)
    lines = capped([_relative(root, finding) for finding in findings])
    lines += [""] if lines else []
    sizes = ", ".join(f"{split} {len(frames[split])}" for split in SPLITS)
    lines.append(f"{root}: {len(reports)} frames ({sizes})")
    for split in SPLITS:
        counts: Counter = Counter()
        for stem in frames[split]:
            counts.update(reports[stem].stats.get("classes", {}))
        known = ", ".join(f"{name} {counts[name]}" for name in SUNRGBD_CLASSES if counts[name])
        others = sum(count for name, count in counts.items() if name not in SUNRGBD_CLASSES)
        lines.append(f"{split}: {known or 'no objects'}; {others} objects of other classes")
    levels = Counter(finding.level for finding in findings)
    lines.append(f"{levels['error']} errors, {levels['warning']} warnings")
    return "\n".join(lines)


def _misspelt(reports: dict[str, RoomReport]) -> list[Finding]:
    """Classes that are one of SUN RGB-D's ten but for case, blanks, hyphens or underscores."""
    counts: Counter = Counter()
    for report in reports.values():
        counts.update(report.stats.get("classes", {}))
    known = {_plain(name): name for name in SUNRGBD_CLASSES}
    return [
        Finding("warning", "label", f"{count} objects are called {name!r}, not "
                f"{known[_plain(name)]!r}: the info files leave them out")
        for name, count in counts.items()
        if name not in SUNRGBD_CLASSES and _plain(name) in known
    ]  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name.lower())


def _relative(root: Path, finding: Finding) -> Finding:
    name = finding.file
    if name.startswith(f"{root}{os.sep}"):
        name = name[len(str(root)) + 1 :]
    return Finding(finding.level, name, finding.fault)


def _save(path: Path, reports: dict[str, RoomReport]) -> None:
    frames = [reports[stem].to_json() for stem in sorted(reports)]
    content = {"report_version": _REPORT_VERSION, "frames": frames}
    write_json(path, content)


def _load_known(path: Path | None) -> dict[str, RoomReport]:
    """Reports of an earlier run; none where the file is none of ours, or of another version."""

    def take(content: dict) -> dict[str, RoomReport]:
        frames = content["frames"] if content["report_version"] == _REPORT_VERSION else ()
        return {entry["stem"]: RoomReport.from_json(entry) for entry in frames}

    return take_over(path, take, {})
