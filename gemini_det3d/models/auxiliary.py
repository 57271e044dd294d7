"""Losses that parts of a model bring along, on their way into the detector's loss dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator, reliability_loss
from gemini_det3d.models.sensor_metas import corruption_strengths

__all__ = ["WithAuxiliaryLosses", "auxiliary_losses", "reliability_losses"]

_STREAMS = (("camera",), ("lidar",))
"""Sensors of a detector's streams."""


def auxiliary_losses(model: nn.Module) -> dict[str, Tensor]:
    """Take the losses of the latest training forward from every part of a model that has any.

    Parts with a method ``auxiliary_losses``: fusion operators, and views lifted to a map.

    Returns:
        Losses by name; those of one name are summed.
    """
    total: dict[str, Tensor] = {}
    for module in model.modules():
        take = getattr(module, "auxiliary_losses", None)
        for name, loss in take().items() if take else ():
            total[name] = total[name] + loss if name in total else loss
    return total


def reliability_losses(
    model: nn.Module,
    metas: Sequence[Mapping[str, Any]],
    streams: Sequence[Sequence[str]] = _STREAMS,
) -> dict[str, Tensor]:
    """The loss of what the operators inside a model doubted in the latest training forward.

    Args:
        model: Any module.
        metas: Metadata of the B samples, whose ``corruption_strength`` and ``sensor_mask`` are
            read (:func:`gemini_det3d.models.sensor_metas.corruption_strengths`).
        streams: The sensors that make up each of the two streams.

    Returns:
        ``loss_reliability``, the mean over the operators; nothing where none doubts.
    """
    operators = [module for module in model.modules() if isinstance(module, FusionOperator)]
    taken = [doubts for doubts in (each.take_doubts() for each in operators) if doubts is not None]
    if not taken:
        return {}
    known = [sensor for sensors in streams for sensor in sensors]
    strengths = [
        torch.from_numpy(np.mean([corruption_strengths(metas, s, known) for s in sensors], axis=0))
        for sensors in streams
    ]
    losses = [reliability_loss(doubts, strengths) for doubts in taken]
    return {"loss_reliability": sum(losses[1:], losses[0]) / len(losses)}


class WithAuxiliaryLosses:
    """Mixin for any detector with mmengine's ``loss``: ``class X(WithAuxiliaryLosses, Detector)``.

    The losses of the parts inside join the dict that the detector's own ``loss`` returns.
    """

    def loss(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The detector's own losses and those of the parts inside it."""
        losses = super().loss(*args, **kwargs)  # type: ignore[misc]
        samples = kwargs.get("batch_data_samples", args[1] if len(args) > 1 else ())
        doubted = reliability_losses(self, [sample.metainfo for sample in samples])  # type: ignore[arg-type]
        return {**losses, **auxiliary_losses(self), **doubted}  # type: ignore[arg-type]
