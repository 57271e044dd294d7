"""Check a segmentation set: every file, their sizes, and the numbers of its classes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.findings import check_all
from gemini_det3d.apis.segmentation_set.check import SegFrameChecker, SegFrameReport
from gemini_det3d.apis.segmentation_set.configured import ConfiguredSet, set_of_config
from gemini_det3d.apis.segmentation_set.report import SetReport, load_known
from gemini_det3d.commands import add_workers
from gemini_det3d.datasets.segmentation_sets import SETS, SegmentationSet
from gemini_det3d.formats.files import require_folder
from gemini_det3d.formats.images import check_max_values
from gemini_det3d.formats.segmentation import NoSuchSplit, SegFrame

EPILOG = """\
Training reads such a set as it is, so nothing is written but the report. A numbering of classes
other than the published one is first_label of the data set in a config, colours of PASCAL VOC's map
are label_code='voc', float depth needs max_values of LoadModalities; the same here as options.
A set of classes of your own is checked by --config, which reads all of this of a config; with
--kind the table has the published names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("root", nargs="?", type=Path, metavar="ROOT", help="folder of the set (of --config)")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--kind", choices=list(SETS), help="its layout and published classes")
    given.add_argument("--config", help="a config, by path or name, whose data set is checked")
    add("--splits", nargs="+", help="splits to check (those that are there)")
    add("--modalities", nargs="+", help="images to check, the leading one first (all)")
    add("--first-label", type=int, help="number of the first class in the files (as published)")
    add("--label-code", choices=["voc"], help="label maps are in PASCAL VOC's colours")
    add("--max-values", nargs="+", default=[], metavar="NAME=NUMBER",
        help="number that is white in 16-bit or float images, depth=10 for example")  # fmt: skip
    add("--report", type=Path, metavar="FILE", help="write a JSON report; the next run is faster")
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Check and report; 0 without errors, else 1.

    Raises:
        FormatError: There is no such set.
        ConfigError: An option cannot be.
    """
    known = _set_of(args)
    kind, root = known.kind, known.root
    first = kind.first_label if args.first_label is None else args.first_label
    if args.workers < 1 or first < 0:
        raise ConfigError(f"--workers {args.workers} must be 1 or more, --first-label {first} 0")
    code = args.label_code or kind.label_code
    frames = _frames_of(kind, root, args.splits)
    every = {frame.name: frame for split in frames.values() for frame in split}
    frame = next(iter(every.values()))
    modalities = _modalities(frame, args.modalities or known.modalities)
    max_values = {**known.max_values, **_max_values(args.max_values, tuple(frame.images))}
    checker = SegFrameChecker(root, modalities, code, max_values, kind.size_rule)
    settings = {"modalities": list(modalities), "label_code": code, "max_values": max_values,
                "size_rule": kind.size_rule}  # fmt: skip
    report = SetReport(
        root, kind.classes, first, settings,
        {split: [frame.name for frame in found] for split, found in frames.items()},
        label_files={name: checker.relative(frame.labels) for name, frame in every.items()},
    )  # fmt: skip
    for each in _check_all(checker, every, load_known(args.report, settings), args.workers):
        report.frames[each.name] = each
    report.frames = {name: report.frames[name] for name in every}
    print(report.text())
    if args.report:
        report.save(args.report)
        print(f"report: {args.report}")
    return int(any(finding.level == "error" for finding in report.findings()))


def _set_of(args: argparse.Namespace) -> ConfiguredSet:
    if args.config is None:
        if args.root is None:
            raise ConfigError(f"--kind {args.kind}: needs ROOT, the folder of the set")
        return ConfiguredSet(SETS[args.kind], args.root.resolve())
    known = set_of_config(args.config)
    return known if args.root is None else replace(known, root=args.root.resolve())


def _frames_of(
    kind: SegmentationSet, root: Path, splits: Sequence[str] | None
) -> dict[str, list[SegFrame]]:
    """Frames by split; without ``splits`` of those that are there, which is one at least."""
    require_folder(root)
    found, faults = {}, []
    for split in splits or kind.splits:
        try:
            found[split] = kind.list_frames(root, split)
        except NoSuchSplit as error:
            if splits:
                raise
            faults.append(error)
    if not found:
        raise faults[0]
    return _told_apart(found)


def _told_apart(splits: dict[str, list[SegFrame]]) -> dict[str, list[SegFrame]]:
    """The same; a name that stands for other files in an earlier split has its split in front."""
    known: dict[str, SegFrame] = {}
    apart = {}
    for split, frames in splits.items():
        own = [
            frame if known.get(frame.name, frame) == frame
            else replace(frame, name=f"{split}/{frame.name}")
            for frame in frames
        ]  # fmt: skip
        known.update({frame.name: frame for frame in own})
        apart[split] = own
    return apart


def _modalities(frame: SegFrame, wanted: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [name for name in wanted or () if name not in frame.images]
    if unknown:
        raise ConfigError(f"--modalities {' '.join(unknown)}: the set has {list(frame.images)}")
    return tuple(dict.fromkeys(wanted or frame.images))


def _max_values(words: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    try:
        found = {name: float(value) for name, value in (word.split("=") for word in words)}
        check_max_values(found)
    except ValueError as error:
        reason = error if "max_values" in str(error) else "expected NAME=NUMBER"
        raise ConfigError(f"--max-values {' '.join(words)}: {reason}") from None
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ConfigError(f"--max-values {' '.join(unknown)}: the set has {list(known)}")
    return found


def _check_all(
    checker: SegFrameChecker,
    frames: dict[str, SegFrame],
    known: dict[str, SegFrameReport],
    workers: int,
) -> Iterator[SegFrameReport]:
    """Reports of all frames; unchanged ones are taken from an earlier run."""
    todo = []
    for name, frame in frames.items():
        earlier = known.get(name)
        if earlier is not None and earlier.fingerprint == checker.fingerprint(frame):
            yield earlier
        else:
            todo.append(frame)
    yield from check_all(checker, todo, workers)
