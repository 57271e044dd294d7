"""Parameters, multiply-adds, latency and peak memory of one config, in a process of its own.

python -m gemini_det3d.apis.comparison.measure CONFIG OUT.json [--cfg-options KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import read_config
from gemini_det3d.apis.trained_model import build_model, choose_device
from gemini_det3d.formats.text import write_json

_WARM_UP, _ROUNDS = 3, 15


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the figures."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    args = parser.parse_args(argv)
    config = read_config(args.config)
    config.merge_from_dict(args.cfg_options)
    figures = measure(config)
    write_json(args.out, figures)
    return 0


def measure(config: Any) -> dict[str, float | None]:
    """Figures of a detector on the first frames of its own data, on CUDA where there is one.

    Returns:
        ``parameters`` in millions; ``multiply_adds`` of one test frame in billions, without sparse
        convolutions, which PyTorch's counter does not see; ``latency_ms`` of one test frame;
        ``peak_mb`` of one training step beyond the built model (None where the system does not
        say).
    """
    import torch
    from mmdet3d.registry import DATASETS
    from mmengine.dataset import pseudo_collate

    torch.manual_seed(0)
    device = choose_device()
    model = build_model(config).to(device)
    model.init_weights()
    train, test = (config[name].dataset for name in ("train_dataloader", "test_dataloader"))
    train_set, test_set = DATASETS.build(train), DATASETS.build(test)
    size = config.train_dataloader.get("batch_size", 1)
    batch = pseudo_collate([train_set[i % len(train_set)] for i in range(size)])
    frame = pseudo_collate([test_set[0]])
    return {
        "parameters": sum(p.numel() for p in model.parameters()) / 1e6,
        "peak_mb": peak_memory_mb(lambda: _train_step(model, batch), device),
        **_test_figures(model.eval(), frame, device),
    }


def _train_step(model: Any, batch: dict) -> None:
    model.train()
    # heads of mmdet3d replace the truth's boxes by tensors, so each step gets its own
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    model.zero_grad(set_to_none=True)


def _test_figures(model: Any, frame: dict, device: Any) -> dict[str, float]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def step() -> None:
        model.test_step(frame)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            step()
        seconds = [_timed(step) for _ in range(_WARM_UP + _ROUNDS)][_WARM_UP:]
    return {
        "multiply_adds": counter.get_total_flops() / 2e9,
        "latency_ms": 1e3 * statistics.median(seconds),
    }


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def peak_memory_mb(step: Callable[[], None], device: Any) -> float | None:
    """How much memory a step takes at its peak beyond what is held before it.

    Args:
        step: What to run, once; a first run before it is not measured.
        device: CUDA's own count there; on a CPU Linux's peak of the resident set, reset before.

    Returns:
        MB, or None where the system does not say.
    """
    import torch

    step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _status_mb("VmRSS")
        step()
        return _status_mb("VmHWM") - before
    except (OSError, KeyError):
        return None


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values[name].split()[0]) / 2**10


if __name__ == "__main__":
    raise SystemExit(main())
