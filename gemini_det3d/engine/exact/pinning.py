"""Batches in page-locked memory as a whole, so that copies to a GPU need not be waited for.

PyTorch's data loader pins tensors in containers, and passes over the samples of OpenMMLab: labels,
boxes and maps of classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory


class PinnableBatch(dict):
    """A batch that a data loader asks to pin itself; a plain dict afterwards."""

    def pin_memory(self) -> dict:
        """The same with all tensors in page-locked memory; its samples are changed in place."""
        return {name: _pinned(part) for name, part in self.items()}


def with_pinned_samples(loader: DataLoader) -> DataLoader:
    """Let a data loader that pins its batches pin the tensors of their samples, too."""
    if loader.pin_memory:
        loader.collate_fn = functools.partial(_collated, loader.collate_fn)
    return loader


def _collated(collate: Callable[[Any], Any], samples: Any) -> Any:
    batch = collate(samples)
    return PinnableBatch(batch) if type(batch) is dict else batch


def _pinned(value: Any) -> Any:
    if isinstance(value, BaseDataElement):
        value.set_data({name: _pinned(part) for name, part in value.items()})
        return value
    if isinstance(value, Mapping):
        return {name: _pinned(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_pinned, value))
    if isinstance(getattr(value, "tensor", None), Tensor):  # boxes, points
        value.tensor = value.tensor.pin_memory()
        return value
    return pin_memory(value)
