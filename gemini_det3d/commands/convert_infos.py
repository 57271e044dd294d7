"""Info files of mmdet3d as JSON: ``gemini-det3d convert-infos FILE.pkl ...``."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
Writes FILE.json beside FILE.pkl; the pickle stays. Training, testing and evaluation of this plug-in
read the JSON in its place, which cannot hold code, as long as it belongs to the pickle.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    parser.add_argument("infos", type=Path, nargs="+", help="info files (*.pkl)")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    from gemini_det3d.formats.infos import write_twin

    for path in args.infos:
        print(write_twin(path))
    return 0
