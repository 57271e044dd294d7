"""Where a conversion works: a hidden folder named by what is converted.

The converter reads it: links to the folders of the tree, or to their files where it knows them by
other names, files in canonical form, lists without frames that are left out. Its results stay there
until all of them are made, so that a conversion that is killed goes on where it stopped, and one of
changed files starts anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.files import FILES, converter_name, frame_file
from gemini_det3d.apis.kitti.report import TreeReport
from gemini_det3d.apis.kitti.splits import Splits
from gemini_det3d.formats.locks import alone
from gemini_det3d.formats.text import read_text, write_text

GROUPS, INFOS = "groups", "infos"
"""Folders of a stage: what was made of each group of frames, and of all."""

_PREFIX = ".prepare_"
# An orphan of a run that was killed notices it when it next says something.
_PATIENCE_S = 30


@contextmanager
def stage_of(report: TreeReport, splits: Splits, out: Path, digest: str) -> Iterator[Path]:
    """A stage, filled; gone when all went well or nothing was finished.

    Args:
        report: A checked tree.
        splits: Frames to convert.
        out: Where the results will go. The stage lies there, or, where that disk has no symbolic
            links, in the system's folder for short-lived files, and is then not found again.
        digest: Names the files that are converted.

    Yields:
        The folder. Stages of other digests are gone.

    Raises:
        FormatError: Another process works there.
    """
    if takes_links(out):
        stage = out / f"{_PREFIX}{digest[:16]}"
        for other in out.glob(f"{_PREFIX}*"):
            if other != stage:
                shutil.rmtree(other, ignore_errors=True)
    else:
        stage = Path(tempfile.mkdtemp(prefix=_PREFIX))
    stage.mkdir(exist_ok=True)
    with lock(stage):
        _fill(stage, report, splits)
    groups = stage / GROUPS
    if any(groups.iterdir()):
        print(f"{out}: going on where an earlier run stopped")
    is_done = False
    try:
        yield stage
        is_done = True
    finally:
        if is_done or not any(groups.iterdir()) or stage.parent != out:
            shutil.rmtree(stage, ignore_errors=True)


def lock(stage: Path) -> AbstractContextManager[None]:
    """Be the only process that converts in a stage; see :func:`gemini_det3d.formats.locks.alone`.

    Raises:
        FormatError: Another one works there, and still does after half a minute.
    """
    return alone(stage, "conversion", _PATIENCE_S)


def takes_links(folder: Path) -> bool:
    """Whether the disk of a folder has symbolic links (FAT and some shares have none)."""
    trial = folder / f".link_{os.getpid()}"
    try:
        trial.symlink_to(folder, target_is_directory=True)
    except (OSError, NotImplementedError):
        return False
    trial.unlink()
    return True


def _fill(stage: Path, report: TreeReport, splits: Splits) -> None:
    """Lists, links to folders, and of a folder with files to rewrite or rename all files."""
    splits.write(stage / "ImageSets")
    (stage / GROUPS).mkdir(exist_ok=True)
    tasks = splits.tasks()
    for part in ("training", "testing"):
        (stage / part / "velodyne_reduced").mkdir(parents=True, exist_ok=True)
        frames = [frame for other, frame in tasks if other == part]
        for folder in FILES:
            source = (report.root / part / folder).resolve()
            target = stage / part / folder
            _remove(target)
            rewrite = {f for f in frames if folder in report.frames[part, f].rewrite}
            paths = {f: frame_file(report.root, part, f, folder) for f in frames}
            is_usual = all(path.name == converter_name(f, folder) for f, path in paths.items())
            if is_usual and not rewrite:
                if source.is_dir():
                    target.symlink_to(source, target_is_directory=True)
                continue
            target.mkdir()
            for frame, path in paths.items():
                shown = target / converter_name(frame, folder)
                if frame in rewrite:
                    write_text(shown, _canonical(path, folder, report))
                elif path.is_file():  # frames to be tested have no labels
                    shown.symlink_to(source / path.name)


def own_name(folder: Path, name: str) -> str:
    """What a file of a stage is called in the tree."""
    is_shown_otherwise = not folder.is_symlink() and (folder / name).is_symlink()
    return Path(os.readlink(folder / name)).name if is_shown_otherwise else name


def _remove(target: Path) -> None:
    """A link, or a folder with rewritten files, of an earlier run."""
    if target.is_symlink():
        target.unlink()
    else:
        shutil.rmtree(target, ignore_errors=True)


def _canonical(path: Path, folder: str, report: TreeReport) -> str:
    if folder == "calib":
        text = canonical_calibration(path)
    else:
        text = canonical_labels(path, report.class_map)
    return read_text(path) if text is None else text
