"""One list of suffixes and one rule for stems: which files of a folder are of one frame."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Of images, in lower case; upper case counts as well."""
# What operating systems leave beside the files of a folder.
_NOT_FILES = ("thumbs.db", "desktop.ini")


def stem_of(path: str | os.PathLike, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> str:
    """Name without folders and without one of the suffixes; other dots belong to the name.

    Args:
        path: ``rgb/1305031102.175304.PNG``, for example.
        suffixes: Known ones, in lower case.

    Returns:
        ``1305031102.175304``.
    """
    name = os.fspath(path).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    suffix = next((s for s in suffixes if name.lower().endswith(s) and len(name) > len(s)), "")
    return name[: len(name) - len(suffix)]


def told_otherwise(paths: Mapping[str, str | os.PathLike]) -> list[str]:
    """Files that by their name, or their folder's, are of another input than they are given for.

    Args:
        paths: Files by what they are given for: sensors, modalities, cameras.

    Returns:
        A line for each. Where one name is the beginning of another (CAM_FRONT, CAM_FRONT_LEFT) the
        longer one counts.
    """
    lines = []
    for name, path in paths.items():
        words = "/".join(os.fspath(path).replace("\\", "/").split("/")[-2:])
        said = [other for other in paths if _has_word(words, other)]
        said = [each for each in said if not any(_has_word(o, each) for o in said if o != each)]
        if said and name not in said:
            lines.append(f"{path}: is given for {name}, and by its name it is {said[0]}")
    return lines


def _has_word(text: str, word: str) -> bool:
    pattern = rf"(?<![a-z0-9]){re.escape(word.lower())}(?![a-z0-9])"
    return re.search(pattern, text.lower()) is not None


def is_data_file(path: Path) -> bool:
    """Whether it is no hidden file and none that an operating system made."""
    return not path.name.startswith(".") and path.name.lower() not in _NOT_FILES


def files_by_stem(
    folder: str | os.PathLike,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    with_subfolders: bool = False,
) -> dict[str, Path]:
    """Files of a folder by the names of their frames, sorted.

    Args:
        folder: Where to look.
        suffixes: Of the files wanted, in lower case.
        with_subfolders: Whether folders inside count; they become part of the name (``kv1/0``), so
            that equal names in two of them are two frames.

    Raises:
        FormatError: There is no such folder, or two files are of one frame (``0.png``, ``0.JPG``).
    """
    folder = require_folder(folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*") if with_subfolders else folder.iterdir()):
        if not path.name.lower().endswith(tuple(suffixes)) or not is_data_file(path):
            continue
        name = (path.parent.relative_to(folder) / stem_of(path, suffixes)).as_posix()
        if name in found:
            raise FormatError(path, f"is of one frame with {found[name]}; keep one of the two")
        found[name] = path
    return found


def find_file(
    folder: str | os.PathLike, name: str, suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> Path | None:
    """The file of a frame in a folder, whatever the case of its suffix.

    Args:
        folder: Where to look.
        name: Of the frame, with sub-folders where it has them.
        suffixes: Known ones, in lower case.

    Returns:
        The file, or None.

    Raises:
        FormatError: There are two, or what has its name is no file.
    """
    found = spellings(folder, name, suffixes)
    if len(found) > 1:
        raise FormatError(found[1], f"is of one frame with {found[0]}; keep one of the two")
    for path in [] if found else _spelled(folder, name, suffixes):
        if os.path.lexists(path):
            raise FormatError(path, _no_file(path))
    return found[0] if found else None


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a file"
    return "is a device, not a file" if path.exists() else "is a link to nothing"


def spellings(folder: str | os.PathLike, name: str, suffixes: Sequence[str]) -> list[Path]:
    """The files of a frame that are there, in the order of the suffixes, each once.

    Args:
        folder: Where to look.
        name: Of the frame, with sub-folders where it has them.
        suffixes: Known ones, in lower case; ``.JPG`` and ``.Jpg`` count as well.
    """
    # not Path.is_file, which raises of names that are too long
    found = [path for path in _spelled(folder, name, suffixes) if os.path.isfile(path)]
    return [p for i, p in enumerate(found) if not any(p.samefile(q) for q in found[:i])]


def _spelled(folder: str | os.PathLike, name: str, suffixes: Sequence[str]) -> list[Path]:
    base = Path(folder) / name
    cases = (lambda s: s, str.upper, str.title)  # .jpg, .JPG, .Jpg
    return [base.with_name(base.name + case(s)) for s in suffixes for case in cases]
