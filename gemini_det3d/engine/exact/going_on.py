"""Our part of a resume, after mmengine's: the place in the epoch, and what makes it inexact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from gemini_det3d.engine.exact.frames import difference, frame_marks
from gemini_det3d.engine.exact.loops import ExactEpochLoop
from gemini_det3d.engine.exact.state_hook import gathered_steps, restore_state


def go_on(runner: Runner, place: Mapping[str, Any], warn: Callable[[str], object]) -> None:
    """Put a runner where its checkpoint stands.

    An epoch that has another number of batches than before goes on at the same share of it, and
    ``max_iters`` becomes what the training will have done at its end.

    Args:
        runner: With a training loop; mmengine has put back epoch, iteration and optimisers.
        place: What the checkpoint says beyond mmengine's part.
        warn: Told in a line each why the run is not what it would have been uninterrupted.
    """
    loop = runner.train_loop
    length = 0 if loop.batches.is_infinite else len(loop.batches)
    if "batches_done" in place:
        runner.run_id = place.get("run")  # None in older checkpoints
        place = _without_misfit_gradients(runner, place, warn)
        restore_state(runner, place)
        _tell_changes(runner, place, warn)
        tell_order(next(runner.model.parameters()), warn)
        done = place["batches_done"] * len(loop.batches) // max(place["batches_per_epoch"], 1)
    else:
        warn("it was not written by ExactRunner")
        done = runner.iter - runner.epoch * length
        done = done if 0 <= done < length else 0
    loop.epoch_begin = runner.iter - done if length else 0
    if length and isinstance(loop, ExactEpochLoop):
        loop._max_iters = loop.epoch_begin + (loop.max_epochs - runner.epoch) * length


def _without_misfit_gradients(
    runner: Runner, place: Mapping[str, Any], warn: Callable[[str], object]
) -> Mapping[str, Any]:
    """Leave out gradients that were gathered for a count other than the config's."""
    if not place["gradients"]:
        return place
    now = gathered_steps(runner)
    before = place.get("accumulative_counts", now)
    if before == now:
        return place
    was, is_now = ("/".join(map(str, counts.values())) for counts in (before, now))
    warn(f"accumulative_counts was {was} and is {is_now}: the gradients gathered so far are left "
         "out")  # fmt: skip
    return {**place, "gradients": {}}


def _tell_changes(runner: Runner, place: Mapping[str, Any], warn: Callable[[str], object]) -> None:
    loop = runner.train_loop
    now = {"world_size": get_world_size(), "batches_per_epoch": len(loop.batches),
           "num_samples": len(loop.dataloader.dataset)}  # fmt: skip
    for key, value in now.items():
        if place.get(key, value) != value:
            warn(f"{key} was {place[key]} and is {value}")
    marks = place.get("frame_marks") or {}
    change = difference(marks, frame_marks(loop.dataloader.dataset) if marks else {})
    if change and place.get("num_samples") == now["num_samples"]:
        warn(change)
    if place["gradients"] and now["world_size"] > 1:
        warn("it lies between two updates of gradient accumulation, and of the gradients gathered "
             "so far it has the first process's alone")  # fmt: skip


def tell_order(parameter: torch.Tensor, warn: Callable[[str], object]) -> None:
    """Say where two runs differ in their last bits, whether one was interrupted or not.

    Args:
        parameter: Of the model, where it trains.
        warn: Told in a line.
    """
    if not parameter.is_cpu and not torch.are_deterministic_algorithms_enabled():
        warn(f"{parameter.device.type} adds in no fixed order without randomness.deterministic")
