"""Checkpoints of the released KITTI detector <-> our parameter names.

The released detector keeps the block's parameters and the blend's ``alpha`` directly in its fusion
layer; ours has them one level down, in ``operator`` and ``blend``. All other names are equal, so
the mapping is one to one.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gemini_det3d.fusion import (
    convert_released_state_dict,
    find_blocks,
    find_released_blocks,
    to_released,
)


def convert_released_detector(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a released detector, voxel encoder or fusion layer.

    Args:
        state_dict: Released names to tensors; a plain MVX-Net passes through unchanged.

    Returns:
        A new dict with our names, the tensors shared.

    Raises:
        ValueError: A fusion block is incomplete; the message names the missing parameter.
    """
    prefixes = find_released_blocks(state_dict)
    converted = convert_released_state_dict(state_dict, lambda prefix: f"{prefix}operator.")
    for prefix in prefixes:
        if f"{prefix}alpha" in converted:
            converted[f"{prefix}blend.alpha"] = converted.pop(f"{prefix}alpha")
    return converted


def to_released_detector(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_released_detector`.

    Args:
        state_dict: Our detector, voxel encoder or fusion layer, with GeminiFusion or no fusion.

    Returns:
        A new dict with the released names.

    Raises:
        ValueError: A parameter of the fusion has no released counterpart, or lacks (another
            operator, or GeminiFusion without noise or discriminator); the message names it.
    """
    converted = dict(state_dict)
    for operator in find_blocks(state_dict):
        prefix = operator.removesuffix("operator.")
        names = [name for name in converted if name.startswith(operator)]
        block = {name.removeprefix(operator): converted.pop(name) for name in names}
        try:
            released = to_released(block)
        except ValueError as error:
            raise ValueError(f"{operator}{error}") from None
        converted.update({prefix + name: tensor for name, tensor in released.items()})
        if f"{prefix}blend.alpha" in converted:
            converted[f"{prefix}alpha"] = converted.pop(f"{prefix}blend.alpha")
    strange = next((name for name in converted if ".operator." in f".{name}"), None)
    if strange is not None:
        raise ValueError(f"{strange} has no counterpart in the released detector")
    return converted
