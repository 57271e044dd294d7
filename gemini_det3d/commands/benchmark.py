"""Benchmarks: one subcommand each, or all of them. They lie beside the package, in a checkout."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from gemini_det3d.apis.config import PACKAGE, ConfigError
from gemini_det3d.commands import Command, add_subcommands

EPILOG = ""
_FOLDER = PACKAGE.parent / "benchmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subparser per benchmark; 'all' runs each that has defaults."""
    if not _FOLDER.is_dir():
        parser.description = f"{parser.description} (from a checkout; they are not installed)"
        parser.add_argument("arguments", nargs="*")
        return
    choices = add_subcommands(parser, "benchmark", _benchmarks(), _load)
    everything = choices.add_parser("all", help="each of them with its defaults")
    everything.add_argument("--quick", action="store_true", help="the short versions")


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; the exit code is the worst one.

    Raises:
        ConfigError: This is no checkout.
    """
    if not _FOLDER.is_dir():
        raise ConfigError("benchmarks are not installed; run this from a checkout of the project")
    if args.benchmark != "all":
        return _module(args.benchmark).run(args)
    codes = []
    for name in _benchmarks():
        parser = argparse.ArgumentParser()
        _module(name).add_arguments(parser)
        if any(not action.option_strings for action in parser._actions):
            continue  # needs to be told what to measure
        known = {option for action in parser._actions for option in action.option_strings}
        quick = ["--quick"] if args.quick and "--quick" in known else []
        codes.append(_module(name).run(parser.parse_args(quick)))
    return max(codes)


def _benchmarks() -> dict[str, tuple[str, str]]:
    root = str(_FOLDER.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    return import_module("benchmarks").BENCHMARKS


def _module(name: str) -> Command:
    return _load(_benchmarks()[name][0])


def _load(module_name: str) -> Command:
    return import_module(f"benchmarks.{module_name}")
