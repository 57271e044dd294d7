"""What stops a training, said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gemini_det3d.formats import FormatError


class TrainingError(RuntimeError):
    """A training that cannot go on, and what to do about it, in one line."""


def refuse_iterations(runner: Any, setting: str) -> None:
    """Refuse what counts epochs in a training that counts iterations, all of which are in epoch 0.

    Args:
        runner: mmengine's, about to train.
        setting: What counts epochs, for the error.

    Raises:
        FormatError: The training counts iterations.
    """
    from mmengine.runner import IterBasedTrainLoop

    if isinstance(runner.train_loop, IterBasedTrainLoop):
        raise FormatError("train_cfg", f"counts iterations, and {setting} counts epochs")


@contextmanager
def naming_dead_workers(loader: str) -> Iterator[None]:
    """Turn torch's report of a data worker that died into one line.

    Raises:
        TrainingError: A worker died.
    """
    try:
        yield
    except RuntimeError as error:
        died = re.search(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)", str(error))
        if died is None:
            raise
        signal = re.search(r"killed by signal: (\w+)", f"{error} {error.__cause__}")
        how = f"killed by signal {signal.group(1)}" if signal else "it ended without a word"
        raise TrainingError(
            f"{loader}: data worker {died.group(1)} died ({how}); often the machine's memory is "
            f"full: lower {loader}.num_workers or batch_size, then go on with --resume"
        ) from error


@contextmanager
def naming_ops_without_a_gpu() -> Iterator[None]:
    """Say which of mmcv's functions asked for a GPU where there is none, and what to take instead.

    A few of mmcv's functions make CUDA tensors themselves, whatever their module can do.

    Raises:
        TrainingError: One of them was called on a machine without CUDA.
    """
    try:
        yield
    except (TypeError, AssertionError, RuntimeError) as error:
        op = _mmcv_op_of(error)
        if op is None or torch.cuda.is_available():
            raise
        raise TrainingError(
            f"mmcv's {op} runs on a GPU only, and none is here: on a CPU take GeminiPointNet2SASSG "
            "and GeminiVoteHead, as configs/votenet does, or a detector that voxelises"
        ) from error


def _mmcv_op_of(error: BaseException) -> str | None:
    """Module of mmcv.ops in which something asked for CUDA in vain."""
    if not re.search(r"CUDA|torch\.cuda|NVIDIA", str(error)):
        return None
    found, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        found = re.search(r"mmcv[/\\]ops[/\\](\w+)\.py$", file) or found
        trace = trace.tb_next
    return found[1] if found else None
