"""Write synthetic rooms in the layout of SUN RGB-D's extraction."""

from __future__ import annotations

import argparse

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.commands import add_set_sizes, check_set_sizes
from gemini_det3d.worlds.generate_rooms import make_rooms
from gemini_det3d.worlds.room_frames import ROOM_PRESETS

EPILOG = """\
Presets:
  toy      256 x 192 images
  sunrgbd  730 x 530 images, as SUN RGB-D's

Then: gemini-det3d prepare sunrgbd OUT. The same arguments give the same files, for any number of
workers. A run that was interrupted goes on where it stopped; other arguments need another folder.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to and how many."""
    parser.add_argument("out", help="folder to write; holds sunrgbd_trainval/ afterwards")
    add_set_sizes(parser, "frames", train=200, val=50)
    parser.add_argument("--preset", choices=list(ROOM_PRESETS), default="toy", help="(toy)")


def run(args: argparse.Namespace) -> int:
    """Make the rooms and say what was done.

    Raises:
        ConfigError: An argument is out of range.
        FormatError: The folder holds rooms made with other arguments.
    """
    check_set_sizes(args)
    try:
        made = make_rooms(args.out, args.train, args.val, args.seed, args.preset, args.workers)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ConfigError(str(error)) from None
    print(f"{made.folder}: {made.num_made} frames made, {made.num_kept} were there already")
    return 0
