"""A census of what a GPU would be asked: operator calls, and everything that would make it wait.

Runs on a CPU. A dispatch mode sees every operator call, backward included; the ones whose result
the host must know before it can go on (``item()``, ``nonzero``, boolean indexing, ...) would drain
a GPU's queue. A function mode sees what never reaches the dispatcher on a CPU: ``tolist()``,
``cpu()``, and Python numbers made into a tensor of the device.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import gemini_det3d

OURS = "ours"
MMCV_OPS = "ops/mmcv_ext"
# spconv's CPU kernels are a Python loop over the filter's cells, mmcv's are made of torch's
# operators; on CUDA each is a call of its own.
ON_CPU_ONLY = ("spconv/", "mmcv/ops/")
_TORCH = str(Path(torch.__file__).parent)
_PACKAGE = str(Path(gemini_det3d.__file__).resolve().parent)
# Operators of ATen whose result, or its size, the host waits for.
WAITS = {
    "_local_scalar_dense": "item()",
    "nonzero": "nonzero",
    "masked_select": "boolean indexing",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "bincount": "bincount",
    "equal": "equal",
    "linalg_inv_ex": "inverse",
    "_linalg_det": "determinant",
    "_linalg_slogdet": "determinant",
    "_linalg_solve_ex": "solve",
}
_TO_HOST = {Tensor.tolist: "tolist()", Tensor.cpu: "cpu()"}
_FROM_NUMBERS = {torch.tensor, torch.as_tensor, Tensor.new_tensor}


@dataclass(frozen=True)
class Place:
    """A line of source.

    Attributes:
        owner: ``OURS``, or the package whose line it is.
        where: ``file:line``, the file as seen from its package.
    """

    owner: str
    where: str


@dataclass
class Census:
    """What was counted.

    Attributes:
        calls: Operator calls by place.
        waits: By kind and place.
    """

    calls: Counter[Place] = field(default_factory=Counter)
    waits: Counter[tuple[str, Place]] = field(default_factory=Counter)

    def num_calls(self, ours: bool | None = None) -> int:
        """Operator calls: all of them, ours, or others'; without ``ON_CPU_ONLY``."""
        return sum(n for place, n in self.calls.items() if _counts(place, ours))

    def num_waits(self, ours: bool | None = None) -> int:
        """Waits: all of them, ours, or others'; without ``ON_CPU_ONLY``."""
        return sum(n for (_, place), n in self.waits.items() if _counts(place, ours))

    def num_on_cpu_only(self) -> int:
        """Operator calls of packages that do something else on a GPU."""
        return sum(n for place, n in self.calls.items() if place.where.startswith(ON_CPU_ONLY))


def _counts(place: Place, ours: bool | None) -> bool:
    if place.where.startswith(ON_CPU_ONLY):
        return False
    return ours is None or (place.owner == OURS) == ours


@contextmanager
def count_launches() -> Iterator[Census]:
    """Count what happens inside the ``with`` block.

    Yields:
        The census, complete when the block ends.
    """
    census = Census()
    with _Functions(census), _Calls(census):
        yield census
    census.waits = +census.waits  # without the zeros


class _Calls(TorchDispatchMode):
    def __init__(self, census: Census) -> None:
        super().__init__()
        self.census = census

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return func(*args, **(kwargs or {}))  # autograd's bookkeeping, seen by modes alone
        place, is_optimizer = _place()
        kind = _wait_of(func, args, kwargs or {})
        # The step counters that torch's optimisers ask for live on the host.
        if kind is None or not is_optimizer:
            self.census.calls[place] += 1
            if kind is not None:
                self.census.waits[kind, place] += 1
        return func(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    def __init__(self, census: Census) -> None:
        super().__init__()
        self.census = census

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = _TO_HOST.get(func)
        if func in _FROM_NUMBERS and _is_from_numbers(func, args, kwargs):
            kind = "Python numbers to the device"
        if kind is not None:
            place, is_optimizer = _place()
            self.census.waits[kind, place] += not is_optimizer
        return func(*args, **kwargs)


def _wait_of(func: Any, args: Any, kwargs: Any) -> str | None:
    name = func.overloadpacket.__name__
    if name in WAITS:
        return WAITS[name]
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "repeat_interleave"
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        is_boolean = any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
            for index in args[1]
        )
        # One number for all places is a masked fill, which needs no count of the places.
        is_fill = name != "index" and args[2].numel() == 1
        return "boolean indexing" if is_boolean and not is_fill else None
    return None


def _is_from_numbers(func: Any, args: Any, kwargs: Any) -> bool:
    if func is Tensor.new_tensor:
        return not isinstance(args[1], Tensor)
    return kwargs.get("device") is not None and not isinstance(args[0], Tensor)


def _place() -> tuple[Place, bool]:
    """The innermost line outside torch, and whether one of torch's optimisers stands before it."""
    frame, is_optimizer = sys._getframe(2), False
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_TORCH) and name != __file__:
            return _named(name, frame.f_lineno), is_optimizer
        is_optimizer |= "/optim/" in name
        frame = frame.f_back
    return Place("torch", "?"), is_optimizer


def _named(path: str, line: int) -> Place:
    if path.startswith(_PACKAGE):
        inside = path[len(_PACKAGE) + 1 :].lstrip("/")
        # what stands for mmcv's compiled ops is told apart: of those nobody sees the inside
        return Place(MMCV_OPS if inside.startswith(MMCV_OPS) else OURS, f"{inside}:{line}")
    parts = Path(path).parts
    if "site-packages" in parts:
        inside = parts[parts.index("site-packages") + 1 :]
        return Place(inside[0], f"{'/'.join(inside)}:{line}")
    return Place(Path(path).stem, f"{path}:{line}")
