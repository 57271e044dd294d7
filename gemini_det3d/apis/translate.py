"""Translate a pair of images, or two folders of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.checkpoint import add_allow_missing
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.translator import Translator
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, files_by_stem
from gemini_det3d.formats.taskonomy import stem_of, write_png

EPILOG = """\
Inputs stand in the order of the config's sources. In folders, images belong together whose names
are equal up to Taskonomy's ending: point_7_view_2_domain_rgb.png, point_7_view_2_domain_normal.JPG
and point_7_view_2.png are of one view. Sub-folders belong to the name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("config", help="config file, or the name of one of this plug-in's")
    add("checkpoint", type=Path, help="trained parameters (.pth)")
    add("inputs", type=Path, nargs="+", metavar="INPUT", help="image or folder, one per source")
    add("--out", type=Path, default=Path("work_dirs/translate"), help="folder (%(default)s)")
    add("--device", default="cpu", help="cpu or cuda:0 (%(default)s)")
    add_allow_missing(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    A view that cannot be used is one line, and the others go on; 1 then.
    """
    views = find_views(args.inputs)
    keep_folders(args.out, args.inputs, with_subfolders=args.inputs[0].is_dir())
    translator = Translator(args.config, args.checkpoint, args.device, args.allow_missing)
    if len(args.inputs) != len(translator.sources):
        raise ConfigError(f"{len(args.inputs)} inputs; {args.config} translates from "
                          f"{', '.join(translator.sources)}")  # fmt: skip
    failed = 0
    for name, paths in tqdm(views, desc="translating", unit="view", disable=len(views) == 1):
        try:
            write_png(args.out / f"{name}.png", translator(paths))
        except FormatError as error:
            if len(views) == 1:
                raise
            failed += 1
            tqdm.write(f"error    {error}", file=sys.stderr)
    print(f"{args.out}: {translator.target} of {len(views) - failed} of {len(views)} views")
    return int(failed > 0)


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
