"""What checkpoints of OpenMMLab hold beside tensors and plain data, and nobody here needs.

Such names are bound to a stand-in that swallows whatever is done to it, so nothing of theirs is
imported or called; what was made of them is dropped afterwards.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Where names lead that a training loop of OpenMMLab leaves in its checkpoints: log histories,
# schedulers, numbers of numpy. `getattr` is how they name a method; here it gets nothing.
_PREFIXES = ("mmengine.", "mmcv.", "mmdet.", "mmdet3d.", "gemini_det3d.", "numpy.")
_NAMES = ("builtins.getattr",)


class LeftOut:
    """Stands for an object that is not wanted; any call or state leaves it as it is."""

    def __new__(cls, *args: Any, **kwargs: Any) -> LeftOut:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def may_be_left_out(name: str) -> bool:
    """Whether what a file asks for by its full name is of a training loop."""
    return name.startswith(_PREFIXES) or name in _NAMES


def stand_in(name: str) -> type[LeftOut]:
    """A class that carries a full name, for the reader looks names up by what it is told."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, (LeftOut,), {"__module__": module, "__qualname__": qualname})


def without_stand_ins(value: Any) -> Any:
    """Plain containers without stand-ins; tensors and other values as they are."""
    if isinstance(value, Mapping):
        items = value.items()
        kept = {k: without_stand_ins(v) for k, v in items if not _any_left_out(k, v)}
        metadata = getattr(value, "_metadata", None)  # modules' versions, by which layouts differ
        return kept if metadata is None else _state_dict(kept, metadata)
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple, set)):
        return type(value)(without_stand_ins(v) for v in value if not isinstance(v, LeftOut))
    return value


def _state_dict(values: dict, metadata: Any) -> OrderedDict:
    state: Any = OrderedDict(values)
    state._metadata = metadata
    return state


def _any_left_out(*values: Any) -> bool:
    return any(isinstance(value, LeftOut) for value in values)
