"""Losses that fusion operators bring along, on their way into the detector's loss dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator

__all__ = ["WithAuxiliaryLosses", "auxiliary_losses"]


def auxiliary_losses(model: nn.Module) -> dict[str, Tensor]:
    """Take the losses of the latest training forward from every operator inside a model.

    Args:
        model: Any module.

    Returns:
        Losses by name; operators with losses of one name are summed.
    """
    total: dict[str, Tensor] = {}
    for module in model.modules():
        if isinstance(module, FusionOperator):
            for name, loss in module.auxiliary_losses().items():
                total[name] = total[name] + loss if name in total else loss
    return total


class WithAuxiliaryLosses:
    """Mixin for any detector with mmengine's ``loss``: ``class X(WithAuxiliaryLosses, Detector)``.

    The losses of the operators inside join the dict that the detector's own ``loss`` returns.
    """

    def loss(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The detector's own losses and those of the operators inside it."""
        losses = super().loss(*args, **kwargs)  # type: ignore[misc]
        return {**losses, **auxiliary_losses(self)}  # type: ignore[arg-type]
