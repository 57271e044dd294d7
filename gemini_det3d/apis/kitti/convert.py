"""Info files and reduced clouds of a checked KITTI tree, made by mmdet3d's own converter.

The converter reads a staged copy of the tree: links to the folders, files in canonical form,
lists without frames that are left out. It runs in a process of its own, and its results are
moved into place when all of them are there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tqdm import tqdm

import gemini_det3d
from gemini_det3d.apis.config import mmdet3d_mim
from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.check import FILES
from gemini_det3d.apis.kitti.report import TreeReport
from gemini_det3d.apis.kitti.splits import Splits
from gemini_det3d.formats.errors import FormatError

INFO_FILES = tuple(f"kitti_infos_{split}.pkl" for split in ("train", "val", "trainval", "test"))
_CHILD = "from gemini_det3d.apis.kitti.convert_child import main; main()"


def convert(
    report: TreeReport, splits: Splits, out: Path, gt_database: bool = False
) -> dict[str, int]:
    """Write info files and reduced clouds.

    Args:
        report: A checked tree.
        splits: Frames to convert; none of them has an error.
        out: Where ``kitti_infos_*.pkl`` and ``training/velodyne_reduced`` go. Where it is not
            the tree itself it gets links to the tree's folders and becomes a data root too.
        gt_database: Also write the database of cut-out objects that LiDAR-only recipes paste.

    Returns:
        Number of frames per split.

    Raises:
        FormatError: A folder stands where a link has to go, or the converter failed.
        ConfigError: mmdet3d is not installed.
    """
    mim = mmdet3d_mim()
    out.mkdir(parents=True, exist_ok=True)
    if not _same(out, report.root):
        _link_tree(report.root, out)
        splits.write(out / "ImageSets")
    stage = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))
    try:
        _fill_stage(report, splits, stage)
        _run_converter(mim, ["convert", str(stage)], out, report.root)
        _move_results(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if gt_database:
        _run_converter(mim, ["database", str(out)], out, report.root)
    return {split: len(frames) for split, frames in splits.frames.items()}


def is_complete(splits: Splits, out: Path) -> bool:
    """Whether all results of a conversion are in place.

    Args:
        splits: Frames that were converted.
        out: Where the results went.
    """
    reduced = {
        part: {path.name for path in (out / part / "velodyne_reduced").glob("*.bin")}
        for part in ("training", "testing")
    }
    return all((out / name).is_file() for name in INFO_FILES) and all(
        f"{frame}.bin" in reduced[part] for part, frame in splits.tasks()
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
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve(), target_is_directory=True)


def _fill_stage(report: TreeReport, splits: Splits, stage: Path) -> None:
    """Lists, links to folders, and rewritten files where a folder holds one that needs it."""
    splits.write(stage / "ImageSets")
    (stage / "v1").mkdir()
    (stage / "v2").mkdir()
    tasks = splits.tasks()
    for part in ("training", "testing"):
        (stage / part / "velodyne_reduced").mkdir(parents=True)
        frames = [frame for other, frame in tasks if other == part]
        for folder in FILES:
            source = (report.root / part / folder).resolve()
            target = stage / part / folder
            rewrite = {f for f in frames if folder in report.frames[part, f].rewrite}
            if not rewrite:
                if source.is_dir():
                    target.symlink_to(source, target_is_directory=True)
                continue
            target.mkdir()
            for frame in frames:
                name = frame + FILES[folder]
                if frame in rewrite:
                    (target / name).write_text(_canonical(source / name, folder, report))
                else:
                    (target / name).symlink_to(source / name)


def _canonical(path: Path, folder: str, report: TreeReport) -> str:
    if folder == "calib":
        text = canonical_calibration(path)
    else:
        text = canonical_labels(path, report.class_map)
    return path.read_text() if text is None else text


def _run_converter(mim: Path, arguments: list[str], out: Path, root: Path) -> None:
    """Run the child with a progress display; its words go to a log that stays on failure."""
    package_parent = str(Path(gemini_det3d.__file__).resolve().parent.parent)
    paths = [package_parent, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    log = out / "kitti_convert.log"
    # A neutral folder, for the first place that `python -c` imports from is the current one.
    with tempfile.TemporaryDirectory() as neutral, log.open("w", encoding="utf-8") as words:
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(mim), *arguments],
            cwd=neutral,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        with _stopped_with_us(process):
            assert process.stdout is not None
            last = _follow(process.stdout, words)
            code = process.wait()
    if code:
        raise FormatError(root, f"mmdet3d's converter failed ({last}); its output is in {log}")
    log.unlink()


def _follow(stream: IO[str], words: IO[str]) -> str:
    """Show the converter's counters as a bar; returns the last thing that it said."""
    last = "it said nothing"
    with tqdm(desc="converting", unit="frame") as bar:
        for piece in _pieces(stream):
            counter = re.search(r"\] (\d+)/(\d+), ", piece)
            if counter:
                done, total = int(counter.group(1)), int(counter.group(2))
                if bar.total != total or done < bar.n:
                    bar.reset(total)
                bar.update(done - bar.n)
                continue
            words.write(piece + "\n")
            last = piece
            if piece.startswith("step: "):
                bar.reset(None)
                bar.set_description(piece[len("step: ") :])
    return last


def _pieces(stream: IO[str]) -> Iterator[str]:
    """What stands between line ends and carriage returns, as soon as it is there."""
    buffer = ""
    while chunk := stream.read(1):
        if chunk in "\r\n":
            if buffer.strip():
                yield buffer.strip()
            buffer = ""
        else:
            buffer += chunk
    if buffer.strip():
        yield buffer.strip()


@contextlib.contextmanager
def _stopped_with_us(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _move_results(stage: Path, out: Path) -> None:
    """Clouds first, info files last: who finds an info file finds everything it names."""
    for part in ("training", "testing"):
        results = sorted((stage / part / "velodyne_reduced").iterdir())
        target = out / part / "velodyne_reduced"
        if results:
            target.mkdir(parents=True, exist_ok=True)
        for path in results:
            os.replace(path, target / path.name)
    for name in INFO_FILES:
        os.replace(stage / "v2" / name, out / name)


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
