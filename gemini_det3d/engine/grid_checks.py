"""One range and one size of voxels in all parts of a detector, and anchors for each class.

A config states them in half a dozen places. Where one of them was forgotten, points and maps, or
maps and anchors, lie beside each other, and the training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from mmdet3d.models.dense_heads import Anchor3DHead
from torch import nn

from gemini_det3d.formats import FormatError
from gemini_det3d.models.dense_heads.anchor_head import anchor_fault

_RANGE, _VOXEL = ("point_cloud_range", "pc_range"), ("voxel_size",)
_SPARSE, _ANCHORS = ("sparse_shape",), ("ranges",)
# Of a range's length: what anchors may lie further in or out (half a cell is usual).
_ANCHOR_SHARE = 0.02
_CLOSE = 1e-4
_LAYER = "model.data_preprocessor.voxel_layer"


def check_grid(model: Mapping[str, Any]) -> None:
    """Refuse a model whose parts have other ranges, sizes of voxels or grids than its voxel layer.

    Args:
        model: Its config.

    Raises:
        FormatError: A part differs; the message names both entries. Or a size is not above 0, a
            range does not rise, or there is no number where one belongs.
    """
    layer = (model.get("data_preprocessor") or {}).get("voxel_layer") or {}
    low_high, voxel = layer.get("point_cloud_range"), layer.get("voxel_size")
    if not _are_numbers(low_high, 6) or not _are_numbers(voxel, 3):
        return
    _check_layer(low_high, voxel)
    for names, entry in ((_RANGE, "point_cloud_range"), (_VOXEL, "voxel_size")):
        for place, value in _places(model, names):
            if _is_other(value, layer[entry]):
                first = f"{_LAYER}.{entry} {list(layer[entry])}"
                raise FormatError(f"model.{place}", f"is {list(value)}, and {first}")
    size = np.subtract(low_high[3:], low_high[:3])
    cells = np.rint(size / voxel).astype(int)
    for place, value in _places(model, _SPARSE):
        if _are_numbers(value, 3) and not _fits(value, cells):
            grid = f"[{cells[2] + 1}, {cells[1]}, {cells[0]}]"
            fault = f"is {list(value)}; range {list(low_high)} and voxels of {list(voxel)} make "
            raise FormatError(f"model.{place}", f"{fault}{grid} (z, y, x)")
    for place, values in _places(model, _ANCHORS):
        for value in values:
            if _are_numbers(value, 6) and _is_elsewhere(value, low_high, size):
                fault = f"lays anchors over {list(value)}, and the map covers {list(low_high)}"
                raise FormatError(f"model.{place}", f"{fault} (x, y, z, x, y, z)")


def check_anchors(model: nn.Module) -> None:
    """Refuse a detector with an assigner for each class, and anchors or classes of another number.

    Args:
        model: Built; a head of another kind is not asked, nor one whose assigners take all classes.

    Raises:
        FormatError: A class would be learnt on the anchors of another one.
    """
    for name, part in model.named_modules():
        if isinstance(part, Anchor3DHead) and part.assign_per_class:
            fault = anchor_fault(part)
            if fault is not None:
                raise FormatError(f"model.{name}", fault)


def _check_layer(low_high: Any, voxel: Any) -> None:
    """Refuse what no grid can be made of."""
    for entry, values in (("point_cloud_range", low_high), ("voxel_size", voxel)):
        if not all(isinstance(value, Real) and np.isfinite(value) for value in values):
            raise FormatError(f"{_LAYER}.{entry}", f"is {list(values)}, expected finite numbers")
    if min(voxel) <= 0:
        raise FormatError(f"{_LAYER}.voxel_size", f"is {list(voxel)}, expected numbers above 0")
    if not all(low < high for low, high in zip(low_high[:3], low_high[3:])):
        fault = f"is {list(low_high)}, expected the lowest x, y, z and then higher ones"
        raise FormatError(f"{_LAYER}.point_cloud_range", fault)


def _is_other(value: Any, wanted: Any) -> bool:
    """A part may have the first numbers alone."""
    is_list = isinstance(value, (list, tuple)) and 0 < len(value) <= len(wanted)
    return is_list and not np.allclose(value, wanted[: len(value)], rtol=0, atol=_CLOSE)


def _fits(shape: Any, cells: np.ndarray) -> bool:
    """Depth first; mmdet3d's have one cell more there, or none."""
    return tuple(shape[1:]) == (cells[1], cells[0]) and shape[0] - cells[2] in (0, 1)


def _is_elsewhere(anchors: Any, low_high: Any, size: np.ndarray) -> bool:
    off = np.abs(np.subtract(anchors, low_high)).reshape(2, 3)[:, :2]
    return bool((off > _ANCHOR_SHARE * size[:2]).any())


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == count


def _places(node: Any, names: tuple[str, ...], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every entry of these names."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        here = f"{path}.{key}" if path else str(key)
        if key in names:
            if isinstance(value, (list, tuple)) and any(isinstance(each, str) for each in value):
                raise FormatError(f"model.{here}", f"is {list(value)}, expected numbers")
            yield here, value
        elif isinstance(value, (Mapping, list, tuple)):
            yield from _places(value, names, here)
