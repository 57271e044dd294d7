"""The two layouts of sparse convolutions' weights, told from shapes.

spconv 2 keeps ``(out, *kernel, in)``, spconv 1 and mmcv ``(*kernel, in, out)``. mmdet3d turns the
second into the first wherever a checkpoint does not state the version of a module
(``state_dict._metadata``), and a state dict that was copied, halved or renamed states none. Shapes
do not forget: only where all sides are equal do they leave open which of the two it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

_LIBRARIES = ("spconv.", "mmcv.ops.sparse")
_SIDES, _LARGEST_KERNEL = 5, 7
_VERSION = 2  # what mmdet3d calls spconv 2's layout


def sparse_convolutions(model: nn.Module) -> dict[str, nn.Module]:
    """Modules of a model whose weights have a layout, by name; of spconv or of mmcv."""
    return {
        name: module
        for name, module in model.named_modules()
        if any(base.__module__.startswith(_LIBRARIES) for base in type(module).__mro__)
        and isinstance(getattr(module, "weight", None), Tensor)
        and module.weight.dim() > 2
    }


def in_layout_of(weight: Tensor, own: Tensor, is_stated: bool) -> Tensor:
    """A weight in the layout of the module that takes it.

    Args:
        weight: Of a file, in either layout.
        own: The module's.
        is_stated: Whether the file says that its layout is spconv 2's; counts where all sides are
            equal, and only there.

    Returns:
        The weight, its sides turned if that makes it fit; as it is where nothing does.
    """
    turns = (weight.movedim(-1, 0), weight.movedim(0, -1))
    if weight.shape != own.shape:
        return next((turned for turned in turns if turned.shape == own.shape), weight)
    return turns[0] if turns[0].shape == own.shape and not is_stated else weight


def in_stated_layout(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """A file's 3D weights in spconv 2's layout, and the statement that they are.

    Without a model the kernel tells: its three sides are odd and at most 7, channels rarely are.

    Args:
        state: Names to tensors; ``_metadata`` says of the modules of a file what it knows.

    Returns:
        A new dict whose ``_metadata`` states the layout, as mmdet3d and we read it.
    """
    versions = OrderedDict(getattr(state, "_metadata", None) or {})
    stated = OrderedDict(state)
    for name, weight in state.items():
        module, _, kind = name.rpartition(".")
        if kind == "weight" and weight.dim() == _SIDES:
            if _is_kernel(weight.shape[:3]) and not _is_kernel(weight.shape[1:4]):
                stated[name] = weight.movedim(-1, 0)
            versions[module] = version_of_layout()
    stated._metadata = versions  # type: ignore[attr-defined]
    return stated


def _is_kernel(sides: Sequence[int]) -> bool:
    return all(side % 2 and side <= _LARGEST_KERNEL for side in sides)


def states_version(versions: Mapping[str, Any] | None, module: str) -> bool:
    """Whether a state dict's ``_metadata`` says that a module's weight is in spconv 2's layout."""
    return ((versions or {}).get(module) or {}).get("version") == _VERSION


def version_of_layout() -> dict[str, int]:
    """What ``_metadata`` has to say of a module so that mmdet3d takes its weight as it is."""
    return {"version": _VERSION}


def accept_either_layout(module: nn.Module) -> None:
    """Let the sparse convolutions of a module take weights in either layout, however loaded.

    Args:
        module: Of spconv 2 or of mmcv.
    """
    for convolution in sparse_convolutions(module).values():
        convolution._register_load_state_dict_pre_hook(_turn, with_module=True)


def _turn(module: nn.Module, state: dict, prefix: str, versions: dict, *_: Any) -> None:
    """Before a module takes its weight: the layout that what comes next expects."""
    weight = state.get(f"{prefix}weight")
    if not isinstance(weight, Tensor) or weight.dim() != module.weight.dim():
        return
    is_stated = versions.get("version") == _VERSION
    weight = in_layout_of(weight, module.weight, is_stated)
    # Without a stated version mmdet3d moves the last side to the front, whatever the shape.
    moves = getattr(type(module), "_version", None) == _VERSION and not is_stated
    state[f"{prefix}weight"] = weight.movedim(0, -1) if moves else weight
