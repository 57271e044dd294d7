"""How fast samples are loaded: step by step beside stock mmdet3d, and by how many workers.

Frames take turns, ours and stock, in one process and one thread, from the same seeds. Then the
config's own loader runs with workers, and what it gives is held against a training step.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch

from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.devices import choose_device

from .launches import build_model, raw_training_set

__all__ = ["frames_per_second", "keeps_up", "part_times", "stock_of"]

_SCOPE = "gemini_det3d"
WORKERS = (0, 1, 2, 4)
_READ_AHEAD = 2  # batches of each worker; torch's default


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", help="config of a detector, by path or bare name")
    parser.add_argument("--data-root", help="folder of the data set in place of the config's")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over the frames (default 5)")
    parser.add_argument("--frames", type=int, default=10, help="frames to time (default 10)")
    parser.add_argument("--batch", type=int, help="frames of a batch in place of the config's")
    parser.add_argument(
        "--step-ms", type=float, help="time of a training step; without it one is measured here"
    )
    parser.add_argument("--device", default="cpu", help="where a step is measured (default cpu)")


def run(args: argparse.Namespace) -> int:
    """Measure, and print."""
    if args.rounds < 1 or args.frames < 1:
        raise ConfigError("--rounds and --frames: must be 1 or more")
    choose_device(args.device)
    config = read_config(args.config)
    ours = raw_training_set(config, args.data_root)
    stock = raw_training_set(stock_of(config), args.data_root)
    with one_thread():
        times = part_times({"ours": ours, "stock": stock}, args.frames, args.rounds)
    print("\n".join([*_part_lines(times), ""]))
    size = args.batch or config.train_dataloader.batch_size
    speeds = {count: frames_per_second(ours, size, count) for count in WORKERS}
    for count, speed in speeds.items():
        print(f"{count} workers: {speed:.1f} frames a second, batches of {size}")
    step_ms = args.step_ms or _step_ms(config, ours, size, args.device)
    print(keeps_up(speeds, size, step_ms))
    return 0


def stock_of(config: Any) -> Any:
    """A config whose pipeline and data set are mmdet3d's own where ours carry their names."""
    from mmengine.config import Config

    def without(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: without(v) for k, v in node.items() if (k, v) != ("_scope_", _SCOPE)}
        if isinstance(node, (list, tuple)):
            return type(node)(without(item) for item in node)
        return node

    return Config(without(config.to_dict()), filename=config.filename)


@contextmanager
def one_thread():
    """OpenCV and torch without helpers, as in a worker of a loader."""
    import cv2

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def part_times(sets: dict[str, Any], frames: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds a frame of each part of each data set's loading.

    Args:
        sets: Name -> data set; they take turns, frame by frame.
        frames: The first so many frames.
        rounds: Over the frames; the least of each frame's part counts, for other programs add.

    Returns:
        Name -> part -> mean over the frames.
    """
    seen: dict[str, dict[str, list]] = {name: {} for name in sets}
    for index in range(min(frames, *(len(s) for s in sets.values()))):
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in sets}
        for turn in range(rounds + 1):
            for name, dataset in sets.items():
                draw_from(turn)
                taken[name].append(_one_sample(dataset, index))
        for name, runs in taken.items():
            for part in runs[0]:
                seen[name].setdefault(part, []).append(min(r[part] for r in runs[1:]))
    return {
        name: {part: sum(v) / len(v) for part, v in parts.items()} for name, parts in seen.items()
    }


def draw_from(seed: int) -> None:
    """Seed all that a pipeline draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _one_sample(dataset: Any, index: int) -> dict[str, float]:
    """Milliseconds of each part of one sample; "sample" is what is not a step of the pipeline."""
    spent: dict[str, float] = {"sample": 0.0}

    def timed(name: str, step: Callable) -> Callable:
        def call(results: Any) -> Any:
            started = perf_counter()
            results = step(results)
            spent[name] = spent.get(name, 0.0) + (perf_counter() - started) * 1e3
            return results

        return call

    steps = dataset.pipeline.transforms
    names = [type(step).__name__.removeprefix("Quick").removesuffix("Checked") for step in steps]
    dataset.pipeline.transforms = [timed(*pair) for pair in zip(names, steps)]
    started = perf_counter()
    try:
        dataset[index]
    finally:
        dataset.pipeline.transforms = steps
    whole = (perf_counter() - started) * 1e3
    return {**spent, "sample": whole - sum(spent.values())}


def _part_lines(times: dict[str, dict[str, float]]) -> list[str]:
    ours, stock = times["ours"], times["stock"]
    lines = ["| ms a frame | ours | stock |", "|---|---|---|"]
    for part in dict.fromkeys([*ours, *stock]):
        cells = (f"{t[part]:.2f}" if part in t else "" for t in (ours, stock))
        lines.append(f"| {part} | {' | '.join(cells)} |")
    totals = [sum(t.values()) for t in (ours, stock)]
    big = ("LoadImageFromFile", "RandomResize", "Resize")
    rest = [total - sum(t.get(p, 0) for p in big) for total, t in zip(totals, (ours, stock))]
    lines.append(f"| beside image and resizing | {rest[0]:.2f} | {rest[1]:.2f} |")
    lines.append(f"| all | {totals[0]:.2f} | {totals[1]:.2f} |")
    return [*lines, f"stock / ours: {totals[1] / totals[0]:.2f}"]


def frames_per_second(dataset: Any, size: int, num_workers: int, least: int = 40) -> float:
    """Of a loader with so many processes, once all that it has read ahead is used up.

    Args:
        dataset: Of the frames; taken again from the first one when they end.
        size: Frames of a batch.
        num_workers: Processes.
        least: Frames to time, at the least; and so many that every process loads three batches.
    """
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    turn = max(num_workers, 1)
    ahead = _READ_AHEAD * turn
    timed = turn * max(3, math.ceil(least / (size * turn)))
    indices = [i % len(dataset) for i in range(size * (ahead + timed))]
    loader = DataLoader(
        dataset,
        size,
        sampler=indices,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        prefetch_factor=_READ_AHEAD if num_workers else None,
    )
    batches = iter(loader)
    for _ in range(ahead):
        next(batches)
    started = perf_counter()
    for _ in range(timed):
        next(batches)
    return size * timed / (perf_counter() - started)


def keeps_up(speeds: dict[int, float], size: int, step_ms: float) -> str:
    """One line: the fewest workers whose frames come as fast as steps take them.

    Args:
        speeds: Number of workers -> frames a second.
        size: Frames of a batch.
        step_ms: Of a training step.
    """
    wanted = size / step_ms * 1e3
    step = f"a step of {step_ms:.0f} ms takes {wanted:.1f} frames a second"
    enough: Sequence[int] = [n for n, speed in speeds.items() if n and speed >= wanted]
    if enough:
        return f"{step}: {min(enough)} workers keep up"
    best = max(speeds, key=lambda n: speeds[n])
    return f"{step}: the loader does not keep up ({speeds[best]:.1f} with {best} workers)"


def _step_ms(config: Any, dataset: Any, size: int, device: str) -> float:
    from mmengine.dataset import pseudo_collate
    from mmengine.optim import build_optim_wrapper

    model = build_model(config).to(device).train()
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    batch = [dataset[index % len(dataset)] for index in range(size)]
    for _ in range(2):  # the first one warms up
        started = perf_counter()
        model.train_step(pseudo_collate(batch), optimizer)
        if device != "cpu":
            torch.cuda.synchronize()
    return (perf_counter() - started) * 1e3
