"""How a discriminator and a generator are told apart: losses on maps of logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.registration import register

_KINDS = ("cross_entropy", "least_squares")


@register(MODELS)
class AdversarialLoss(nn.Module):
    """Mean over patches of how far logits are from saying "real" or "fake".

    Args:
        kind: "cross_entropy", the protocol's (a sigmoid inside, so logits go in), or
            "least_squares" of logits against 1 and 0.

    Raises:
        ValueError: ``kind`` is another word.
    """

    def __init__(self, kind: str = "cross_entropy") -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"AdversarialLoss: kind must be one of {_KINDS}, got {kind!r}")
        self.kind = kind

    def forward(self, logits: Tensor, is_real: bool) -> Tensor:
        """Compare.

        Args:
            logits: Any shape.
            is_real: What they should say.

        Returns:
            Scalar, float32.
        """
        logits = logits.float()
        wanted = torch.full_like(logits, float(is_real))
        if self.kind == "least_squares":
            return F.mse_loss(logits, wanted)
        return F.binary_cross_entropy_with_logits(logits, wanted)
