"""Names of the released checkpoints' parameters <-> ours.

The released block holds one `nn.MultiheadAttention` per direction, the relation discriminator and
two noise embeddings (released code of GeminiFusion, all three branches); ours holds the same
numbers, packed (see `FusionParameters`). Both conversions only move rows, so they are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = [
    "RELEASED_NAMES",
    "convert_released_state_dict",
    "find_blocks",
    "find_released_blocks",
    "from_released",
    "to_released",
]

_ATTENTIONS = ("cross_attn_0_to_1", "cross_attn_1_to_0")
_SAME = {
    "relation_in_weight": "relation_judger.0.fc1.weight",
    "relation_in_bias": "relation_judger.0.fc1.bias",
    "relation_out_weight": "relation_judger.0.fc2.weight",
    "relation_out_bias": "relation_judger.0.fc2.bias",
    "key_noise": "k_noise.weight",
    "value_noise": "v_noise.weight",
}
_OURS = ("query_weight", "key_weight", "value_weight", "in_bias", "out_weight", "out_bias", *_SAME)
_PACKED = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")

RELEASED_NAMES = tuple(f"{a}.{name}" for a in _ATTENTIONS for name in _PACKED) + tuple(
    _SAME.values()
)
"""The 14 names of one released block, without prefix."""


def from_released(released: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Our parameters of one block.

    Args:
        released: Released names to tensors; other names are ignored.
        prefix: What stands before the names of this block, for example `block1.0.attn.`.

    Raises:
        TypeError: A value is no tensor.
        ValueError: A name is missing or its shape does not fit; the message names it.
    """
    block = _checked_block(released, prefix)
    first, second = (
        {name: block[f"{attention}.{name}"] for name in _PACKED} for attention in _ATTENTIONS
    )
    in_weights = [
        torch.stack(pair)
        for pair in zip(first["in_proj_weight"].chunk(3), second["in_proj_weight"].chunk(3))
    ]
    ours = {
        "query_weight": in_weights[0],
        "key_weight": in_weights[1],
        "value_weight": in_weights[2],
        "in_bias": torch.stack((first["in_proj_bias"], second["in_proj_bias"])),
        "out_weight": torch.stack((first["out_proj.weight"], second["out_proj.weight"])),
        "out_bias": torch.stack((first["out_proj.bias"], second["out_proj.bias"])),
    }
    ours.update({name: block[theirs] for name, theirs in _SAME.items()})
    return ours


def to_released(ours: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """The released names of one block: the inverse of `from_released`.

    Works on anything of the parameters' shapes, gradients for example.

    Args:
        ours: All names of `FusionParameters` to tensors.
        prefix: Put before every released name.

    Returns:
        The 14 released names, prefixed, to tensors.

    Raises:
        ValueError: The operator has parameters that the released one lacks, lacks one itself, or
            fuses another number of streams than two; the message names the parameter.
    """
    _check_mapping(ours)
    lacking = next((name for name in _OURS if name not in ours), None)
    if lacking is not None:
        raise ValueError(f"{prefix}{lacking} is missing; the released operator has it")
    if len(ours["query_weight"]) != len(_ATTENTIONS):
        count = len(ours["query_weight"])
        raise ValueError(f"{prefix}query_weight is of {count} streams, the released operator of 2")
    strange = next((name for name in ours if name.startswith("reliability_")), None)
    if strange is not None:
        raise ValueError(f"{prefix}{strange} has no counterpart in the released operator")
    released = {}
    for direction, attention in enumerate(_ATTENTIONS):
        rows = [ours[f"{name}_weight"][direction] for name in ("query", "key", "value")]
        released[f"{attention}.in_proj_weight"] = torch.cat(rows)
        released[f"{attention}.in_proj_bias"] = ours["in_bias"][direction]
        released[f"{attention}.out_proj.weight"] = ours["out_weight"][direction]
        released[f"{attention}.out_proj.bias"] = ours["out_bias"][direction]
    released.update({theirs: ours[name] for name, theirs in _SAME.items()})
    return {prefix + name: tensor for name, tensor in released.items()}


def find_released_blocks(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Prefixes of all released fusion blocks of a checkpoint, in its order."""
    _check_mapping(state_dict)
    mark = RELEASED_NAMES[0]
    return [name[: -len(mark)] for name in state_dict if name.endswith(mark)]


def find_blocks(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Prefixes (`...operator.`) of all our fusion blocks in a model's state dict, in its order."""
    _check_mapping(state_dict)
    mark = "query_weight"
    return [name[: -len(mark)] for name in state_dict if name.endswith(f"operator.{mark}")]


def convert_released_state_dict(
    state_dict: Mapping[str, Tensor], rename: Callable[[str], str] = str
) -> dict[str, Tensor]:
    """Convert every fusion block of a checkpoint and leave all other names as they are.

    Args:
        state_dict: A whole released checkpoint.
        rename: From a block's released prefix to the prefix of our module, for example
            `lambda prefix: prefix + "operator."`. By default the prefix stays.
    """
    blocks = find_released_blocks(state_dict)
    gone = {prefix + name for prefix in blocks for name in RELEASED_NAMES}
    converted = {name: tensor for name, tensor in state_dict.items() if name not in gone}
    for prefix in blocks:
        ours = from_released(state_dict, prefix)
        converted.update({rename(prefix) + name: tensor for name, tensor in ours.items()})
    return converted


def _check_mapping(state: Mapping[str, Tensor]) -> None:
    if not isinstance(state, Mapping):
        hint = "torch.load(path, weights_only=True) reads one from a file"
        raise TypeError(
            f"a state dict must map names to tensors, got {type(state).__name__}; {hint}"
        )


def _checked_block(released: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    _check_mapping(released)
    missing = [prefix + name for name in RELEASED_NAMES if prefix + name not in released]
    if missing:
        raise ValueError(f"released parameters: {missing[0]} is missing ({len(missing)} of 14)")
    block = {name: released[prefix + name] for name in RELEASED_NAMES}
    other = next((name for name in block if not isinstance(block[name], Tensor)), None)
    if other is not None:
        kind = type(block[other]).__name__
        raise TypeError(f"released parameters: {prefix}{other} must be a tensor, got {kind}")
    channels = block["relation_judger.0.fc2.bias"].shape[-1]
    for name, shape in _expected_shapes(channels).items():
        if tuple(block[name].shape) != shape:
            raise ValueError(
                f"released parameters: {prefix}{name} must be {shape}, got "
                f"{tuple(block[name].shape)}"
            )
    return block


def _expected_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "relation_judger.0.fc1.weight": (channels, 2 * channels),
        "relation_judger.0.fc1.bias": (channels,),
        "relation_judger.0.fc2.weight": (channels, channels),
        "relation_judger.0.fc2.bias": (channels,),
        "k_noise.weight": (2, channels),
        "v_noise.weight": (2, channels),
    }
    for attention in _ATTENTIONS:
        shapes[f"{attention}.in_proj_weight"] = (3 * channels, channels)
        shapes[f"{attention}.in_proj_bias"] = (3 * channels,)
        shapes[f"{attention}.out_proj.weight"] = (channels, channels)
        shapes[f"{attention}.out_proj.bias"] = (channels,)
    return shapes
