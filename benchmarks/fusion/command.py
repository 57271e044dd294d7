"""The operator against its released form, the bare products and other ways to fuse."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.devices import choose_device
from gemini_det3d.formats.text import write_text

from .cases import Case, gpu_cases, growth_cases, headline_cases, shape_grid

_ROUNDS, _QUICK_ROUNDS = 15, 3
_GPU_CASE_SECONDS = 2.0
_GPU_SECONDS = 100.0  # with the last case under two minutes
_SECONDS, _QUICK_SECONDS = 6.0, 0.5  # a case and mode: no further round once this is spent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``benchmark fusion``."""
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds")
    parser.add_argument("--rounds", type=int, help=f"timed rounds a case (default {_ROUNDS})")
    parser.add_argument("--only", metavar="TEXT", help="cases whose name holds the text")
    parser.add_argument(
        "--breakdown", action="store_true",
        help="where our time goes, by kind of step, in place of the opponents (CPU)",
    )  # fmt: skip
    parser.add_argument(
        "--release-memory", action="store_true",
        help="let freed memory go back to the system, so that calls pay for new pages (CPU)",
    )  # fmt: skip
    parser.add_argument(
        "--inspect", action="store_true",
        help="registers, spills and shared memory of the GPU kernels, compiled without a GPU",
    )  # fmt: skip
    parser.add_argument(
        "--beside", action="store_true",
        help="the headline cases quiet and beside a busy program on one core, both ratios (CPU)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--seconds", type=float, default=_GPU_SECONDS,
        help=f"on a GPU no further case is begun after so many (default {_GPU_SECONDS:g})",
    )  # fmt: skip
    parser.add_argument(
        "--compiled", action="store_true", help="on a GPU forms under torch.compile, too (minutes)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of parameters and inputs")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--plot", metavar="FILE", help="write time against tokens as PNG")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and the goals, write JSON, Markdown and plot where asked for."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler talks on its own
    from .memory import keep_memory
    from .report import goal_lines, machine_line, plot_growth, table_lines

    if args.release_memory and args.device != "cpu":
        raise ConfigError("--release-memory: is of the CPU's memory")
    is_kept = args.device == "cpu" and not args.release_memory and keep_memory()
    if args.inspect:
        return _inspect(args)
    if args.breakdown:
        return _break_down(args)
    if args.beside:
        return _measure_beside(args)
    if args.device.startswith("cuda"):
        return _measure_gpu(args)
    planned = [case.name for case, *_ in _plan(args.quick, args.only)]
    if args.plot and not any(name.startswith("growth") for name in planned):
        raise ConfigError(
            f"--plot: draws the growth cases, of which --only={args.only} leaves none"
        )
    started = perf_counter()
    rows = measure(args.quick, args.rounds, args.only, args.device, args.seed)
    minutes = (perf_counter() - started) / 60
    place = f"{machine_line(args.device)}, seed {args.seed}, {minutes:.1f} min"
    place += ", freed memory kept" if is_kept else ""
    text = "\n".join([place, "", *goal_lines(rows, args.device), "", *table_lines(rows), ""])
    return _tell(args, rows, text, plot_growth)


def _tell(args: argparse.Namespace, rows: list[dict], text: str, plot: Any) -> int:
    """Print, and write the files that were asked for."""
    print(text)
    if args.markdown:
        write_text(args.markdown, text)
    if args.json:
        write_text(args.json, json.dumps(rows, indent=2) + "\n")
    if args.plot:
        plot(rows, args.plot)
    return 0


def _measure_gpu(args: argparse.Namespace) -> int:
    """Wall, GPU and graph times apart, in order of worth until the time is over."""
    from .gpu_report import gpu_goal_lines, gpu_table_lines, plot_gpu
    from .measure import compare
    from .report import goal_lines, machine_line

    choose_device(args.device)
    rounds = args.rounds or (_QUICK_ROUNDS if args.quick else _ROUNDS)
    seconds = _QUICK_SECONDS if args.quick else _GPU_CASE_SECONDS
    started, rows, left = perf_counter(), [], []
    for case, mode, dtype in _plan(args.quick, args.only, True, args.compiled):
        name = f"{case.name}, {dtype}, {mode}"
        if perf_counter() - started > args.seconds:
            left.append(name)
            continue
        print(f"{perf_counter() - started:5.0f} s  {name}", flush=True)
        rows += compare(case, mode, dtype, rounds, seconds, args.device, args.seed)
    place = f"{machine_line(args.device)}, seed {args.seed}, {perf_counter() - started:.0f} s"
    goals = [*goal_lines(rows, args.device), "", *gpu_goal_lines(rows)]
    missing = [f"not begun after {args.seconds:g} s: {'; '.join(left)}", ""] if left else []
    text = "\n".join([place, "", *missing, *goals, "", *gpu_table_lines(rows), ""])
    return _tell(args, rows, text, plot_gpu)


