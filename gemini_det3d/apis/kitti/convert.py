"""Info files and reduced clouds of a checked KITTI tree, made by mmdet3d's own converter.

The converter reads a staged copy of the tree (`stage`) in a process of its own, and its results
are moved into place when all of them are there.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from tqdm import tqdm

import gemini_det3d
from gemini_det3d.apis.config import ConfigError, mmdet3d_mim
from gemini_det3d.apis.kitti.files import FILES, frame_file
from gemini_det3d.apis.kitti.report import TreeReport
from gemini_det3d.apis.kitti.splits import Splits
from gemini_det3d.apis.kitti.stage import INFOS, own_name, stage_of, takes_links
from gemini_det3d.apis.process import Programs
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import make_folder, write_whole

INFO_FILES = tuple(f"kitti_infos_{split}.pkl" for split in ("train", "val", "trainval", "test"))
# What it says of its progress: done and total, or the name of a step.
_PROGRESS = re.compile(r"\] (\d+)/(\d+), |^step: (.*)")
_CHILD = "from gemini_det3d.apis.kitti.convert_child import main; main()"


def convert(
    report: TreeReport, splits: Splits, out: Path, digest: str, gt_database: bool = False
) -> dict[str, int]:
    """Write info files and reduced clouds.

    Args:
        report: A checked tree.
        splits: Frames to convert; none of them has an error.
        out: Where ``kitti_infos_*.pkl`` and ``training/velodyne_reduced`` go. Where it is not
            the tree itself it gets links to the tree's folders and becomes a data root too.
        digest: Of the files that are converted; a run that was killed goes on under the same.
        gt_database: Also write the database of cut-out objects that LiDAR-only recipes paste.

    Returns:
        Number of frames per split.

    Raises:
        FormatError: A folder stands where a link has to go, or the converter failed.
        ConfigError: mmdet3d is not installed.
    """
    mim = mmdet3d_mim()
    make_folder(out)
    if not _same(out, report.root):
        _link_tree(report.root, out)
        splits.write(out / "ImageSets")
    with stage_of(report, splits, out, digest) as stage:
        _run_converter(mim, ["convert", str(stage)], out, report.root)
        _move_results(stage, out)
    if gt_database:
        _run_converter(mim, ["database", str(out)], out, report.root)
    return {split: len(frames) for split, frames in splits.frames.items()}


def is_complete(root: Path, splits: Splits, out: Path) -> bool:
    """Whether all results of a conversion are in place."""
    reduced = {
        part: {path.name for path in (out / part / "velodyne_reduced").glob("*")}
        for part in ("training", "testing")
    }
    return all((out / name).is_file() for name in INFO_FILES) and all(
        frame_file(root, part, frame, "velodyne").name in reduced[part]
        for part, frame in splits.tasks()
    )


def _link_tree(root: Path, out: Path) -> None:
    for part in ("training", "testing"):
        for folder in FILES:
            source, link = root / part / folder, out / part / folder
            if not source.is_dir():
                continue
            if link.is_dir() and _same(source, link):
                continue
            if link.exists() or link.is_symlink():
                raise FormatError(link, f"is in the way of a link to {source}")
            if not takes_links(make_folder(link.parent)):
                fault = "lies on a disk without symbolic links; without --out ROOT itself is used"
                raise FormatError(out, fault)
            link.symlink_to(source.resolve(), target_is_directory=True)


def _run_converter(mim: Path, arguments: list[str], out: Path, root: Path) -> None:
    """Run the child with a progress display; its words go to a log that stays on failure."""
    package_parent = str(Path(gemini_det3d.__file__).resolve().parent.parent)
    paths = [package_parent, os.environ.get("PYTHONPATH", "")]
    log = out / "kitti_convert.log"
    # A neutral folder, for the first place that `python -c` imports from is the current one.
    with tempfile.TemporaryDirectory() as neutral, tqdm(desc="converting", unit="frame") as bar:
        try:
            Programs().follow(
                ["-c", _CHILD, mim, *arguments],
                log,
                _PROGRESS,
                lambda *groups: _show(bar, *groups),
                name="mmdet3d's converter",
                cwd=neutral,
                PYTHONPATH=os.pathsep.join(filter(None, paths)),
            )
        except ConfigError as error:
            raise FormatError(root, str(error)) from None
    log.unlink()


def _show(bar: tqdm, done: str | None, total: str | None, step: str | None) -> None:
    """Show the converter's counters; each step has its own."""
    if step is not None:
        bar.reset(None)
        bar.set_description(step)
        return
    if bar.total != int(total) or int(done) < bar.n:
        bar.reset(int(total))
    bar.update(int(done) - bar.n)


def _move_results(stage: Path, out: Path) -> None:
    """Clouds first, info files last: who finds an info file finds everything it names."""
    for part in ("training", "testing"):
        results = sorted((stage / part / "velodyne_reduced").iterdir())
        target = out / part / "velodyne_reduced"
        if results:
            target.mkdir(parents=True, exist_ok=True)
        for path in results:
            _move(path, target / own_name(stage / part / "velodyne", path.name))
    for name in INFO_FILES:
        _move(stage / INFOS / name, out / name)


def _move(path: Path, target: Path) -> None:
    """Put a file in its place, also on another disk."""
    try:
        os.replace(path, target)
    except OSError:
        write_whole(target, path.read_bytes())


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
