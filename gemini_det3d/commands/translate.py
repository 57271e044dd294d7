"""Translate a pair of images, or two folders of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.findings import Finding, capped
from gemini_det3d.apis.translate import find_views
from gemini_det3d.apis.translator import Translator
from gemini_det3d.commands import add_model_options
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.files import make_folder
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.formats.taskonomy import write_png

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
    add_model_options(parser, with_changes=False)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    A view that cannot be used is told at the end, and the others go on; 1 then. A result that
    cannot be written ends it.
    """
    views = find_views(args.inputs)
    keep_folders(args.out, args.inputs, with_subfolders=args.inputs[0].is_dir())
    make_folder(args.out)
    translator = Translator(args.config, args.checkpoint, args.device, args.allow_missing)
    if len(args.inputs) != len(translator.sources):
        raise ConfigError(f"{len(args.inputs)} inputs; {args.config} translates from "
                          f"{', '.join(translator.sources)}")  # fmt: skip
    failed = []
    for name, paths in tqdm(views, desc="translating", unit="view", disable=len(views) == 1):
        try:
            picture = translator(paths)
        except FormatError as error:
            if len(views) == 1:
                raise
            failed.append(Finding("error", error.path, error.fault))
            continue
        write_png(args.out / f"{name}.png", picture)
    for line in capped(failed):
        print(line, file=sys.stderr)
    done = len(views) - len(failed)
    print(f"{args.out}: {translator.target} of {done} of {len(views)} views")
    return int(bool(failed))
