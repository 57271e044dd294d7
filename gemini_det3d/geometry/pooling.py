"""Sums over segments: lifted pixels into the cells of a grid.

Every entry is one row of a feature table with a weight; entries of the same cell are summed. The
entries are sorted by cell once, so each cell is one segment, and a segment is summed where it lies:
neither the lifted features (entries x channels) nor a scatter with collisions is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class CellOrder:
    """Entries in the order of their cells, those of no cell left out.

    Attributes:
        entries: ``(K,)`` int64, number of each entry that falls into a cell, cell by cell.
        starts: ``(num_cells + 1,)`` int64, where each cell's entries begin, and the end.
    """

    entries: Tensor
    starts: Tensor


def order_by_cell(cells: Tensor, num_cells: int) -> CellOrder:
    """Sort entries by cell; worth keeping where cells stay the same.

    Args:
        cells: ``(E,)`` int64, cell of each entry; entries with a negative cell are left out.
        num_cells: Cells of the grid, below 2^31.

    Raises:
        ValueError: A cell number is ``num_cells`` or more.
    """
    kept = (cells >= 0).nonzero().squeeze(1)  # often less than half: sorted alone, and as int32
    by_cell, order = cells[kept].int().sort(stable=True)
    starts = torch.searchsorted(by_cell, torch.arange(num_cells + 1, device=cells.device).int())
    if len(kept) > 0 and (worst := int(by_cell[-1])) >= num_cells:
        raise ValueError(f"cell {worst} is outside a grid of {num_cells} cells")
    return CellOrder(kept[order], starts)


def pool_to_cells(
    features: Tensor,
    weights: Tensor,
    rows: Tensor,
    cells: Tensor | CellOrder,
    num_cells: int,
) -> Tensor:
    """Weighted sum of the features that fall into each cell.

    Gradients reach ``features`` and ``weights``. Rows that no entry names are not read.

    Args:
        features: ``(P, C)`` table.
        weights: ``(E,)`` weight of each entry.
        rows: ``(E,)`` int64, row of ``features`` of each entry.
        cells: ``(E,)`` int64, cell of each entry; entries with a negative cell are left out. Or
            their order, found before.
        num_cells: Cells of the grid.

    Returns:
        ``(num_cells, C)`` in the dtype of ``features``, zeros where no entry falls.

    Raises:
        ValueError: A cell number is ``num_cells`` or more.
    """
    order = cells if isinstance(cells, CellOrder) else order_by_cell(cells, num_cells)
    if len(order.entries) == 0:  # 0 * sum keeps both in the graph: no parameter is "unused"
        unread = 0 * features[:0].sum() + 0 * weights[:0].sum()
        return features.new_zeros(num_cells, features.shape[1]) + unread
    dtype = torch.promote_types(features.dtype, torch.float32)
    pooled = F.embedding_bag(
        rows[order.entries],
        features.to(dtype),
        order.starts,
        mode="sum",
        per_sample_weights=weights[order.entries].to(dtype),
        include_last_offset=True,
    )
    return pooled.to(features.dtype)
