"""How fast this machine hands out work, and what is slow about it: rows of the doctor's report.

A detector's training step is about 2,000 calls of PyTorch (docs/design/gpu.md): a host that takes
30 microseconds for each keeps a GPU waiting, whatever the GPU is. And a loader gives as many frames
as its processes decode.
"""

from __future__ import annotations

from importlib.util import find_spec
from statistics import median
from time import perf_counter

from gemini_det3d.apis.machine import num_cores

# A training step of MVX-Net with GeminiFusion, two frames.
CALLS_OF_A_STEP = 2000
# From here on a step's calls take longer than a large GPU's work for them.
SLOW_CALL_US = 15.0
# KITTI's images.
IMAGE_SIZE = (375, 1242)
_CALLS, _ROUNDS = 300, 7
_CHANNELS, _MAP_SIZE, _LAYERS = 64, (96, 160), 4  # as an image backbone begins


def call_us(device: str) -> float:
    """Microseconds of the host for a call of PyTorch on a tensor of one element.

    Args:
        device: cpu or cuda; on a GPU calls are only handed over, not waited for.
    """
    import torch

    x = torch.zeros(1, device=device)
    times = []
    for _ in range(_ROUNDS):
        if device != "cpu":
            torch.cuda.synchronize()
        started = perf_counter()
        for _ in range(_CALLS):
            x.add_(1)
        times.append((perf_counter() - started) / _CALLS)
    return 1e6 * min(times)


def decoding_ms() -> float:
    """Milliseconds of one core to decode a camera image of KITTI's size from PNG."""
    import cv2
    import numpy as np

    from gemini_det3d.formats.images import decode_color

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (24, 78, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, IMAGE_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
    data = cv2.imencode(".png", noisy)[1].tobytes()
    times = []
    for _ in range(_ROUNDS):
        started = perf_counter()
        decode_color(data, "doctor.png")
        times.append(perf_counter() - started)
    return 1e3 * median(times)


def layers_ms(num_threads: int) -> list[float]:
    """Milliseconds of a few convolutions on the CPU, with so many threads and with one.

    In turns, so that what else the machine does meets both.
    """
    import torch
    from torch import nn

    layers = [nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False) for _ in range(_LAYERS)]
    net, before = nn.Sequential(*layers).eval(), torch.get_num_threads()
    image = torch.zeros(1, _CHANNELS, *_MAP_SIZE)
    times: dict[int, list[float]] = {num_threads: [], 1: []}
    try:
        for _ in range(_ROUNDS):
            for count, spent in times.items():
                torch.set_num_threads(count)
                started = perf_counter()
                with torch.no_grad():
                    net(image)
                spent.append(perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return [1e3 * median(times[count]) for count in (num_threads, 1)]


def threads_line(with_all: float, with_one: float, num_threads: int) -> str:
    """What the times of all threads and of one mean."""
    found = f"{with_all:.0f} ms some layers with {num_threads} threads, {with_one:.0f} with one"
    return found if with_all <= with_one else f"{found}, {_remedy(num_threads)}"


def busy_line(num_threads: int) -> str | None:
    """What to do where so many threads are slower than one; None where they are faster."""
    if num_threads == 1:
        return None
    with_all, with_one = layers_ms(num_threads)
    return None if with_all <= with_one else _remedy(num_threads)


def _remedy(num_threads: int) -> str:
    return (
        "SLOW: another program takes part of the cores, and threads wait for each other; "
        f"OMP_NUM_THREADS={num_threads - 1} until it has ended"
    )


def host_line(us: float, with_gpu: bool) -> str:
    """What a time of a call means."""
    step = f"{us:.1f} us a PyTorch call: {CALLS_OF_A_STEP * us / 1e3:.0f} ms a training step"
    if not with_gpu:
        return step
    if us < SLOW_CALL_US:
        return f"{step}, whatever the GPU"
    return (
        f"{step}, SLOW: the GPU will wait for the host; larger batches, fewer other processes, "
        "--compile"
    )


def loader_line(ms: float, cores: int, with_fast: bool) -> str:
    """What a time of decoding means."""
    fast = "" if with_fast else "; pip install 'gemini_det3d[fast]' decodes faster"
    return (
        f"{ms:.1f} ms to decode a KITTI image: at most {cores * 1e3 / ms:.0f} frames a second from "
        f"{cores} processes{fast}"
    )


def speed_lines(with_gpu: bool) -> dict[str, str]:
    """Name -> finding of each thing that is timed."""
    import torch

    with_fast = all(find_spec(name) for name in ("isal", "pyspng"))
    lines = {
        "speed of the host": host_line(call_us("cuda" if with_gpu else "cpu"), with_gpu),
        "speed of loading": loader_line(decoding_ms(), num_cores(), with_fast),
    }
    threads = torch.get_num_threads()
    if threads > 1:
        lines["speed of threads"] = threads_line(*layers_ms(threads), threads)
    return lines
