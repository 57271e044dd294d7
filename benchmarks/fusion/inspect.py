"""Registers, spills and shared memory of the GPU kernels, compiled for GPUs that are not here.

Everything the operator would launch for a call is compiled as it would be launched, with the
compiler and assembler of Triton's wheel; no GPU and no driver is needed, about a second a kernel.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock, patch

import torch
from torch import Tensor

from gemini_det3d.fusion import GeminiFusion

__all__ = [
    "ARCHITECTURES",
    "CHANNELS",
    "Launch",
    "Resources",
    "chosen",
    "inspect",
    "launches",
    "resource_lines",
    "specialisation",
]

ARCHITECTURES = (80, 89, 90)  # A100, RTX 4090 and L40, H100 and H200
SHARED_KIB = {80: 99, 89: 99, 90: 227}  # that a block may take; 80 has 163, and 89's tiles
CHANNELS = (32, 64, 128, 256, 320, 512)
_TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
}
_OPTIONS = ("num_warps", "num_stages")


class Launch(NamedTuple):
    """One kernel as it would be started."""

    function: Any
    programs: int
    arguments: tuple
    constants: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the kernel, without its suffix."""
        return self.function.fn.__name__.removesuffix("_kernel")


class Resources(NamedTuple):
    """What one program of a compiled kernel takes."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    uses_wgmma: bool


def launches(
    channels: int,
    num_heads: int = 8,
    dtype: torch.dtype = torch.bfloat16,
    num_tokens: int = 4096,
    training: bool = False,
    masked: bool = False,
    biased: bool = False,
    weights: torch.dtype | None = None,
    tf32: bool = False,
    architecture: int = 90,
) -> list[Launch]:
    """What a call of the operator launches on a GPU; nothing is computed.

    Args:
        channels: C.
        num_heads: h.
        dtype: Of streams and products.
        num_tokens: N.
        training: Forward with its tape, and backward.
        masked: With a mask of valid tokens.
        biased: With a number a token that shifts the gate, and in training its gradient.
        weights: Dtype of the parameters; None: as the streams.
        tf32: Let float32 be multiplied as tf32.
        architecture: For whose tiles.
    """
    from gemini_det3d.fusion.kernels import (
        fused_backward,
        fused_launches,
        fused_problem,
        triton_parts,
    )

    with torch.device("meta"):
        parameters = GeminiFusion(channels, num_heads).to(weights or dtype).fusion_parameters()
        streams = [torch.empty(num_tokens, channels, dtype=dtype) for _ in range(2)]
        valid = torch.empty(num_tokens, dtype=torch.bool) if masked else None
        bias = torch.empty(num_tokens) if biased else None
    seen: list[Launch] = []

    def record(known, function, programs, *arguments, **constants) -> None:
        del known
        seen.append(Launch(function, programs, arguments, constants))

    told = {"multiplies_exactly": not tf32, "_has_wgmma": architecture == 90}
    answers = {name: Mock(return_value=value) for name, value in told.items()}
    call = (*streams, valid, parameters, num_heads, dtype)
    tape = fused_launches.tape_like(streams[0], dtype, training)
    with patch.object(triton_parts, "launch", record), patch.multiple(fused_problem, **answers):
        fused_launches.forward(*call, tape, bias)
        if training:
            fused_backward.backward(*call, tape, (streams[0], streams[1]), True, bias, bias)
    return seen


def chosen(channels: int, dtype: torch.dtype, tf32: bool, architecture: int) -> list[Launch]:
    """What inference and training launch, each that is compiled alike once.

    Without a mask and a bias of the tokens, and with both: what a kernel may leave out.
    """
    options: dict[str, Any] = {"tf32": tf32, "architecture": architecture}
    all_of_them = [
        launch
        for training in (False, True)
        for full in (False, True)
        for launch in launches(
            channels, dtype=dtype, training=training, masked=full, biased=full, **options
        )
    ]
    return list({_kind(launch): launch for launch in all_of_them}.values())


def _kind(launch: Launch) -> tuple:
    """Launches of one kind are compiled alike."""
    return launch.name, str(launch.constants), tuple(a is None for a in launch.arguments)


def is_full(launch: Launch) -> bool:
    """Whether it takes the mask or the bias of the tokens."""
    told = dict(zip(launch.function.arg_names, launch.arguments))
    return any(told.get(name) is not None for name in ("valid", "bias"))


def inspect(launch: Launch, architecture: int) -> Resources:
    """Compile one launch for an architecture (80, 89, 90).

    Raises:
        RuntimeError: Compiler or assembler refuses it.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, aligned, options = _specialise(launch)
    source = ASTSource(launch.function, signature, constants, aligned)
    built = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    said = _assemble(built.asm["ptx"], architecture)
    found = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    registers = re.search(r"Used (\d+) registers", said)
    if not found or not registers:
        raise RuntimeError(f"{launch.name} for sm_{architecture}: {said.strip()[:200]}")
    spilled = sum(map(int, found.groups()))
    shared = built.metadata.shared
    return Resources(int(registers[1]), spilled, shared, "wgmma" in built.asm["ptx"])


