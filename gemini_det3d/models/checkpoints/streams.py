"""Weights of an encoder of several streams for one of fewer: streams share all but their norms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

# "...norm1.0.weight": the norms of a layer, one per stream
_NORM = re.compile(r"(?P<layer>(?:.+\.)?norm\w*\.)(?P<stream>\d+)(?P<rest>\.(?:weight|bias))")


def take_streams(state: Mapping[str, Tensor], streams: Sequence[int]) -> dict[str, Tensor]:
    """Keep the norms of some streams, numbered anew in the order given, and all that is shared.

    A part with one norm a layer, as the discriminator, has a single stream and stays as it is. The
    weights of the ensemble (``alpha``) follow the streams; a single stream has none. Fusion
    operators stay as they are, their first stream the first: another order is for a model in which
    they start anew.

    Args:
        state: Names to tensors of a model on `GeminiMiT` with one or two sources.
        streams: Which to keep.

    Raises:
        ValueError: No stream is asked for, one twice, or one that no norm belongs to.
    """
    norms = {name: found for name in state if (found := _NORM.fullmatch(name))}
    known = sorted({int(found["stream"]) for found in norms.values()})
    if not streams or len(set(streams)) < len(streams) or not set(streams) <= set(known):
        raise ValueError(f"streams={list(streams)} must be some of {known}, each once")
    several = {found["layer"] for found in norms.values() if found["stream"] != "0"}
    kept = {}
    for name, tensor in state.items():
        found = norms.get(name)
        if name.rpartition(".")[2] == "alpha":
            if len(streams) > 1:
                kept[name] = tensor[list(streams)]
        elif found is None or found["layer"] not in several:
            kept[name] = tensor
        elif (stream := int(found["stream"])) in streams:
            kept[f"{found['layer']}{list(streams).index(stream)}{found['rest']}"] = tensor
    return kept