def _inspect(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from .inspect import CHANNELS, resource_lines

    if find_spec("triton") is None:
        raise ConfigError("--inspect: needs Triton: pip install triton")
    if args.json or args.plot or args.breakdown:
        raise ConfigError("--inspect: has no --json, --plot and --breakdown")
    text = "\n".join([*resource_lines(channels=(64, 256) if args.quick else CHANNELS), ""])
    print(text)
    if args.markdown:
        write_text(args.markdown, text)
    return 0


def _measure_beside(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .beside import beside_lines, busy_core, of_released
    from .measure import compare
    from .report import machine_line

    if args.plot or args.json or args.device != "cpu":
        raise ConfigError("--beside: is measured on the cpu and has no --plot and --json")
    plan = _modes(of_released(headline_cases(args.quick)), args.only)
    how = (*_lengths(args.quick, args.rounds), args.device, args.seed)
    quiet, beside = [], []
    try:
        for what in tqdm(plan, unit="case"):
            quiet += compare(*what, *how, times_alone=True)
            with busy_core():
                beside += compare(*what, *how, times_alone=True)
    except OSError as error:
        raise ConfigError(f"--beside: {error}") from error
    place = f"{machine_line(args.device)}, seed {args.seed}"
    text = "\n".join([place, "", *beside_lines(quiet, beside), ""])
    print(text)
    if args.markdown:
        write_text(args.markdown, text)
    return 0


def _break_down(args: argparse.Namespace) -> int:
    from .breakdown import break_down, breakdown_lines
    from .report import machine_line

    if args.plot or args.device != "cpu":
        raise ConfigError("--breakdown: is measured on the cpu and has no --plot")
    plan = [(f"{case.name}, {dtype}, {mode}", case, mode, dtype)
            for case, mode, dtype in _plan(args.quick, args.only)]  # fmt: skip
    found = {name: break_down(*what, args.seed) for name, *what in plan}
    tables = [line for item in found.items() for line in ("", *breakdown_lines(*item))]
    text = "\n".join([f"{machine_line(args.device)}, seed {args.seed}", *tables, ""])
    print(text)
    if args.markdown:
        write_text(args.markdown, text)
    if args.json:
        write_text(args.json, json.dumps(found, indent=2) + "\n")
    return 0


def measure(
    is_quick: bool = False,
    rounds: int | None = None,
    only: str | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> list[dict]:
    """All rows of the benchmark; shows progress.

    Args:
        is_quick: Fewer shapes and rounds: under two minutes on two cores.
        rounds: Timed rounds a case; None: 15, or 3 in a hurry. Long cases take fewer, short ones
            more.
        only: Measure only cases whose name holds this text.
        device: "cpu" or "cuda".
        seed: Of parameters and inputs.

    Returns:
        Rows as `compare` gives them.

    Raises:
        ConfigError: No case is left, or rounds is below one.
    """
    from tqdm import tqdm

    from .measure import compare

    how = (*_lengths(is_quick, rounds), device, seed)
    plan, rows = _plan(is_quick, only), []
    for what in tqdm(plan, unit="case"):
        rows += compare(*what, *how)
    return rows


def _lengths(is_quick: bool, rounds: int | None) -> tuple[int, float]:
    """Rounds of a case, and the seconds after which no further one is begun."""
    rounds = rounds if rounds is not None else _QUICK_ROUNDS if is_quick else _ROUNDS
    if rounds < 1:
        raise ConfigError(f"--rounds: must be 1 or more, got {rounds}")
    return rounds, _QUICK_SECONDS if is_quick else _SECONDS


def _plan(
    is_quick: bool, only: str | None, on_gpu: bool = False, with_compiled: bool = False
) -> list[tuple[Case, str, str]]:
    """What is measured: case, mode and dtype."""
    if on_gpu:
        return _modes(gpu_cases(with_compiled), only)
    every = [*headline_cases(is_quick), *growth_cases(is_quick), *shape_grid(is_quick)]
    return _modes(every, only)


def _modes(cases: Sequence[Case], only: str | None) -> list[tuple[Case, str, str]]:
    """Each case whose name holds the text, in each mode and dtype."""
    plan = [
        (case, mode, dtype)
        for case in cases
        if only is None or only in case.name
        for dtype, modes in (
            ("float32", case.modes),
            ("bfloat16", case.bfloat16_modes),
            ("tf32", case.tf32_modes),
        )
        for mode in modes
    ]
    if not plan:
        raise ConfigError(f"--only: no case holds {only!r}")
    return plan
