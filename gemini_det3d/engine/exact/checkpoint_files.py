"""Checkpoints that are on the disk whole or not at all, and the newest whole one of a folder.

Beside ``epoch_3.pth`` lies ``epoch_3.pth.json``: its size, its SHA-256, the iterations that were
done, whether training can go on from it, which run wrote it and when. The note is written first,
and it keeps what it said of a file of that name that it will replace, so that at any instant the
one that lies there is described in its note.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.files import UNFINISHED, sha256_of, write_whole

BACKEND = "gemini_whole_files"
POINTER = "last_checkpoint"
"""mmengine's file in the run's folder that names the newest checkpoint."""


class WholeFileBackend(LocalBackend):
    """mmengine's local files, written whole and with a note beside them.

    Args:
        iteration: Iterations done, for the note.
        resumable: Whether training can go on from the file.
        run: Which run writes it.
        seed: Of that run.
    """

    def __init__(
        self, iteration: int, resumable: bool, run: str | None, seed: int | None = None
    ) -> None:
        super().__init__()
        self.about = dict(iteration=iteration, resumable=resumable, run=run, seed=seed)

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a checkpoint.

        Raises:
            FormatError: It cannot be written; what stood there before stays.
        """
        path = Path(filepath)
        digest = {"bytes": len(obj), "sha256": hashlib.sha256(obj).hexdigest()}
        now = {**digest, **self.about, "written": time.time_ns()}
        note = {"either": [now, *_present(path)]}
        write_whole(note_path(path), json.dumps(note, indent=1) + "\n", durable=True)
        write_whole(path, bytes(obj), durable=True)


register_backend(BACKEND, WholeFileBackend, force=True)


def note_path(path: str | os.PathLike) -> Path:
    """Where a checkpoint's note lies."""
    return Path(f"{os.fspath(path)}.json")


def remove_checkpoint(path: str | os.PathLike) -> None:
    """Take a checkpoint away, and then its note."""
    Path(path).unlink(missing_ok=True)
    note_path(path).unlink(missing_ok=True)


def clear_away(folder: str | os.PathLike) -> None:
    """Delete what a killed process left half written, and notes whose checkpoint is gone."""
    for path in Path(folder).glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)
    for note in Path(folder).glob("*.pth.json"):
        if not note.with_suffix("").is_file():
            note.unlink(missing_ok=True)


def check_whole(path: str | os.PathLike) -> None:
    """See that a checkpoint is what its note says; one without a note passes.

    Raises:
        FormatError: It is not.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(path, "no such file")
    if not path.is_file():  # whoever reads it says what it is
        return
    size = path.stat().st_size
    entries = _entries(path)
    if not note_path(path).is_file() or any(_is_file_of(path, size, entry) for entry in entries):
        return
    sizes = " or ".join(str(entry.get("bytes")) for entry in entries) or "unknown"
    raise FormatError(path, f"is damaged: {size} bytes (noted: {sizes}), another SHA-256")


def newest_whole_checkpoint(
    work_dir: str | os.PathLike, report: Callable[[str], object]
) -> Path | None:
    """The checkpoint to go on from.

    Args:
        work_dir: Folder of the run.
        report: Told in one line of each checkpoint that is passed over.

    Returns:
        Of the run that wrote last, the file with the most iterations that is whole; None where
        there is none at all.

    Raises:
        FormatError: That run has checkpoints, and none is whole; or there are some, and none holds
            what a training needs to go on.
    """
    named = _named_by_pointer(Path(work_dir))
    # A copied folder's pointer names the original: that one counts only if there is none here.
    candidates = _of_last_run(Path(work_dir)) or (_of_last_run(named.parent) if named else [])
    if named and not note_path(named).is_file() and named.is_file():  # of mmengine's own runner
        candidates.insert(0, named)
    for path in candidates:
        try:
            check_whole(path)
        except FormatError as error:
            report(f"{error}; the one before it is taken")
        else:
            return path
    if candidates:
        fault = f"holds {len(candidates)} checkpoints, none of them whole"
        others = len(_noted(candidates[0].parent)) > len(candidates)
        raise FormatError(work_dir, fault + " (of the run that wrote last)" * others)
    _refuse_weights_alone(Path(work_dir), named)
    return None


def _refuse_weights_alone(work_dir: Path, named: Path | None) -> None:
    """A run would begin anew over them; the best ones, which are always so, do not count."""
    folders = {work_dir, named.parent if named else work_dir}
    found = [path for folder in folders for path in folder.glob("*.pth") if _entry(path)]
    count = sum(not path.name.startswith("best_") for path in found)
    if count:
        fault = f"holds {count} checkpoints, none of them with optimizer and schedules"
        keys = "default_hooks.checkpoint.save_optimizer, save_param_scheduler"
        remedy = "--resume cannot go on, load_from starts anew"
        raise FormatError(work_dir, f"{fault} ({keys}): {remedy}")


def has_gone_on(path: str | os.PathLike, run: str | None, iteration: int) -> bool:
    """Whether a checkpoint's own run went on beyond it: who goes on from it now is another run.

    Args:
        path: The checkpoint.
        run: Its run.
        iteration: Its iterations.
    """
    notes = _noted(Path(path).expanduser().parent).values()
    return any(note.get("run") == run and note["iteration"] > iteration for note in notes)


def noted_seed(path: str | os.PathLike) -> int | None:
    """The seed of the run that wrote a checkpoint; None without a note that tells it."""
    seed = _entry(Path(path).expanduser()).get("seed")
    return seed if isinstance(seed, int) else None


def _of_last_run(folder: Path) -> list[Path]:
    """Checkpoints of the run that wrote last, the one with the most iterations first."""
    notes = _noted(folder)
    if not notes:
        return []
    run = max(notes.values(), key=lambda note: note.get("written", 0)).get("run")
    own = [path for path, note in notes.items() if note.get("run") == run]
    age = {path: (notes[path]["iteration"], path.stat().st_mtime_ns, path) for path in own}
    return sorted(own, key=age.__getitem__, reverse=True)


def _noted(folder: Path) -> dict[Path, dict[str, Any]]:
    """Checkpoints that a training can go on from, and what their notes say of them."""
    found = {path: _entry(path) for path in folder.glob("*.pth")}
    return {path: entry for path, entry in found.items() if entry.get("resumable")}


def _named_by_pointer(work_dir: Path) -> Path | None:
    try:
        text = (work_dir / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text else None


def _entry(path: Path) -> dict[str, Any]:
    """What a note says of the file that lies there; nothing without a note."""
    first, *others = _entries(path) or [{}]
    return (_present(path) or [first])[0] if others else first


def _entries(path: Path) -> list[dict[str, Any]]:
    """What a note says of the file that is there, or that one and the one before it.

    Nothing of a note that cannot be read or is another's.
    """
    try:
        note = json.loads(note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    entries = note.pop("either", []) if isinstance(note, dict) else []
    # At the top of the note where it is an older one's.
    entries = [{**note, **entry} for entry in entries[:2] if isinstance(entry, dict)]
    return [entry for entry in entries if isinstance(entry.get("iteration"), int)]


def _present(path: Path) -> list[dict[str, Any]]:
    """What the note says of the whole file that lies there, if one does."""
    if not path.is_file():
        return []
    size = path.stat().st_size
    return [entry for entry in _entries(path) if _is_file_of(path, size, entry)][:1]


def _is_file_of(path: Path, size: int, entry: dict) -> bool:
    return entry.get("bytes") == size and entry.get("sha256") == sha256_of(path)
