"""In which dtype the products of the operator run."""

from __future__ import annotations

import torch
from torch import Tensor

from .torch_versions import autocast_dtype, constant_to_compilers

__all__ = ["HALVES", "multiplies_exactly", "product_dtype"]

HALVES = (torch.float16, torch.bfloat16)


def _multiplies_fast_on_cpu(dtype: torch.dtype) -> bool:
    """Whether this CPU has tiles for the dtype; without them float32 products are no slower."""
    probe = "_is_amx_tile_supported" if dtype == torch.bfloat16 else "_is_amx_fp16_supported"
    return bool(getattr(torch.cpu, probe, bool)())


_FAST_ON_CPU = tuple(dtype for dtype in HALVES if _multiplies_fast_on_cpu(dtype))


def product_dtype(stream: Tensor) -> torch.dtype:
    """Dtype of the matrix products: of autocast or of the stream, if the device is fast in it.

    On a CPU without tiles half precision stays a way to store: its products run in float32.
    """
    device, dtype = stream.device.type, stream.dtype
    if dtype != torch.float64:
        dtype = autocast_dtype(device) or dtype
    if dtype in HALVES and device == "cpu" and dtype not in _FAST_ON_CPU:
        return torch.float32
    return dtype


@constant_to_compilers  # not every compiler knows what is asked here
def multiplies_exactly(dtype: torch.dtype) -> bool:
    """Whether a GPU multiplies a dtype as it is: float32, unless PyTorch allows tf32."""
    if dtype != torch.float32:
        return False
    allowed = getattr(torch.backends.cuda.matmul, "fp32_precision", None)  # PyTorch 2.9 and later
    return not (torch.backends.cuda.matmul.allow_tf32 if allowed is None else allowed == "tf32")
