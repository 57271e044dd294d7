"""A GPU made of CPU tensors: what would fail or wait on one, found without one.

Tensors of device 'gpu' hold CPU tensors. Operators run on those; tensors of both devices in one
call are refused, as CUDA refuses them, and whatever would make the host wait is counted by its
line, copies from ordinary memory included. Code that asks `is_cuda` takes its way for GPUs.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from benchmarks.census import WAITS

__all__ = ["DEVICE", "IS_POSSIBLE", "Waits", "deterministic_gpu", "on_the_host", "pretended_gpu",
           "take_our_mmcv_ops"]  # fmt: skip

# An interface of PyTorch 2.11 or so that may still change.
_register = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
IS_POSSIBLE = _register is not None
DEVICE = "gpu:0"
_TORCH = str(Path(torch.__file__).parent)
_FROM_NUMBERS = (torch.tensor, torch.as_tensor)
# Some of what torch.use_deterministic_algorithms lists as throwing on CUDA.
_UNORDERED = ("nll_loss2d_forward", "grid_sampler_2d_backward", "upsample_bilinear2d_backward",
              "reflection_pad2d_backward", "_adaptive_avg_pool2d_backward", "histc")  # fmt: skip
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class GpuTensor(Tensor):
    """Says that it is on a GPU; its values are in `inner`."""

    inner: Tensor
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> GpuTensor:
        facts = dict(strides=inner.stride(), storage_offset=inner.storage_offset())
        made = Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device=torch.device(DEVICE), **facts
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("outside pretended_gpu()")

    def __deepcopy__(self, memo: dict) -> GpuTensor:
        return GpuTensor(self.inner.clone()).requires_grad_(self.requires_grad)

    def numpy(self) -> Any:
        raise TypeError("can't convert a GPU's tensor to numpy")


class Waits(Counter):
    """Reasons to wait by (kind, 'file:line')."""

    is_quiet = False

    def note(self, kind: str) -> None:
        if not self.is_quiet:
            self[kind, _place()] += 1

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Do not count what happens inside."""
        before, self.is_quiet = self.is_quiet, True
        yield
        self.is_quiet = before

    def __str__(self) -> str:
        rows = (f"{n:5d}  {kind:22s} {where}" for (kind, where), n in self.most_common())
        return "\n".join([f"{self.total()} waits", *rows])


@contextmanager
def pretended_gpu() -> Iterator[Waits]:
    """Device 'gpu' exists inside the block, and what waits for it is counted.

    Enter it before any backward of the process: autograd counts devices once.
    """
    if not hasattr(torch, "gpu"):
        ready = dict(is_available=lambda: True, is_initialized=lambda: True, device_count=lambda: 1,
                     current_device=lambda: 0, get_amp_supported_dtype=lambda: [torch.float32],
                     _is_in_bad_fork=lambda: False, manual_seed_all=lambda seed: None)  # fmt: skip
        _register("gpu", SimpleNamespace(**ready))
    waits = Waits()
    with _Functions(waits), _Operators(waits):
        yield waits


@contextmanager
def deterministic_gpu() -> Iterator[None]:
    """PyTorch's deterministic mode, with CPU tensors that say they are on another device.

    Operators that CUDA refuses in this mode are refused.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    torch.Tensor.is_cpu = False  # type: ignore[assignment] # before the property of its base
    try:
        with _RefusesUnordered():
            yield
    finally:
        del torch.Tensor.is_cpu
        torch.use_deterministic_algorithms(before)


class _RefusesUnordered(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in _UNORDERED:
            raise RuntimeError(f"{name} does not have a deterministic implementation")
        return func(*args, **(kwargs or {}))


def take_our_mmcv_ops() -> None:
    """Let `mmcv.ops` call our operators in this process; compiled ones cannot take the tensors."""
    importlib.import_module("mmdet3d.models")
    ours = importlib.import_module("gemini_det3d.ops.mmcv_ext._ext")
    for module in list(sys.modules.values()):
        if getattr(vars(module).get("ext_module"), "__name__", "") == "mmcv._ext":
            module.ext_module = ours
    for name, dtype in (("IntTensor", torch.int32), ("FloatTensor", torch.float32)):
        setattr(torch.cuda, name, functools.partial(_new, dtype))
    torch.cuda.current_device = lambda: 0


def _new(dtype: torch.dtype, *size: int) -> Tensor:
    return torch.empty(size, dtype=dtype, device=DEVICE)


def on_the_host(module: nn.Module, waits: Waits) -> None:
    """Let a module on the GPU work with host tensors, uncounted: sparse convolutions need them."""
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, value in store.items():
                if isinstance(value, GpuTensor):
                    inner = value.detach().inner if isinstance(value, nn.Parameter) else value.inner
                    store[name] = nn.Parameter(inner) if store is part._parameters else inner
    plain = module.forward

    def forward(*inputs: Any) -> Tensor:
        with waits.left_out():
            return plain(*(x.to("cpu") if isinstance(x, Tensor) else x for x in inputs)).to(DEVICE)

    module.forward = forward


class _Functions(TorchFunctionMode):
    """Calls that make tensors of Python's numbers, which operators do not show."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _FROM_NUMBERS and not isinstance(args[0], Tensor) and _is_gpu(kwargs):
            return self._sent("numbers to the GPU", func, args, kwargs)
        if func is Tensor.new_tensor and isinstance(args[0], GpuTensor):
            kwargs = {"dtype": args[0].dtype, **kwargs}
            return self._sent("numbers to the GPU", torch.tensor, args[1:], kwargs)
        if func is Tensor.tolist and isinstance(args[0], GpuTensor):
            self.waits.note("tolist()")
            return args[0].inner.tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], GpuTensor):
            return func(args[0], self._index(args[1]), *args[2:])
        return func(*args, **kwargs)

    def _sent(self, kind: str, func, args, kwargs: dict) -> Tensor:
        self.waits.note(kind)
        kwargs.pop("device", None)
        host = tree_map_only(GpuTensor, lambda x: x.inner, args)
        with self.waits.left_out():
            return func(*host, **kwargs).to(DEVICE)

    def _index(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(part, (list, np.ndarray)) for part in parts):
            return index
        return tuple(
            self._sent("list as index", torch.as_tensor, (part,), {})
            if isinstance(part, (list, np.ndarray))
            else part
            for part in parts
        )


