"""Where the time of our operator goes: its steps by kind, under PyTorch's profiler."""

from __future__ import annotations

from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile

from gemini_det3d.formats.tables import markdown_table

from .cases import Case
from .measure import Inputs, draw_operators, lower, run_sites

__all__ = ["KINDS", "break_down", "breakdown_lines"]

KINDS = {
    "matrix products": ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv"),
    "GELU": ("gelu", "gelu_backward"),
    "softmax": ("_softmax", "_softmax_backward_data"),
    "sums over tokens or channels": ("sum",),
    "copies and conversions": ("copy_", "clone", "cat", "_to_copy", "fill_", "zero_"),
    "other elementwise": (
        *("add", "add_", "sub", "sub_", "mul", "mul_", "rsub", "addcmul", "addcmul_"),
        *("lerp", "exp_", "reciprocal_", "sigmoid", "where"),
    ),
}
"""Kind of step -> the ATen operations that do it."""
_REST = "starting operations, from Python"
_RUNS, _WARMING = 3, 2


def break_down(case: Case, mode: str, dtype: str, seed: int = 0) -> dict[str, float]:
    """Milliseconds of one call of all sites by kind of step, on the CPU.

    Args:
        case: What to run; opponents are left out.
        mode: "inference" or "training".
        dtype: "float32" or "bfloat16".
        seed: Of parameters and inputs.

    Returns:
        Kind to ms, mean of three calls; the last entry is what is left of the wall time. The
        profiler itself takes some microseconds an operation, which are in that rest.
    """
    torch.manual_seed(seed)
    runner = lower(draw_operators(case.sites), getattr(torch, dtype))
    inputs = Inputs(case.sites)
    inputs.refresh()
    for _ in range(_WARMING):
        run_sites(runner, inputs, mode)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        started = perf_counter()
        for _ in range(_RUNS):
            run_sites(runner, inputs, mode)
        wall_ms = 1e3 * (perf_counter() - started) / _RUNS
    self_ms = {
        event.key.removeprefix("aten::"): event.self_cpu_time_total / 1e3 / _RUNS
        for event in profiled.key_averages()
    }
    spent = {
        kind: sum(self_ms.get(operation, 0.0) for operation in operations)
        for kind, operations in KINDS.items()
    }
    return {**spent, _REST: wall_ms - sum(spent.values())}


def breakdown_lines(name: str, spent: dict[str, float]) -> list[str]:
    """A Markdown table of `break_down`'s result."""
    wall_ms = sum(spent.values())
    rows = [[kind, f"{ms:.1f}", f"{ms / wall_ms:.1%}"] for kind, ms in spent.items()]
    return markdown_table(
        [name, "ms", "share"], [*rows, ["all", f"{wall_ms:.1f}", ""]]
    ).splitlines()
