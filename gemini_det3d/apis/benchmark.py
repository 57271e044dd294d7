"""Benchmarks: one subcommand each, or all of them."""

from __future__ import annotations

import argparse
from importlib import import_module

BENCHMARKS = {
    "fusion": ("benchmark_fusion", "the operator against its released form and its rivals"),
    "segmentation": (
        "benchmark_segmentation",
        "a whole two-stream segmentor with and without fusion",
    ),
    "launches": (
        "benchmark_launches",
        "operator calls and waits of a config's training step, counted without a GPU",
    ),
    "kitti-eval": ("benchmark_kitti_eval", "KITTI evaluation of 3,769 frames"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subparser per benchmark; 'all' runs each that has defaults."""
    choices = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, (module, text) in BENCHMARKS.items():
        sub = choices.add_parser(name, help=text, description=text)
        import_module(f"gemini_det3d.apis.{module}").add_arguments(sub)
    everything = choices.add_parser("all", help="each of them with its defaults")
    everything.add_argument("--quick", action="store_true", help="the short versions")


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; the exit code is the worst one."""
    if args.benchmark != "all":
        return _module(args.benchmark).run(args)
    codes = []
    for name in BENCHMARKS:
        parser = argparse.ArgumentParser()
        _module(name).add_arguments(parser)
        if any(not action.option_strings for action in parser._actions):
            continue  # needs to be told what to measure
        known = {option for action in parser._actions for option in action.option_strings}
        quick = ["--quick"] if args.quick and "--quick" in known else []
        codes.append(_module(name).run(parser.parse_args(quick)))
    return max(codes)


def _module(name: str):
    return import_module(f"gemini_det3d.apis.{BENCHMARKS[name][0]}")
