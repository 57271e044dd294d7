"""Write views of a synthetic world in Taskonomy's layout."""

from __future__ import annotations

import argparse

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.commands import add_set_sizes, check_set_sizes
from gemini_det3d.worlds.taskonomy_set import WORLDS, ViewSet, make_taskonomy_views
from gemini_det3d.worlds.views import SMALLEST_PX, Viewpoint
from gemini_det3d.worlds.weather import WEATHERS

EPILOG = """\
Writes a folder per domain (rgb, normal, reshading, depth_euclidean, depth_zbuffer,
principal_curvature, edge_occlusion, edge_texture), train.txt and val.txt.

The same arguments give the same files, for any number of workers. A run that was interrupted goes
on where it stopped; other arguments need another folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, how many, and what is seen."""
    defaults = ViewSet()
    add = parser.add_argument
    add("out", help="folder to write")
    add_set_sizes(parser, "views", defaults.num_train, defaults.num_val)
    add("--world", choices=list(WORLDS), default=defaults.world, help="(%(default)s)")
    add("--weathers", nargs="+", choices=list(WEATHERS), default=[],
        help="scenes come in these in turn (daylight)")  # fmt: skip
    add("--size", type=int, default=defaults.viewpoint.size_px, help="pixels (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Make the views and say what was done.

    Raises:
        ConfigError: An argument is out of range.
        FormatError: The folder holds views made with other arguments.
    """
    check_set_sizes(args)
    if args.size < SMALLEST_PX:
        raise ConfigError(f"--size {args.size}: must be {SMALLEST_PX} or more")
    try:
        views = ViewSet(
            args.train, args.val, args.seed, args.world,
            viewpoint=Viewpoint(size_px=args.size), weathers=tuple(args.weathers),
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(str(error)) from None
    made = make_taskonomy_views(args.out, views, args.workers)
    print(f"{made.folder}: {made.num_made} views made, {made.num_kept} were there already")
    return 0
