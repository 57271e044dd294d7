"""Write a synthetic street world in KITTI's layout or in that of a segmentation set."""

from __future__ import annotations

import argparse
from dataclasses import replace

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.commands import add_set_sizes, check_set_sizes
from gemini_det3d.worlds.generate import make_kitti_scenes
from gemini_det3d.worlds.generate_seg import make_seg_scenes
from gemini_det3d.worlds.presets import PRESETS, KittiWorld, get_preset
from gemini_det3d.worlds.seg_frames import LAYOUTS, SegWorld

EPILOG = """\
Presets:
  toy          1242 x 375 images, 64 beams over the front 90 degrees, up to 50 m
  look-alikes  three classes of one shape, told apart by their paint only, so that the LiDAR alone
               cannot: 621 x 188 images, 32 beams, up to 24 m
  look-alikes-hard  the same in paints that are close or differ in their pattern, up to 38 m away:
               1242 x 375 images, 64 beams, up to 44 m
  kitti        1242 x 375 images, whole sweeps, up to 100 m

Layouts:
  kitti    images, points, calibration, boxes: for detection
  deliver  RGB, HHA depth, events, LiDAR image and labels in DeLiVER's folders, in five weathers
  nyudv2   RGB, depth and labels with NYUDv2's lists
  sunrgbd  RGB, depth and labels with SUN RGB-D's lists
The last three are 256 x 96 pixels unless --image-size says otherwise, and take no look-alikes.

The same arguments give the same files, for any number of workers. A run that was interrupted goes
on where it stopped; other arguments need another folder.
"""

# What the library calls them.
_OPTIONS = {
    "num_beams": "--beams",
    "num_azimuths": "--azimuths",
    "field_deg": "--field",
    "range_m": "--range",
    "decoy_share": "--decoys",
    "image_width": "--image-size",
    "image_height": "--image-size",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, how many, and what may differ from the preset."""
    parser.add_argument("out", help="folder to write, in the form of --layout")
    add_set_sizes(parser, "frames", train=200, val=50)
    parser.add_argument("--preset", choices=list(PRESETS), default="toy", help="(toy)")
    parser.add_argument("--layout", choices=("kitti", *LAYOUTS), default="kitti", help="(kitti)")
    change = parser.add_argument_group("instead of the preset's value")
    change.add_argument("--image-size", type=int, nargs=2, metavar=("W", "H"), help="pixels")
    change.add_argument("--beams", type=int, help="beams of the LiDAR")
    change.add_argument("--azimuths", type=int, help="steps of the LiDAR over its field")
    change.add_argument("--field", type=float, help="field of the LiDAR, degrees")
    change.add_argument("--range", type=float, dest="range_m", help="of the LiDAR, metres")
    change.add_argument("--decoys", type=float, help="share of road users that are decoys, 0 to 1")


def run(args: argparse.Namespace) -> int:
    """Make the scenes and say what was done.

    Raises:
        ConfigError: An argument is out of range.
        FormatError: The folder holds scenes made with other arguments.
    """
    try:
        world = _world(args) if args.layout == "kitti" else _seg_world(args)
    except ValueError as error:
        raise ConfigError(_of_option(str(error))) from None
    check_set_sizes(args)
    numbers, hidden = (args.train, args.val, args.seed), ""
    if isinstance(world, SegWorld):
        made = make_seg_scenes(args.out, *numbers, args.layout, world, args.workers)
    else:
        made = make_kitti_scenes(args.out, *numbers, world, args.workers)
        hidden = "; one of them is for testing/, which mmdet3d's converter wants"
    print(f"{made.folder}: {made.num_made} frames made, {made.num_kept} were there already{hidden}")
    return 0


def _of_option(fault: str) -> str:
    """``range_m=-1 must be positive`` by the option that it came from."""
    name, _, rest = fault.partition("=")
    value, _, rest = rest.partition(" ")
    return f"{_OPTIONS[name]} {value}: {rest}" if name in _OPTIONS else fault


def _world(args: argparse.Namespace) -> KittiWorld:
    world = get_preset(args.preset)
    scanner = {
        "num_beams": args.beams,
        "num_azimuths": args.azimuths,
        "field_deg": args.field,
        "range_m": args.range_m,
    }
    scanner = {name: value for name, value in scanner.items() if value is not None}
    world = replace(world, scanner=replace(world.scanner, **scanner))
    if args.decoys is not None:
        world = replace(world, street=replace(world.street, decoy_share=args.decoys))
    if args.image_size is not None:
        width, height = args.image_size
        world = replace(world, image_width=width, image_height=height)
    return world


def _seg_world(args: argparse.Namespace) -> SegWorld:
    rig = replace(_world(args), supersample=2)
    if args.image_size is None:
        size = SegWorld().rig
        rig = replace(rig, image_width=size.image_width, image_height=size.image_height)
    return SegWorld(rig)
