"""Which images of files or folders belong together, for `gemini-det3d translate`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, files_by_stem
from gemini_det3d.formats.taskonomy import stem_of

_LOG = logging.getLogger(__name__)


def find_views(inputs: Sequence[Path]) -> list[tuple[str, list[Path]]]:
    """Put together the files of each view.

    Args:
        inputs: Image files, or folders of them.

    Returns:
        Names and files, in the order of ``inputs``. The first folder decides which views there
        are; a file that another folder lacks is left in the list, and is an error when read. Images
        that only another folder has are logged.

    Raises:
        FormatError: A path does not exist, a folder holds no image, two of its images are of one
            view, or none is of a view of the first folder's; or files and folders are mixed.
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
    for folder, images in zip(inputs, folders):
        _tell_alone(folder, images, inputs[0], folders[0])
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


def _tell_alone(folder: Path, images: dict, first_folder: Path, first: dict) -> None:
    """Log the images of a folder that no view of the first takes; none taken is an error."""
    alone = [name for name in images if name not in first]
    if len(alone) == len(images):
        fault = f"holds no image of a view in {first_folder}: {alone[0]} here, {next(iter(first))}"
        raise FormatError(folder, f"{fault} there; names must be equal up to _domain_*")
    if alone:
        count = f"{len(alone)} of {len(images)} images have no twin in {first_folder}"
        _LOG.warning("%s: %s (first: %s); they are left out", folder, count, alone[0])
