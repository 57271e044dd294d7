"""Deformable convolution (Dai et al., ICCV 2017; modulated: Zhu et al., CVPR 2019).

Each tap of the kernel reads the map where its offset says (bilinearly, 0 outside); what was read is
multiplied with the weights as in any convolution. Gradients run the forward again.

Shapes: B images, C channels in, O out, D deformable groups, K taps, H W pixels in, h w out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gemini_det3d.ops.mmcv_ext.gradients import pulled_back


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Modulated deformable convolution into ``output`` ``(B, O, h, w)``.

    Args:
        input: ``(B, C, H, W)``.
        weight: ``(O, C / group, kernel_h, kernel_w)``.
        bias: ``(O,)``, read where ``with_bias``.
        ones: Not needed.
        offset: ``(B, D * 2 * K, h, w)``: y and x of each tap in turn.
        mask: ``(B, D * K, h, w)``.
        output: ``(B, O, h, w)``, written.
        columns: Not needed.
        **geometry: ``kernel_h``, ``kernel_w``, ``stride_h``, ``stride_w``, ``pad_h``, ``pad_w``,
            ``dilation_h``, ``dilation_w``, ``group``, ``deformable_group``, ``with_bias``.
    """
    output.copy_(_modulated(input, offset, mask, weight, bias, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **geometry: int,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`, added to the five ``grad_`` tensors."""
    pulled = pulled_back(
        lambda x, o, m, w, b: _modulated(x, o, m, w, b, geometry),
        (input, offset, mask, weight, bias),
        grad_output,
    )
    for out, grad in zip((grad_input, grad_offset, grad_mask, grad_weight, grad_bias), pulled):
        out += grad


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Deformable convolution into ``output``; as the modulated one without mask and bias.

    ``geometry`` is ``kW``, ``kH``, ``dW``, ``dH`` (strides), ``padW``, ``padH``, ``dilationW``,
    ``dilationH``, ``group``, ``deformable_group``.
    """
    output.copy_(_plain(input, offset, weight, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Gradients of the map and the offsets."""
    grads = pulled_back(lambda x, o: _plain(x, o, weight, geometry), (input, offset), gradOutput)
    gradInput.copy_(grads[0])
    gradOffset.copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Gradient of the weights times ``scale``, added to ``gradWeight``."""
    linear = torch.zeros_like(gradWeight)  # in the weights, so any will do
    grads = pulled_back(lambda w: _plain(input, offset, w, geometry), (linear,), gradOutput)
    gradWeight += scale * grads[0]


@dataclass(frozen=True)
class _Geometry:
    """How the kernel lies on the map; pairs are y, x."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int]
    group: int
    deformable_group: int

    @classmethod
    def modulated(cls, given: dict[str, int]) -> _Geometry:
        names = ("kernel", "stride", "pad", "dilation")
        pairs = {name: (given[f"{name}_h"], given[f"{name}_w"]) for name in names}
        return cls(**pairs, group=given["group"], deformable_group=given["deformable_group"])

    @classmethod
    def plain(cls, given: dict[str, int]) -> _Geometry:
        names = {"kernel": "k", "stride": "d", "pad": "pad", "dilation": "dilation"}
        pairs = {name: (given[f"{short}H"], given[f"{short}W"]) for name, short in names.items()}
        return cls(**pairs, group=given["group"], deformable_group=given["deformable_group"])


def _plain(input: Tensor, offset: Tensor, weight: Tensor, given: dict[str, int]) -> Tensor:
    geometry = _Geometry.plain(given)
    return _multiplied(_read(input, offset, geometry).flatten(1, 2), weight, geometry.group)


def _modulated(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    given: dict[str, int],
) -> Tensor:
    geometry = _Geometry.modulated(given)
    read = _read(input, offset, geometry)
    read = read * mask.reshape(len(mask), geometry.deformable_group, 1, -1, *mask.shape[2:])
    out = _multiplied(read.flatten(1, 2), weight, geometry.group)
    return out + bias[:, None, None] if given["with_bias"] else out


def _read(maps: Tensor, offset: Tensor, geometry: _Geometry) -> Tensor:
    """What each tap reads: ``(B, D, C / D, K, h, w)``."""
    batch, channels, *size = maps.shape
    out_size, groups = offset.shape[2:], geometry.deformable_group
    shift = offset.reshape(batch * groups, -1, 2, *out_size)
    places = _places(geometry, out_size, maps.device)
    axes = [  # -1 and 1 are the outer edges of the map
        (2 * (places[axis] + shift[:, :, axis]) + 1) / size[axis] - 1 for axis in (1, 0)
    ]
    grid = torch.stack(axes, dim=-1).flatten(1, 2)
    read = F.grid_sample(maps.reshape(batch * groups, -1, *size), grid, align_corners=False)
    return read.reshape(batch, groups, channels // groups, -1, *out_size)


def _places(geometry: _Geometry, out_size: torch.Size, device: torch.device) -> list[Tensor]:
    """Row, and column, that each tap reads without an offset: two that fit ``(K, h, w)``."""
    corners, taps = [], []
    for axis in (0, 1):
        corner = torch.arange(out_size[axis], device=device) * geometry.stride[axis]
        corners.append(corner - geometry.pad[axis])
        taps.append(torch.arange(geometry.kernel[axis], device=device) * geometry.dilation[axis])
    rows, columns = taps[0].repeat_interleave(len(taps[1])), taps[1].repeat(len(taps[0]))
    return [rows[:, None, None] + corners[0][:, None], columns[:, None, None] + corners[1]]


def _multiplied(read: Tensor, weight: Tensor, groups: int) -> Tensor:
    """``(B, C, K, h, w)`` with ``(O, C / group, kernel_h, kernel_w)`` -> ``(B, O, h, w)``."""
    batch, channels, taps, height, width = read.shape
    columns = read.reshape(batch, groups, channels // groups * taps, height * width)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    return (kernels @ columns).reshape(batch, weight.shape[0], height, width)
