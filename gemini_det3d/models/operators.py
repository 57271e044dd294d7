"""The fusion operators under their registry names, so a config swaps them by one word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdet3d.registry import MODELS

from gemini_det3d.fusion import (
    ChannelExchangeFusion,
    ConcatFusion,
    CrossAttentionFusion,
    FusionOperator,
    GeminiFusion,
    GeminiWaysFusion,
    SumFusion,
    TokenExchangeFusion,
)
from gemini_det3d.registration import register

OPERATORS = (
    GeminiFusion,
    SumFusion,
    ConcatFusion,
    CrossAttentionFusion,
    TokenExchangeFusion,
    ChannelExchangeFusion,
)

for _operator in (*OPERATORS, GeminiWaysFusion):
    register(MODELS)(_operator)


def operator_type(config: Mapping[str, Any] | None) -> type | None:
    """The class that a config's ``type`` means: a class, or its name with or without scope.

    Returns:
        None: There is no config, no ``type``, or none of that name.
    """
    kind = (config or {}).get("type")
    return MODELS.get(kind) if isinstance(kind, str) else kind


def build_operator(config: Mapping[str, Any] | None, dim: int) -> FusionOperator:
    """Build the operator of an adapter.

    Args:
        config: Config with a registered ``type``; None means GeminiFusion as released for KITTI.
        dim: Channels of both streams; overrides any ``dim`` in the config.

    Raises:
        KeyError: ``type`` is missing or names nothing that is registered.
        ValueError: The type is registered but is no fusion operator, or its arguments are wrong.
    """
    config = dict(config or dict(type="GeminiFusion"))
    if "type" not in config:
        raise KeyError(f"operator needs a 'type', one of {[o.__name__ for o in OPERATORS]}")
    kind = operator_type(config)
    if kind is None:
        names = ", ".join(known.__name__ for known in OPERATORS)
        raise KeyError(f"operator type {config['type']!r} is not registered; ours are {names}")
    if not issubclass(kind, FusionOperator):
        raise ValueError(f"operator type {config['type']!r} is not a fusion operator")
    if kind is GeminiFusion:
        # mmengine's Xavier initialisation reaches every linear layer of the released detector.
        config.setdefault("linear_init", "xavier_uniform")
    return MODELS.build({**config, "dim": dim})
