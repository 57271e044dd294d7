"""Turn a released or ImageNet checkpoint into ours, and back."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.conversion.resize import resize_position_table
from gemini_det3d.apis.trained_model import build_model
from gemini_det3d.formats import FormatError
from gemini_det3d.models.checkpoints import (
    check_report,
    fit_state,
    in_stated_layout,
    read_checkpoint,
    write_state,
)

EPILOG = """\
Knows the released segmentors (MiT, Swin, DeLiVER), the released KITTI detector, and ImageNet files
of MiT and Swin; which one a file is, its names tell. The report says what was mapped, what is
expected to be absent, what is suspicious and what is fatal; with anything fatal nothing is written
and the exit code is 1. With --as-is a checkpoint of ours or of mmdet3d keeps its names: its weights
alone, without optimiser and pickle. Files are read without running code. The target is .safetensors
or .pth (then mmengine's load_from and init_cfg take it).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to read, where to, and what to check it against."""
    parser.add_argument("source", type=Path, help="checkpoint to read")
    parser.add_argument("target", type=Path, nargs="?", help="file to write; without: report only")
    parser.add_argument("--config", help="convert for this config's model, by path or name")
    parser.add_argument(
        "--modalities",
        type=int,
        default=2,
        help="norms that each of an ImageNet file becomes (2; --config's model tells)",
    )
    parser.add_argument(
        "--window-size", type=int, help="resize Swin's position tables to this window"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="PREFIX", help="leave these of ours out"
    )
    parser.add_argument(
        "--to-released",
        metavar="LAYOUT",
        help="the other way: 'released MiT segmentor', 'released DeLiVER segmentor', "
        "'released Swin segmentor', 'released KITTI detector'",
    )
    parser.add_argument(
        "--as-is", action="store_true", help="keep the names: only the weights of a checkpoint"
    )
    parser.add_argument("--verbose", action="store_true", help="list every parameter")


def run(args: argparse.Namespace) -> int:
    """Convert and report; 1 if something is fatal.

    Raises:
        FormatError: A file cannot be read or written.
        ConfigError: An argument is wrong.
    """
    from gemini_det3d.apis.conversion.convert import convert_state
    from gemini_det3d.apis.conversion.expected import config_shapes

    state = in_stated_layout(read_checkpoint(args.source)["state_dict"])
    for option, value in (
        ("--modalities", args.modalities),
        ("--window-size", args.window_size),
    ):
        if value is not None and value < 1:
            raise ConfigError(f"{option} {value}: must be 1 or more")
    if args.as_is:
        return _keep(state, args)
    if args.to_released:
        released = _to_released(state, args)
        if args.target:
            write_state(args.target, in_stated_layout(released), {"layout": args.to_released})
        print(f"{args.source}: {len(released)} parameters as {args.to_released}")
        return 0
    if args.window_size:
        state = OrderedDict((n, _resized(n, t, args.window_size)) for n, t in state.items())
    wanted = config_shapes(args.config) if args.config else None
    report = convert_state(state, args.modalities, wanted)
    print(report.text(args.verbose))
    if report.fatal:
        return 1
    kept = {n: t for n, t in report.state.items() if not n.startswith(tuple(args.without))}
    if args.target:
        meta = {"converted_from": args.source.name, "layout": report.layout}
        write_state(args.target, in_stated_layout(kept), meta)
        print(f"{args.target}: {len(kept)} parameters written")
    return 0


def _keep(state: Mapping[str, Tensor], args: argparse.Namespace) -> int:
    """Write the weights under their own names, all of them what a config's model wants."""
    for option, value in (("--to-released", args.to_released), ("--window-size", args.window_size)):
        if value:
            raise ConfigError(f"--as-is: does not go with {option}")
    if args.config:
        _, report = fit_state(build_model(read_config(args.config)), state)
        remedy = "--without PREFIX leaves them out"
        check_report(report, state, args.source, args.without, remedy=remedy)
    kept = {n: t for n, t in state.items() if not n.startswith(tuple(args.without))}
    if args.target:
        write_state(args.target, in_stated_layout(kept), {"converted_from": args.source.name})
    print(f"{args.target or args.source}: {len(kept)} parameters under their own names")
    return 0


def _resized(name: str, tensor: Tensor, window: int) -> Tensor:
    is_table = name.endswith("relative_position_bias_table")
    return resize_position_table(tensor, window) if is_table else tensor


def _to_released(state: dict[str, Tensor], args: argparse.Namespace) -> dict[str, Tensor]:
    from gemini_det3d.apis.conversion.convert import DETECTOR
    from gemini_det3d.models.checkpoints import to_released_detector, to_released_segmentor

    try:
        if args.to_released == DETECTOR:
            return to_released_detector(state)
        return to_released_segmentor(state, args.to_released)
    except ValueError as error:
        raise FormatError(args.source, str(error)) from None
