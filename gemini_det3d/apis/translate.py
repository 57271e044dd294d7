"""Which images of files or folders belong together, for `gemini-det3d translate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, files_by_stem
from gemini_det3d.formats.taskonomy import stem_of


def find_views(inputs: Sequence[Path]) -> list[tuple[str, list[Path]]]:
    """Put together the files of each view.

    Args:
        inputs: Image files, or folders of them.

    Returns:
        Names and files, in the order of ``inputs``. The first folder decides which views there
        are; a file that another folder lacks is left in the list, and is an error when read.

    Raises:
        FormatError: A path does not exist, a folder holds no image, two of its images are of one
            view, or files and folders are mixed.
    """
    for path in inputs:
        if not path.exists():
            raise FormatError(path, "no such file or folder")
        if path.is_dir() != inputs[0].is_dir():
            raise FormatError(path, f"is {'a folder' if path.is_dir() else 'one file'}, "
                              f"{inputs[0]} is not")  # fmt: skip
    if not inputs[0].is_dir():
        return [(stem_of(inputs[0].name), list(inputs))]
    folders = [_images_of(folder) for folder in inputs]
    return [
        (stem, [found.get(stem, path / f"{stem}.png") for found, path in zip(folders, inputs)])
        for stem in folders[0]
    ]


def _images_of(folder: Path) -> dict[str, Path]:
    """Images by the name of their view, sorted."""
    images: dict[str, Path] = {}
    for name, path in files_by_stem(folder, with_subfolders=True).items():
        view = (Path(name).parent / stem_of(Path(name).name)).as_posix()
        if view in images:
            raise FormatError(path, f"is of one view with {images[view]}")
        images[view] = path
    if not images:
        raise FormatError(folder, f"holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return images
