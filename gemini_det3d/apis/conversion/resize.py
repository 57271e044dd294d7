"""Parameters that depend on the size of a window, for another size."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_position_table(table: Tensor, window: int) -> Tensor:
    """Swin's bias of relative positions for another window, by bicubic interpolation.

    Args:
        table: ``((2 v - 1)^2, heads)`` of window v.
        window: The new one, w.

    Returns:
        ``((2 w - 1)^2, heads)``.
    """
    side, wanted = round(table.shape[0] ** 0.5), 2 * window - 1
    if side == wanted:
        return table
    image = table.T.reshape(1, -1, side, side)
    image = image.to(torch.promote_types(table.dtype, torch.float32))
    resized = torch.nn.functional.interpolate(
        image, (wanted, wanted), mode="bicubic", align_corners=False
    )
    return resized.view(-1, wanted * wanted).T.contiguous().to(table.dtype)
