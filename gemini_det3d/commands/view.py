"""One HTML page of frames, labels and what detectors find, for a browser without a server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError, read_changed_config
from gemini_det3d.apis.view import (
    FrameSource,
    KittiFrames,
    PictureSource,
    Results,
    choose_frames,
    frames_with_results,
    is_config,
    open_config,
    open_results,
    open_source,
    read_frames,
)
from gemini_det3d.commands import add_model_options
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.inputs import keep_files
from gemini_det3d.visualization import class_colors
from gemini_det3d.visualization.page import (
    MAX_BOXES,
    frame_data,
    picture_data,
    render_page,
    render_pictures,
)
from gemini_det3d.visualization.rerun_file import import_rerun, record_frames

EPILOG = """\
DATA is a folder in the layout of KITTI (training/velodyne, and image_2, calib and label_2 where
there are such), SUN RGB-D (sunrgbd_trainval, or the official download), DeLiVER, NYUDv2 or
Taskonomy; or mmdet3d's info file (*.pkl, *.json) of KITTI, SUN RGB-D or nuScenes with its files
beside it; or a config of any task, whose test set is shown, with what each CHECKPOINT finds in it.
Instead of it --image, --points, --calib and --label each take a file or a folder, as `gemini-det3d
infer` does. The page is one file, loads nothing and opens by a double click.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("data", nargs="?", metavar="DATA|CONFIG", help="folder, info file, or config")
    add("checkpoints", nargs="*", type=Path, metavar="CHECKPOINT",
        help="with a config: trained parameters, each a result set")  # fmt: skip
    for name, text in (
        ("image", "image, or folder of images"),
        ("points", "point cloud, or folder"),
        ("calib", "calibration, or folder"),
        ("label", "KITTI labels, or folder"),
    ):
        add(f"--{name}", type=Path, help=text + ", instead of DATA")
    add("--results", nargs="+", type=Path, default=[], metavar="DIR",
        help="result sets in the data set's own form, shown together: folders of text files, "
        "or nuScenes submissions (*.json)")  # fmt: skip
    add("--split", type=Path, metavar="FILE", help="show the frames listed in this file")
    add("--frames", nargs="+", metavar="ID", help="show these frames")
    add("--max-frames", type=int, default=20, metavar="N",
        help="show the first N, or others if none of these has a result (default: 20)")  # fmt: skip
    add("--max-points", type=int, default=30000, metavar="N",
        help="thin out larger clouds (default: %(default)s)")  # fmt: skip
    add("--max-boxes", type=int, default=MAX_BOXES, metavar="N",
        help="of more boxes of a set in a frame show the best or nearest N "
        "(default: %(default)s)")  # fmt: skip
    add("--point-columns", type=int, default=4, metavar="N",
        help="float32 columns of .bin files (default: %(default)s)")  # fmt: skip
    add_model_options(parser)
    add("--rrd", type=Path, metavar="FILE", help="the same for the rerun viewer (extra: rerun)")
    add("--out", type=Path, default=Path("view.html"), help="page (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    for name, low in (("max_frames", 1), ("max_points", 1), ("max_boxes", 1), ("point_columns", 3)):
        if getattr(args, name) < low:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} {getattr(args, name)}, expected {low} or more")
    if args.rrd:
        import_rerun()  # before any work
    source = _open(args)
    if not source.names:
        raise FormatError(args.data or args.points, "has no frame to show")
    chosen = choose_frames(source.names, args.split, args.frames)
    is_pictures = hasattr(source, "read_pictures")
    sets = {} if is_pictures else open_results(source, args.results, chosen)
    frames = chosen[: args.max_frames]
    if not (args.split or args.frames or frames_with_results(frames, sets)):
        chosen = frames_with_results(chosen, sets)
        frames = chosen[: args.max_frames]
    _keep_inputs(args, source, frames)
    notes = []
    if len(chosen) > len(frames):
        notes.append(f"the first {len(frames)} of {len(chosen)} frames (--max-frames)")
    if is_pictures:
        page = _pictures(args, source, frames, notes)
    else:
        page = _clouds(args, source, frames, sets, notes)
    page = page.encode("utf-8")
    write_whole(args.out, page)
    print(f"{args.out}: {len(frames)} frames, {len(page) / 1e6:.1f} MB", *notes, sep="; ")
    return 0


