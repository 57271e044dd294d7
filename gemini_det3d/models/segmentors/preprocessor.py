"""Images of several modalities -> normalised batches.

Shape shorthand: B images, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor

from gemini_det3d.models.metas import sample_name
from gemini_det3d.registration import register

_KNOWN_KEYS = {"mean", "std"}


@register(MODELS)
class ModalityPreprocessor(BaseDataPreprocessor):
    """Normalise, pad to one size, stack.

    Args:
        modalities: For each modality, by name, ``dict(mean=..., std=...)`` of three numbers in
            0 to 255; an empty dict divides by 255. The order is the model's.
        size_divisor: Heights and widths are padded to multiples of it.
        ignore_index: Label of padded pixels.
        non_blocking: Whether the host goes on while images are copied to the device.

    Raises:
        ValueError: A modality's settings are not understood.
    """

    def __init__(
        self,
        modalities: Mapping[str, Mapping[str, Sequence[float]]],
        size_divisor: int = 32,
        ignore_index: int = 255,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if not modalities or size_divisor < 1:
            raise ValueError(
                "ModalityPreprocessor: needs modalities, and size_divisor of 1 or more"
            )
        self.modalities = tuple(modalities)
        self.size_divisor, self.ignore_index = size_divisor, ignore_index
        for name, settings in modalities.items():
            unknown = set(settings) - _KNOWN_KEYS
            if unknown:
                raise ValueError(f"modalities[{name!r}]: unknown keys {sorted(unknown)}")
            for key, default in (("mean", (0.0,) * 3), ("std", (255.0,) * 3)):
                values = torch.tensor(settings.get(key, default), dtype=torch.float32)
                self.register_buffer(f"{name}_{key}", values.view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make a batch.

        Args:
            data: ``inputs``: for each modality a list (or stack) of ``(3, H, W)``;
                ``data_samples``: their samples, or nothing.
            training: Whether labels are stacked along.

        Returns:
            ``inputs``: for each modality ``(B, 3, H, W)`` float32; ``data_samples`` with
            ``pad_shape``, and in training ``gt_sem_seg`` of the padded size.

        Raises:
            KeyError: A modality is not among the inputs.
            ValueError: Images of a sample differ in size.
        """
        data = self.cast_data(data)
        samples = data.get("data_samples")
        absent = [name for name in self.modalities if name not in data["inputs"]]
        if absent:
            raise KeyError(f"inputs lack {absent}; there are {sorted(data['inputs'])}")
        shapes = [x.shape[-2:] for x in data["inputs"][self.modalities[0]]]
        for name in self.modalities:
            others = [x.shape[-2:] for x in data["inputs"][name]]
            if others != shapes:  # padding would cut the larger ones in silence
                first, other = (list(map(tuple, each)) for each in (shapes, others))
                raise ValueError(f"inputs of {self.modalities[0]!r} are {first} and of {name!r} "
                                 f"{other} pixels; a sample's images are of one size")  # fmt: skip
        height, width = (
            -(-max(shape[axis] for shape in shapes) // self.size_divisor) * self.size_divisor
            for axis in (0, 1)
        )
        inputs = {
            name: torch.stack(
                [_pad(self._normalise(name, x), height, width, 0) for x in data["inputs"][name]]
            )
            for name in self.modalities
        }
        for sample in samples or []:
            sample.set_metainfo({"pad_shape": (height, width)})
            if training and "gt_sem_seg" in sample:
                labels = _pad(sample.gt_sem_seg.data, height, width, self.ignore_index)
                del sample.gt_sem_seg.data
                sample.gt_sem_seg.data = labels
        return {"inputs": inputs, "data_samples": samples}

    def _normalise(self, name: str, image: Tensor) -> Tensor:
        mean: Any = getattr(self, f"{name}_mean")
        std: Any = getattr(self, f"{name}_std")
        return (image.float() - mean) / std


def _pad(image: Tensor, height: int, width: int, value: float) -> Tensor:
    """Add rows below and columns to the right."""
    return F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]), value=value)


def labels_of(samples: Sequence[BaseDataElement]) -> Tensor:
    """The labels of a batch, ``(B, H, W)`` int64.

    Raises:
        ValueError: A sample has none; the message names it.
    """
    for sample in samples:
        if "gt_sem_seg" not in sample:
            raise ValueError(f"sample {sample_name(sample.metainfo)} has no gt_sem_seg: training "
                             "needs labels")  # fmt: skip
    return torch.stack([sample.gt_sem_seg.data[0] for sample in samples]).long()
