"""Check a data set and write mmdet3d's info files: ``gemini-det3d prepare DATASET ROOT``."""

from __future__ import annotations

import argparse
from importlib import import_module

# Data set -> (module in gemini_det3d.apis, help). Each has add_arguments and run, as a command.
DATASETS = {
    "kitti": ("prepare_kitti", "KITTI object detection, or anything in its raw layout"),
    "segmentation": ("prepare_segmentation", "NYUDv2, SUN RGB-D or DeLiVER for segmentation"),
    "sunrgbd": ("prepare_sunrgbd", "SUN RGB-D, extracted by MATLAB or as it is downloaded"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per data set."""
    choices = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    for name, (module_name, text) in DATASETS.items():
        module = import_module(f"gemini_det3d.apis.{module_name}")
        sub = choices.add_parser(
            name,
            help=text,
            description=module.__doc__,
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    """Run the data set's command; returns its exit code."""
    return import_module(f"gemini_det3d.apis.{DATASETS[args.dataset][0]}").run(args)
