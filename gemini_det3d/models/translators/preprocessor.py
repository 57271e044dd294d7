"""Bytes of images -> what the networks read, on their device."""

from __future__ import annotations

from typing import Any

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from gemini_det3d.registration import register


def from_bytes(images: Tensor) -> Tensor:
    """0 to 255 -> -1 to 1, float32, any shape."""
    return images.float() / 127.5 - 1.0


@register(MODELS)
class TranslationPreprocessor(BaseDataPreprocessor):
    """Stacks a batch and scales it to -1 to 1, the protocol's mean and deviation of 0.5."""

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, B tensors ``(S, 3, H, W)`` uint8, and ``data_samples`` or none.
            training: Without meaning here.

        Returns:
            ``inputs`` ``(B, S, 3, H, W)`` and ``data_samples``, both on the device; None without.

        Raises:
            ValueError: Images of a batch differ in size.
        """
        data = self.cast_data(data)
        shapes = {tuple(each.shape) for each in data["inputs"]}
        if len(shapes) > 1:
            raise ValueError(f"images of a batch differ in shape: {sorted(shapes)}; the pipeline "
                             "must end at one size, or batch_size be 1")  # fmt: skip
        samples = data.get("data_samples")
        return {
            "inputs": from_bytes(torch.stack(list(data["inputs"]))),
            "data_samples": None if samples is None else list(samples),
        }
