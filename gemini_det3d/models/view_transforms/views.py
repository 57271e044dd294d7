"""The cameras of a batch in one piece: their geometry on the device, sent there by one copy.

Shapes: N views of all samples, P pixels or points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gemini_det3d.geometry import in_image, invert_projection, send
from gemini_det3d.models.metas import ImageGeometry


@dataclass(frozen=True)
class Views:
    """Geometry of N views, float64.

    Attributes:
        matrix: ``(N, 3, 4)`` augmented point -> pixel of the augmented image (times depth).
        inverse: ``(N, 3, 3)`` of its left part.
        size: Height and width of the augmented images, ``(N, 1)`` each.
        undo: ``(N, 3, 3)`` augmented pixel -> original pixel.
        original_size: Height and width of the original images, ``(N, 1)`` each.
        padded_size: ``(height, width)`` that the feature maps cover.
        key: The values above; equal keys are equal views.
    """

    matrix: Tensor
    inverse: Tensor
    size: tuple[Tensor, Tensor]
    undo: Tensor
    original_size: tuple[Tensor, Tensor]
    padded_size: tuple[int, int]
    key: bytes

    @classmethod
    def pack(cls, geometries: Sequence[ImageGeometry], device: torch.device) -> Views:
        """Of at least one view.

        Raises:
            ValueError: A projection cannot be inverted.
        """
        matrix = np.stack([each.matrix.numpy() for each in geometries])
        rows = [matrix, invert_projection(torch.from_numpy(matrix)).numpy()]
        is_full = [g.image is None or g.original_size is None for g in geometries]
        images = [np.eye(3) if full else g.image for g, full in zip(geometries, is_full)]
        rows.append(np.linalg.inv(np.stack([np.asarray(image) for image in images])))
        rows.append(np.array([each.size for each in geometries]))
        rows.append(
            np.array([g.size if full else g.original_size for g, full in zip(geometries, is_full)])
        )
        packed = np.concatenate([row.reshape(len(matrix), -1) for row in rows], axis=1)
        padded = geometries[0].padded_size
        sent = send(packed, device)
        matrix, inverse, undo, *sizes = sent.split([12, 9, 9, 1, 1, 1, 1], dim=1)
        return cls(
            matrix.view(-1, 3, 4),
            inverse.view(-1, 3, 3),
            (sizes[0], sizes[1]),
            undo.view(-1, 3, 3),
            (sizes[2], sizes[3]),
            padded,
            packed.tobytes() + repr(padded).encode(),
        )

    def shows(self, pixels: Tensor) -> Tensor:
        """Which pixels ``(P, 2)`` or ``(N, P, 2)`` of each view show anything: ``(N, P)`` bool."""
        original = pixels @ self.undo[:, :2, :2].mT + self.undo[:, None, :2, 2]
        return in_image(pixels, *self.size) & in_image(original, *self.original_size)