def _clouds(
    args: argparse.Namespace, source: FrameSource, frames: Sequence[str],
    sets: Mapping[str, Results], notes: Sequence[str],
) -> str:  # fmt: skip
    names = [*source.sets, *sets]
    made = _bar(read_frames(source, frames, sets), len(frames))
    colors = class_colors(source.classes)
    colors |= class_colors((name for found in sets.values() for name in found.classes), colors)
    if args.rrd:
        made = record_frames(made, args.rrd, names, _title(args), colors)
    data = [frame_data(frame, args.max_points, args.max_boxes) for frame in made]
    return render_page(data, names, _title(args), notes, colors)


def _pictures(
    args: argparse.Namespace, source: PictureSource, frames: Sequence[str], notes: Sequence[str]
) -> str:
    if args.results:
        fault = "--results are of boxes; predictions of pictures come with CONFIG CHECKPOINT"
        raise FormatError(args.results[0], fault)
    if args.rrd:
        raise ConfigError("--rrd is for clouds; pictures go to the page alone")
    made = (source.read_pictures(name) for name in frames)
    data = [picture_data(frame) for frame in _bar(made, len(frames))]
    return render_pictures(data, source.columns, _title(args), notes, source.swatches)


def _bar(frames, count: int) -> tqdm:
    return tqdm(frames, total=count, desc="reading", unit="frame", leave=False)


def _title(args: argparse.Namespace) -> str:
    if args.data is None:
        return args.image.resolve().name
    return Path(args.data).stem if is_config(args.data) else Path(args.data).resolve().name


def _open(args: argparse.Namespace) -> FrameSource | PictureSource:
    single = [args.image, args.points, args.calib]
    of_models = ("device", "allow_missing", "cfg_options")
    given = next((name for name in of_models if getattr(args, name)), None)
    if given and not (args.data and is_config(args.data)):
        raise ConfigError(f"--{given.replace('_', '-')} is for a config's model; DATA is no config")
    if args.data is None:
        if not all(single):
            raise ConfigError("give DATA, or all of --image, --points and --calib")
        return KittiFrames.of_files(*single, args.label, args.point_columns)
    if any([*single, args.label]):
        raise ConfigError("DATA and --image, --points, --calib, --label are two ways; take one")
    if is_config(args.data):
        if "/" in args.data and not args.data.endswith(".py"):
            raise FormatError(args.data, "no such folder, info file or config")
        config = read_changed_config(args.data, args.cfg_options, args.allow_missing)
        return open_config(config, args.checkpoints, args.device)
    if args.checkpoints:
        raise ConfigError(f"{args.data} is no config, so {args.checkpoints[0]} cannot be used")
    return open_source(Path(args.data), args.point_columns)


def _keep_inputs(
    args: argparse.Namespace, source: FrameSource | PictureSource, frames: Sequence[str]
) -> None:
    """Refuse a page that would replace a file which is read, or one of another kind."""
    read = [*args.checkpoints, *(path for name in frames for path in source.files(name))]
    for given in args.results:
        read += sorted(given.glob("*.txt")) if given.is_dir() else [given]
    keep_files([args.out, *([args.rrd] if args.rrd else [])], read)
    if args.rrd and args.rrd.is_file() and args.rrd.suffix.lower() != ".rrd":
        raise FormatError(args.rrd, "is there and no .rrd file; --rrd would overwrite it")
    if args.out.is_file() and args.out.suffix.lower() not in (".html", ".htm"):
        raise FormatError(args.out, "is there and no .html file; --out would overwrite it")
