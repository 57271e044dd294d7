"""What a start of the operator does to the streams, their gradients and the first step.

    python -m benchmarks.start

Tokens as an untrained encoder gives them: not negative, root mean square 0.24 (camera) and 0.16
(LiDAR). Behind the operator stand the blend of both streams, batch normalisation and a linear
classifier of what the camera alone shows. The step is Adam's first: the sign of the gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator, GeminiFusion, StreamBlend, SumFusion

_CHANNELS, _TOKENS, _HEADS = 32, 4096, 4
_CAMERA_RMS, _LIDAR_RMS = 0.24, 0.16
_RATE = 0.003


class Start(NamedTuple):
    """Figures of one start, relative to the deviation of the fused tokens where not said.

    Attributes:
        camera: Root mean square of the gradient of the camera's tokens.
        lidar: The same of the LiDAR's.
        constant: What is added to all tokens of a stream alike.
        apart: How far one step moves the fused tokens, each its own way.
        alike: How far it moves them all alike.
    """

    camera: float
    lidar: float
    constant: float
    apart: float
    alike: float


def measure(operator: FusionOperator, seed: int) -> Start:
    """Figures of an operator of 32 channels at its start."""
    camera, lidar, labels = _tokens(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    weight = 0.1 * torch.randn(1, _CHANNELS, generator=generator)
    blend, norm = StreamBlend(), nn.BatchNorm1d(_CHANNELS)
    streams = camera.requires_grad_(), lidar.requires_grad_()
    first, second = operator(*streams)
    fused = blend(first, second)
    logits = F.linear(norm(fused), weight)[:, 0]
    F.binary_cross_entropy_with_logits(logits, labels).backward()
    with torch.no_grad():
        for parameter in operator.parameters():
            if parameter.grad is not None:
                parameter -= _RATE * parameter.grad.sign()
        moved = blend(*operator(*streams)) - fused
        deviation = _rms(fused - fused.mean(0))
        return Start(
            *(_rms(stream.grad) for stream in streams if stream.grad is not None),
            _rms((first - camera).mean(0)) / deviation,
            _rms(moved - moved.mean(0)) / deviation,
            _rms(moved.mean(0)) / deviation,
        )


def starts() -> dict[str, FusionOperator]:
    """The operators that are compared, drawn anew."""

    def gemini(**options: object) -> GeminiFusion:
        return GeminiFusion(_CHANNELS, _HEADS, linear_init="xavier_uniform", **options)  # type: ignore[arg-type]

    inverse, orthogonal = gemini(noise_std=0.02), gemini(noise_std=0.02)
    with torch.no_grad():
        for i in (0, 1):
            inverse.out_weight[i] = torch.linalg.inv(inverse.value_weight[i])
            orthogonal.value_weight[i] = torch.linalg.qr(torch.randn(_CHANNELS, _CHANNELS))[0]
            orthogonal.out_weight[i] = orthogonal.value_weight[i].T
    return {
        "Sum": SumFusion(_CHANNELS),
        '`"released"`': gemini(),
        "noise 0.02": gemini(noise_std=0.02),
        "output projection at zero, noise 1": gemini(init="balanced", noise_std=1.0),
        '**`"balanced"`**': gemini(init="balanced"),
        "W_o = W_v^-1, noise 0.02": inverse,
        "W_v orthogonal, W_o = W_v^T, noise 0.02": orthogonal,
    }


def main(draws: int = 5) -> None:
    """Print the table of docs/design/operator.md."""
    rows: dict[str, list[Start]] = {}
    for seed in range(draws):
        torch.manual_seed(seed)
        for name, operator in starts().items():
            rows.setdefault(name, []).append(measure(operator, seed))
    means = {name: Start(*torch.tensor(found).mean(0).tolist()) for name, found in rows.items()}
    unit = means["Sum"]
    for name, mean in means.items():
        gradients = f"{mean.camera / unit.camera:.2f}, {mean.lidar / unit.lidar:.2f}"
        constant = "" if name == "Sum" else f"{mean.constant:.2f}"
        print(f"| {name} | {gradients} | {constant} | {mean.apart:.3f} | {mean.alike:.3f} |")


def _tokens(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Camera and LiDAR tokens (N, C) and labels (N,) that the camera's tokens decide."""
    shape = (_TOKENS, _CHANNELS)
    camera = torch.randn(shape, generator=generator).relu()
    lidar = torch.randn(shape, generator=generator).relu()
    direction = torch.randn(_CHANNELS, generator=generator)
    labels = ((camera - camera.mean(0)) @ direction > 0).float()
    return _CAMERA_RMS * camera / _rms(camera), _LIDAR_RMS * lidar / _rms(lidar), labels


def _rms(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean().sqrt())


if __name__ == "__main__":
    main()
