"""Windows of a map and who may look at whom in them (Swin Transformer, Liu et al., ICCV 2021).

Shape shorthand: B images, H x W map, C channels, w window size, h heads, n windows of all images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def to_windows(features: Tensor, window: int) -> Tensor:
    """``(B, H, W, C)`` with H and W multiples of w -> ``(n, w w, C)``, image by image."""
    batch, height, width, dim = features.shape
    grid = features.view(batch, height // window, window, width // window, window, dim)
    return grid.transpose(2, 3).reshape(-1, window * window, dim)


def from_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`."""
    grid = windows.view(-1, height // window, width // window, window, window, windows.shape[-1])
    return grid.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


def relative_index(window: int) -> Tensor:
    """For each pair of pixels of a window the row of the bias table: ``(w w, w w)`` int64."""
    place = torch.arange(window)
    rows, columns = (t.flatten() for t in torch.meshgrid(place, place, indexing="ij"))
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return down * (2 * window - 1) + right


def shifted_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Which pixels of a shifted window were neighbours before the shift.

    A shifted map wraps around, so windows at its end hold pieces from opposite sides.

    Returns:
        ``(windows of one image, w w, w w)`` bool, True where a pixel may look at another.
    """

    def piece(size: int) -> Tensor:
        place = torch.arange(size, device=device)
        return (place >= size - window).int() + (place >= size - shift).int()

    pieces = 3 * piece(height)[:, None] + piece(width)[None]
    pieces = to_windows(pieces[None, :, :, None], window).squeeze(-1)
    return pieces[:, :, None] == pieces[:, None]


class WindowAttention(nn.Module):
    """Self-attention inside windows with a learned bias for each offset.

    Args:
        dim: Channels C.
        num_heads: h, a divisor of C.
        window: w.
        shift: The map is rolled by so many pixels up and left before it is cut.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, window: int, shift: int = 0) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window - 1) ** 2, num_heads)
        )
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        index = relative_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, H, W, C)`` -> the same shape, padded with zeros to whole windows meanwhile."""
        height, width = features.shape[1:3]
        down, right = -height % self.window, -width % self.window
        padded = F.pad(features, (0, 0, 0, right, 0, down))
        size = padded.shape[1:3]
        if self.shift:
            padded = padded.roll((-self.shift, -self.shift), dims=(1, 2))
        read = self._attend(to_windows(padded, self.window), self._bias(*size, features))
        read = from_windows(read, self.window, *size)
        if self.shift:
            read = read.roll((self.shift, self.shift), dims=(1, 2))
        return self.proj(read[:, :height, :width])

    def _attend(self, windows: Tensor, bias: Tensor) -> Tensor:
        """Attention of ``(n, w w, C)`` with ``(1 or n, h, w w, w w)`` added to the logits."""
        heads = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if bias.shape[0] > 1:
            bias = bias.repeat(windows.shape[0] // bias.shape[0], 1, 1, 1)
        read = F.scaled_dot_product_attention(*heads, attn_mask=bias.to(heads.dtype))
        return read.transpose(1, 2).reshape(windows.shape)

    def _bias(self, height: int, width: int, like: Tensor) -> Tensor:
        table = self.relative_position_bias_table[self.relative_position_index]
        bias = table.permute(2, 0, 1)[None]
        if not self.shift:
            return bias
        seen = shifted_mask(height, width, self.window, self.shift, like.device)
        return bias.masked_fill(~seen[:, None], float("-inf"))