class _Operators(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        ours = [x for x in tensors if isinstance(x, GpuTensor)]
        name = func.overloadpacket.__name__
        inner = tree_map_only(GpuTensor, lambda x: x.inner, (args, kwargs))
        if inner[1].get("device") is not None:
            inner[1]["device"] = torch.device("cpu")
        if not ours and not _is_gpu(kwargs):
            return func(*inner[0], **inner[1])
        self._count(name, args, kwargs)
        if ours:
            _refuse_mixed(func, args, tensors)
        out = func(*inner[0], **inner[1])
        if name == "_to_copy" and kwargs.get("device") is not None and not _is_gpu(kwargs):
            return out
        if name.endswith("_") and not name.startswith("__"):
            return args[0]
        known = {id(x.inner): x for x in ours}
        return tree_map_only(Tensor, lambda x: known.get(id(x)) or GpuTensor(x), out)

    def _count(self, name: str, args: Any, kwargs: dict) -> None:
        waits = self.waits
        if name in WAITS:
            waits.note(WAITS[name])
        elif name == "repeat_interleave" and kwargs.get("output_size") is None:
            waits.note("repeat_interleave")
        elif name in _INDEXING:
            indices = [index for index in args[1] if isinstance(index, Tensor)]
            is_fill = name != "index" and args[2].numel() == 1
            if not is_fill and any(i.dtype in (torch.bool, torch.uint8) for i in indices):
                waits.note("boolean indexing")
            if any(not isinstance(index, GpuTensor) for index in indices):
                waits.note("host tensor as index")
        elif name == "_to_copy" and kwargs.get("device") is not None:
            if _is_gpu(kwargs) and not isinstance(args[0], GpuTensor):
                if not kwargs.get("non_blocking"):
                    waits.note("copy to the GPU")
            elif not _is_gpu(kwargs):
                waits.note("copy to the host")
        elif name == "copy_" and isinstance(args[0], GpuTensor) != isinstance(args[1], GpuTensor):
            waits.note("copy_ between devices")


def _refuse_mixed(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """As CUDA: single host numbers beside its tensors in pointwise operators, indices anywhere.

    Raises:
        RuntimeError: Something else of the host is beside a GPU's tensors.
    """
    name, host = func.overloadpacket.__name__, [x for x in tensors if not isinstance(x, GpuTensor)]
    if name in ("_to_copy", "copy_"):
        return
    if name in _INDEXING:
        values = args[2:3] if name != "index" and args[2].dim() else ()
        host = [x for x in (args[0], *values) if not isinstance(x, GpuTensor)]
    elif torch.Tag.pointwise in func.tags or name.startswith("_foreach_"):
        host = [x for x in host if x.dim()]
    if host:
        ours = [tuple(x.shape) for x in tensors if isinstance(x, GpuTensor)]
        shapes = [tuple(x.shape) for x in host]
        raise RuntimeError(f"{name}: {shapes} on the host, {ours} on the GPU")


def _is_gpu(kwargs: dict) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "gpu"


def _place() -> str:
    """The innermost line outside torch, and ours if that is another."""
    frame, lines = sys._getframe(2), []
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_TORCH) and name != __file__:
            lines.append(f"{'/'.join(Path(name).parts[-2:])}:{frame.f_lineno}")
            if "gemini_det3d" in name:
                break
        frame = frame.f_back
    return " <- ".join(dict.fromkeys([*lines[:1], *lines[-1:]])) or "backward"
