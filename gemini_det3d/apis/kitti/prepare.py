"""Check a raw KITTI-format tree and write mmdet3d's info files and reduced clouds."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.findings import check_all
from gemini_det3d.apis.kitti.check import KITTI_CLASSES, FrameChecker
from gemini_det3d.apis.kitti.convert import convert, is_complete
from gemini_det3d.apis.kitti.report import TreeReport, load_known
from gemini_det3d.apis.kitti.splits import SPLITS, Splits, read_splits
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder

# Frames.
_SAVED_EVERY = 1000
_COMPARED = 32


@dataclass(frozen=True)
class Options:
    """What to do with a tree.

    Attributes:
        root: The tree.
        out: Where results go; None: into the tree.
        check_only: Write nothing but the report.
        report: JSON report; None: ``kitti_report.json`` in ``out``, none when only checking.
        classes: Classes that are going to be trained, for the counts.
        class_map: Class names to replace -> replacements.
        workers: Processes that check.
        skip_bad: Convert without the frames that have errors.
        force: Convert again although nothing has changed.
        id_digits: Of the frames' names.
        gt_database: Also write mmdet3d's database of cut-out objects.
    """

    root: Path
    out: Path | None = None
    check_only: bool = False
    report: Path | None = None
    classes: Sequence[str] = ("Pedestrian", "Cyclist", "Car")
    class_map: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    skip_bad: bool = False
    force: bool = False
    id_digits: int = 6
    gt_database: bool = False


def prepare_kitti(options: Options) -> int:
    """Check a tree, say what was found, and convert it.

    Returns:
        0 when done, 1 when errors were found and nothing was converted.

    Raises:
        FormatError: There is nothing to check, or the converter failed.
        ConfigError: A class is none of KITTI's, or mmdet3d is not installed.
    """
    _check_options(options)
    root = options.root.resolve()
    out = options.out.resolve() if options.out else root
    path = options.report or (None if options.check_only else out / "kitti_report.json")
    report = check_tree(root, options, path)
    print(report.text())
    if path is not None:
        print(f"report: {path}")
    has_errors = any(finding.level == "error" for finding in report.all_findings())
    if options.check_only:
        return int(has_errors)
    splits = report.splits
    if has_errors:
        if not options.skip_bad or not _only_frames_are_bad(report):
            print("nothing converted: mend the errors" + _skip_hint(report), file=sys.stderr)
            return 1
        splits = _leave_out(report, out)
    return _convert_if_changed(report, splits, out, path, options)


def check_tree(root: Path, options: Options, known_report: Path | None = None) -> TreeReport:
    """Check every frame that a list names, with a progress display.

    Args:
        root: The tree.
        options: Class map, classes and workers are read.
        known_report: Report of an earlier run, whose unchanged frames are taken over; the new
            one is written there, also when the check is interrupted.

    Raises:
        FormatError: The tree, its lists, or the folder of a list are not there.
    """
    require_folder(root)
    report = TreeReport(root, options.class_map, read_splits(root, options.id_digits))
    for part in {SPLITS[split] for split, frames in report.splits.frames.items() if frames}:
        if not (root / part).is_dir():
            there = ", ".join(sorted(path.name for path in root.iterdir())[:5])
            fault = f"no such folder (there: {there}); KITTI's layout, with / between folders"
            raise FormatError(root / part, fault)
    known, report.conversion = load_known(known_report, root, options.class_map)
    tasks = report.splits.tasks()
    step = -(-len(tasks) // _COMPARED) or 1
    checker = FrameChecker(root, options.class_map, tasks[::step])
    todo = []
    for task in tasks:
        report.fingerprints[task] = checker.fingerprint(task)
        fingerprint, earlier = known.get(task, ("", None))
        if earlier is not None and fingerprint == report.fingerprints[task]:
            report.frames[task] = earlier
        else:
            todo.append(task)
    try:
        for frame in check_all(checker, todo, options.workers):
            report.frames[frame.part, frame.frame] = frame
            if known_report is not None and len(report.frames) % _SAVED_EVERY == 0:
                report.save(known_report)  # a process that is killed has no last words
        report.check_whole(options.classes)
    finally:
        if known_report is not None:
            report.save(known_report)
    return report


def _convert_if_changed(
    report: TreeReport, splits: Splits, out: Path, path: Path | None, options: Options
) -> int:
    """Convert unless the last conversion was of the same files and is complete."""
    state = {"digest": _digest(report, splits), "gt_database": options.gt_database}
    known = report.conversion
    same = known.get("digest") == state["digest"]
    same = same and (known.get("gt_database") or not options.gt_database)
    if same and is_complete(report.root, splits, out) and not options.force:
        print(f"{out}: converted before and unchanged since; --force converts again")
        return 0
    counts = convert(report, splits, out, state["digest"], options.gt_database)
    report.conversion = state
    if path is not None:
        report.save(path)
    sizes = ", ".join(f"{split} {count}" for split, count in counts.items())
    print(f"{out}: wrote kitti_infos_*.pkl ({sizes}) and training/velodyne_reduced")
    return 0


def _digest(report: TreeReport, splits: Splits) -> str:
    """One word for the lists, the files and the class map that a conversion reads."""
    files = {"/".join(task): report.fingerprints[task] for task in splits.tasks()}
    state = [splits.frames, files, dict(report.class_map)]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _only_frames_are_bad(report: TreeReport) -> bool:
    general = [*report.splits.findings, *report.findings]
    return not any(finding.level == "error" for finding in general)


def _skip_hint(report: TreeReport) -> str:
    bad = report.bad_frames()
    if not _only_frames_are_bad(report) or not _is_some_left(report.splits.without(bad)):
        return ""
    return f", or leave {len(bad)} frames out with --skip-bad"


def _is_some_left(splits: Splits) -> bool:
    return bool(splits.frames["train"] or splits.frames["val"])


def _leave_out(report: TreeReport, out: Path) -> Splits:
    """Lists without bad frames; in the tree itself they are written beside the originals."""
    bad = report.bad_frames()
    splits = report.splits.without(bad)
    if not _is_some_left(splits):
        raise FormatError(report.root, "every frame has an error; none is left to convert")
    folder = out / "ImageSets"
    if out == report.root:  # the tree's own lists stay as they are
        folder = out / "ImageSets_checked"
        splits.write(folder)
    names = ", ".join(f"{part}/{frame}" for part, frame in sorted(bad)[:10])
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    print(f"left out {len(bad)} frames with errors ({names}{more}); lists without them: {folder}")
    return splits


def _check_options(options: Options) -> None:
    known = (*KITTI_CLASSES, "DontCare")
    for name in (*options.classes, *options.class_map.values()):
        if name not in known:
            raise ConfigError(f"class {name!r} is none of mmdet3d's for KITTI: {', '.join(known)}")
    for name, value in (("--workers", options.workers), ("--id-digits", options.id_digits)):
        if value < 1:
            raise ConfigError(f"{name} {value}, expected at least 1")
