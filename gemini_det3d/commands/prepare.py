"""Check a data set and write mmdet3d's info files: ``gemini-det3d prepare DATASET ROOT``."""

from __future__ import annotations

import argparse

from gemini_det3d.commands import add_subcommands, load_command

# Data set -> (module of its command, help).
DATASETS = {
    "kitti": ("prepare_kitti", "KITTI object detection, or anything in its raw layout"),
    "segmentation": ("prepare_segmentation", "NYUDv2, SUN RGB-D or DeLiVER for segmentation"),
    "sunrgbd": ("prepare_sunrgbd", "SUN RGB-D, extracted by MATLAB or as it is downloaded"),
}
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per data set."""
    add_subcommands(parser, "dataset", DATASETS)


def run(args: argparse.Namespace) -> int:
    """Run the data set's command; returns its exit code."""
    return load_command(DATASETS[args.dataset][0]).run(args)
