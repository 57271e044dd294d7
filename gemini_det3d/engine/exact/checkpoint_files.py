"""Checkpoints that are on the disk whole or not at all, and the newest whole one of a folder.

Beside ``epoch_3.pth`` lies ``epoch_3.pth.json``: its size, its SHA-256, the iterations that were
done, and whether training can go on from it. The note is written first, and it keeps the digest of
a file of that name that it will replace, so that at any instant the one that lies there has its
digest in its note.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.files import UNFINISHED, write_whole

BACKEND = "gemini_whole_files"
POINTER = "last_checkpoint"
"""mmengine's file in the run's folder that names the newest checkpoint."""
_CHUNK = 1 << 22


class WholeFileBackend(LocalBackend):
    """mmengine's local files, written whole and with a note beside them.

    Args:
        iteration: Iterations done, for the note.
        resumable: Whether training can go on from the file.
    """

    def __init__(self, iteration: int, resumable: bool) -> None:
        super().__init__()
        self.iteration, self.resumable = iteration, resumable

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a checkpoint.

        Raises:
            FormatError: It cannot be written; what stood there before stays.
        """
        path = Path(filepath)
        now = [{"bytes": len(obj), "sha256": hashlib.sha256(obj).hexdigest()}]
        note = {"iteration": self.iteration, "resumable": self.resumable,
                "either": now + _present(path)}  # fmt: skip
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
    digests = _digests(path)
    if not note_path(path).is_file() or any(_is_file_of(path, size, entry) for entry in digests):
        return
    sizes = " or ".join(str(entry.get("bytes")) for entry in digests) or "unknown"
    raise FormatError(path, f"is damaged: {size} bytes (noted: {sizes}), another SHA-256")


def newest_whole_checkpoint(
    work_dir: str | os.PathLike, report: Callable[[str], object]
) -> Path | None:
    """The checkpoint to go on from.

    Args:
        work_dir: Folder of the run.
        report: Told in one line of each checkpoint that is passed over.

    Returns:
        The file with the most iterations that is whole; None where there is none at all.

    Raises:
        FormatError: There are checkpoints, and none is whole.
    """
    named = _named_by_pointer(Path(work_dir))
    # A copied folder's pointer names the original: that one counts only if there is none here.
    candidates = _noted(Path(work_dir)) or (_noted(named.parent) if named else [])
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
        raise FormatError(work_dir, f"holds {len(candidates)} checkpoints, none of them whole")
    return None


def _noted(folder: Path) -> list[Path]:
    """Checkpoints with notes that a training can go on from, the newest first."""
    found = [
        (note["iteration"], path.stat().st_mtime_ns, path)
        for path in folder.glob("*.pth")
        if (note := _read_note(path)).get("resumable")
    ]
    return [path for *_, path in sorted(found, reverse=True)]


def _named_by_pointer(work_dir: Path) -> Path | None:
    try:
        text = (work_dir / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text else None


def _read_note(path: Path) -> dict:
    """A note, or nothing of one that cannot be read or is another's."""
    try:
        note = json.loads(note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(note, dict) and isinstance(note.get("iteration"), int)
    return note if is_ours else {}


def _digests(path: Path) -> list[dict]:
    entries = _read_note(path).get("either", [])
    return [entry for entry in entries[:2] if isinstance(entry, dict)]


def _present(path: Path) -> list[dict]:
    """The digest of the whole file that lies there, if one does."""
    if not path.is_file():
        return []
    size = path.stat().st_size
    return [entry for entry in _digests(path) if _is_file_of(path, size, entry)][:1]


def _is_file_of(path: Path, size: int, entry: dict) -> bool:
    return entry.get("bytes") == size and entry.get("sha256") == _sha256(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