def specialisation(launch: Launch) -> str:
    """What is compiled into a launch: two launches of one kernel that agree share their code."""
    return str(_specialise(launch))


def _specialise(launch: Launch) -> tuple[dict, dict, dict, dict]:
    """Signature, constants, what divides by 16, and options, by the rules of Triton's launcher."""
    names = launch.function.arg_names
    free = {p.name for p in launch.function.params if p.do_not_specialize}
    constants = {k: v for k, v in launch.constants.items() if k not in _OPTIONS}
    options = {k: v for k, v in launch.constants.items() if k in _OPTIONS}
    aligned = {}
    for i, (name, value) in enumerate(zip(names, launch.arguments)):
        is_number = isinstance(value, int) and name not in free
        if value is None or (is_number and value == 1):
            constants[name] = value
        elif isinstance(value, Tensor) or (is_number and value % 16 == 0):
            aligned[(i,)] = [["tt.divisibility", 16]]
    runtime = dict(zip(names, launch.arguments))
    signature = {n: "constexpr" if n in constants else _type(runtime[n]) for n in names}
    return signature, {(names.index(n),): v for n, v in constants.items()}, aligned, options


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return _TYPES[value.dtype]
    return "i32" if isinstance(value, int) else "fp32"


def _assemble(ptx: str, architecture: int) -> str:
    import triton

    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    newer = tools / "ptxas-blackwell"  # what Triton 3.6 and later take from sm_90 on
    assembler = newer if architecture >= 90 and newer.exists() else tools / "ptxas"
    name = f"sm_{architecture}a" if architecture == 90 else f"sm_{architecture}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.ptx")
        file.write_text(ptx)
        command = [assembler, "-v", f"--gpu-name={name}", file, "-o", Path(folder, "out")]
        return subprocess.run(command, capture_output=True, text=True).stderr


def resource_lines(
    channels: tuple[int, ...] = CHANNELS,
    architectures: tuple[int, ...] = ARCHITECTURES,
) -> list[str]:
    """A Markdown table of all kernels, channels, dtypes and architectures; minutes if all."""
    lines = [
        "| kernel | C | dtype | sm | warps | registers | spilled bytes | shared KiB | wgmma |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for dtype, tf32 in ((torch.bfloat16, False), (torch.float32, False), (torch.float32, True)):
        name = "tf32" if tf32 else str(dtype).removeprefix("torch.")
        for width in channels:
            for architecture in architectures:
                for launch in chosen(width, dtype, tf32, architecture):
                    kind = "" if launch.constants.get("WITH_TAPE", True) else ", inference"
                    kind += ", mask or bias" if is_full(launch) else ""
                    r = inspect(launch, architecture)
                    lines.append(
                        f"| {launch.name}{kind} | {width} | {name} | {architecture} | "
                        f"{launch.constants.get('num_warps', 4)} | {r.registers} | "
                        f"{r.spilled_bytes} | {r.shared_bytes / 1024:.0f} | "
                        f"{'yes' if r.uses_wgmma else 'no'} |"
                    )
    return lines
