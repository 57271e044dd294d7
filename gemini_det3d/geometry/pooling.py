"""Sums over segments: lifted pixels into the cells of a grid.

Every entry is one row of a feature table with a weight; entries of the same cell are summed. The
entries are sorted by cell once, so each cell is one segment, and a segment is summed where it lies:
neither the lifted features (entries x channels) nor a scatter with collisions is needed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_to_cells(
    features: Tensor, weights: Tensor, rows: Tensor, cells: Tensor, num_cells: int
) -> Tensor:
    """Weighted sum of the features that fall into each cell.

    Gradients reach ``features`` and ``weights``. Rows that no entry names are not read.

    Args:
        features: ``(P, C)`` table.
        weights: ``(E,)`` weight of each entry.
        rows: ``(E,)`` int64, row of ``features`` of each entry.
        cells: ``(E,)`` int64, cell of each entry; entries with a negative cell are left out.
        num_cells: Cells of the grid.

    Returns:
        ``(num_cells, C)`` in the dtype of ``features``, zeros where no entry falls.

    Raises:
        ValueError: A cell number is ``num_cells`` or more.
    """
    kept = cells >= 0
    cells, order = torch.sort(cells[kept], stable=True)
    if len(cells) and int(cells[-1]) >= num_cells:
        raise ValueError(f"cell {int(cells[-1])} is outside a grid of {num_cells} cells")
    if len(cells) == 0:  # 0 * sum keeps both in the graph: no parameter is "unused"
        unread = 0 * features[:0].sum() + 0 * weights[:0].sum()
        return features.new_zeros(num_cells, features.shape[1]) + unread
    dtype = torch.promote_types(features.dtype, torch.float32)
    starts = torch.searchsorted(cells, torch.arange(num_cells + 1, device=cells.device))
    pooled = F.embedding_bag(
        rows[kept][order],
        features.to(dtype),
        starts,
        mode="sum",
        per_sample_weights=weights[kept][order].to(dtype),
        include_last_offset=True,
    )
    return pooled.to(features.dtype)
