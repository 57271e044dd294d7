"""Interleaved timing, accuracy against float64, and peak memory of one case."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gemini_det3d.fusion import GeminiFusion

from .cases import Case, Site
from .gpu import floors, graph_ms, products_in, queued_ms, torch_dtype
from .opponents import INFERENCE_ONLY, OPPONENTS, SAME_FUNCTION, exact_form

__all__ = ["Inputs", "Runner", "compare", "draw_operators", "lower", "peak_bytes", "run_sites"]

_LEAST_ROUNDS = 3
_LEAST_SECONDS = 0.25  # few rounds of a short case say little: the clock and the caches are in them
_ERROR_TOKENS = 1024  # accuracy is taken on so many tokens of a site: float64 is slow


class Runner(NamedTuple):
    """One module per site, and the dtype they run in."""

    modules: list[nn.Module]
    dtype: torch.dtype


def compare(
    case: Case,
    mode: str,
    dtype: str,
    rounds: int,
    seconds: float,
    device: str = "cpu",
    seed: int = 0,
    times_alone: bool = False,
) -> list[dict]:
    """Time our operator and all opponents of a case, in turns and on the same fresh inputs.

    Args:
        case: What to run.
        mode: "inference" (no gradients) or "training" (forward and backward).
        dtype: "float32", "bfloat16" or "tf32" (float32 whose products are tf32's, on a GPU). In
            bfloat16 the released form runs in float32 as well, on a CPU.
        rounds: Timed rounds, after one that is not timed; a short case takes more of them, until a
            quarter of a second is spent.
        seconds: No further round is begun after so many, once there are three.
        device: Where.
        seed: Of parameters and inputs.
        times_alone: Neither errors nor memory, which take longer than the times.

    Returns:
        One row per opponent. Times in ms are medians, `_q20` and `_q80` quantiles; `ratio` is
        other / ours; `err` the root mean square error of outputs and, in training, of stream
        gradients against float64, in units of the root mean square value (None where another
        function is computed); `peak_bytes` the most memory allocated at a time, parameters and
        inputs aside. On a GPU also `gpu_ms`, `graph_ms` (see `gpu`; None: not to be had) and
        floors. Opponents that fail there are named and left out.
    """
    torch.manual_seed(seed)
    torch.compiler.reset()  # or the compiler gives up after a few modules of one class
    with products_in(dtype):
        return _compared(case, mode, dtype, rounds, seconds, device, times_alone)


def _compared(
    case: Case,
    mode: str,
    dtype: str,
    rounds: int,
    seconds: float,
    device: str,
    times_alone: bool,
) -> list[dict]:
    kind = torch_dtype(dtype)
    runners = _build(case, mode, kind, device)
    inputs = Inputs(case.sites, device)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        inputs.refresh()
        runners = _that_run(case, runners, inputs, mode)
    times = _times(runners, inputs, mode, rounds, seconds, device)
    facts: dict[str, dict] = {name: {} for name in runners}
    if not times_alone:
        facts = {name: _facts(name, runners[name], inputs, mode, device) for name in runners}
    head = {"case": case.name, "shape": _shape(case.sites), "dtype": dtype, "mode": mode}
    if on_gpu:
        head |= floors(case.sites, mode, kind, device)
    return [
        {**head, "opponent": name, **_row(times["ours"], times[name], facts["ours"], facts[name])}
        for name in runners
        if name != "ours"
    ]


def _times(
    runners: dict[str, Runner],
    inputs: Inputs,
    mode: str,
    rounds: int,
    seconds: float,
    device: str,
) -> dict[str, list[float]]:
    """Milliseconds of the timed rounds, in turns."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    started = perf_counter()
    for index in itertools.count():
        spent = perf_counter() - started
        is_enough = index > rounds and spent > _LEAST_SECONDS
        if is_enough or (index > _LEAST_ROUNDS and spent > seconds):
            break
        inputs.refresh()
        for name in sorted(runners, reverse=bool(index % 2)):
            elapsed = _time(lambda name=name: run_sites(runners[name], inputs, mode), device)
            if index:
                times[name].append(1e3 * elapsed)
    return times


def _that_run(
    case: Case, runners: dict[str, Runner], inputs: Inputs, mode: str
) -> dict[str, Runner]:
    """Those that can do one call; what fails is said. Ours has to."""
    run_sites(runners["ours"], inputs, mode)
    able = {}
    for name, runner in runners.items():
        try:
            run_sites(runner, inputs, mode)
            able[name] = runner
        except Exception as error:  # whatever a compiler or a library raises
            why = (str(error).strip().splitlines() or [""])[0]
            print(f"{case.name}, {mode}: {name} fails: {type(error).__name__}: {why}", flush=True)
    return able


def _build(case: Case, mode: str, dtype: torch.dtype, device: str) -> dict[str, Runner]:
    exact = draw_operators(case.sites, device)
    runners = {"ours": lower(exact, dtype)}
    ours = runners["ours"].modules
    for name in case.opponents:
        if mode == "inference" or name not in INFERENCE_ONLY:
            runners[name] = Runner([OPPONENTS[name](operator) for operator in ours], dtype)
    if dtype != torch.float32 and "released" in case.opponents and device == "cpu":
        released = [OPPONENTS["released"](operator) for operator in exact]
        runners["released_float32"] = Runner(released, torch.float32)
    return runners


def draw_operators(sites: tuple[Site, ...], device: str = "cpu") -> list[GeminiFusion]:
    """An operator per site, with biases that are not zero."""
    operators = [GeminiFusion(site.channels).to(device) for site in sites]
    for operator in operators:
        for bias in (operator.in_bias, operator.out_bias):
            nn.init.normal_(bias, std=0.1)
    return operators


def lower(operators: list[GeminiFusion], dtype: torch.dtype) -> Runner:
    """Copies of the operators in the given dtype."""
    copies = [GeminiFusion.from_released(o.to_released(), o.num_heads) for o in operators]
    return Runner([operator.to(dtype) for operator in copies], dtype)


class Inputs:
    """Streams and the gradients of what becomes of them; sites of one shape share them."""

    def __init__(self, sites: tuple[Site, ...], device: str = "cpu") -> None:
        self.sites = sites
        shapes = dict.fromkeys(sites)
        self.exact = {s: [torch.empty(*s, device=device) for _ in range(4)] for s in shapes}
        self.lowered: dict[tuple[Site, torch.dtype], list[Tensor]] = {}

    def refresh(self) -> None:
        """Draw new values."""
        self.lowered.clear()
        for tensors in self.exact.values():
            for tensor in tensors:
                tensor.normal_()

    def get(self, dtype: torch.dtype) -> list[list[Tensor]]:
        """Per site: first, second, towards first, towards second, each (B, N, C)."""
        for site, tensors in self.exact.items():
            if (site, dtype) not in self.lowered:
                self.lowered[site, dtype] = [tensor.to(dtype) for tensor in tensors]
        return [self.lowered[site, dtype] for site in self.sites]


def run_sites(runner: Runner, inputs: Inputs, mode: str) -> None:
    """Call all modules, one after another; in training with their backward."""
    for module, tensors in zip(runner.modules, inputs.get(runner.dtype)):
        _call(module, tensors, mode)


def _call(module: nn.Module, tensors: list[Tensor], mode: str) -> list[Tensor]:
    """Outputs; in training also the gradients of streams and then of parameters."""
    *streams, towards_first, towards_second = tensors
    if mode == "inference":
        with torch.no_grad():
            return list(module(*streams))
    streams = [stream.detach().requires_grad_() for stream in streams]
    fused = module(*streams)
    wanted = [*streams, *module.parameters()]
    gradients = torch.autograd.grad(fused, wanted, (towards_first, towards_second))
    return [*(f.detach() for f in fused), *gradients]


def _time(call: Callable[[], object], device: str) -> float:
    _wait(device)
    start = perf_counter()
    call()
    _wait(device)
    return perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _facts(name: str, runner: Runner, inputs: Inputs, mode: str, device: str) -> dict:
    error = None
    if name == "ours" or name.split("_float32")[0] in SAME_FUNCTION:
        error = max(
            _error(module, tensors, mode)
            for module, tensors in zip(runner.modules, inputs.get(runner.dtype))
        )
    call = functools.partial(run_sites, runner, inputs, mode)
    facts = {"err": error, "peak_bytes": peak_bytes(call, device)}
    if device.startswith("cuda"):
        facts |= {"gpu_ms": queued_ms(call), "graph_ms": graph_ms(call)}
    return facts


def _error(module: nn.Module, tensors: list[Tensor], mode: str) -> float:
    """Largest relative root mean square error of outputs and stream gradients."""
    batch, num_tokens = tensors[0].shape[:2]
    kept = max(1, min(num_tokens, _ERROR_TOKENS // batch))
    tensors = [tensor[:, :kept] for tensor in tensors]
    exact = exact_form(module)
    num_tensors = 2 if mode == "inference" else 4
    wanted = _call(exact, [tensor.double() for tensor in tensors], mode)[:num_tensors]
    found = _call(module, tensors, mode)[:num_tensors]
    return max(float((f.double() - w).norm() / w.norm()) for f, w in zip(found, wanted))


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Most bytes allocated at a time during the call, above what is there before it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    current = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            current += event.nbytes()
            peak = max(peak, current)
    return peak


def _row(ours: list[float], other: list[float], our_facts: dict, facts: dict) -> dict:
    row = {}
    for name, times in (("ours", ours), ("other", other)):
        low, high = _quantiles(times)
        row |= {f"{name}_ms": median(times), f"{name}_ms_q20": low, f"{name}_ms_q80": high}
    row["ratio"] = row["other_ms"] / row["ours_ms"]
    for name, values in (("ours", our_facts), ("other", facts)):
        for key, value in values.items():
            row[f"{name}_{key}" if key.endswith("ms") else f"{key}_{name}"] = value
    return row


def _quantiles(times: list[float]) -> tuple[float, float]:
    if len(times) < 2:
        return times[0], times[0]
    fifths = quantiles(times, n=5, method="inclusive")
    return fifths[0], fifths[3]


def _shape(sites: tuple[Site, ...]) -> str:
    counts: dict[Site, int] = {}
    for site in sites:
        counts[site] = counts.get(site, 0) + 1
    parts = []
    for site, count in counts.items():
        text = f"{site.batch}x{site.tokens}x{site.channels}"
        parts.append(text if count == 1 else f"{count}*{text}")
    return " + ".join(parts)
