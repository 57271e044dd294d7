"""The features of published FID and KID, through torch-fidelity and a weights file of the user's.

torch-fidelity restates the Inception of the original FID down to its resizing. It is an optional
extra, and nothing is downloaded: the user names the file of weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.evaluation.extractors.base import FeatureExtractor
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.torch_files import read_torch_file
from gemini_det3d.registration import register

_LAYER = "2048"
_MODULE = "torch_fidelity.feature_extractor_inceptionv3"


@register(MODELS)
class InceptionFeatures(FeatureExtractor):
    """The 2048 features of the FID Inception.

    Args:
        weights: File of its parameters, as torch-fidelity names it
            (``weights-inception-2015-12-05-*.pth``).
        device: Where to compute, as torch names it.
        batch_size: Images at once.

    Raises:
        ValueError: torch-fidelity is not installed; the message says how to get it.
        FormatError: The weights cannot be read, or are not those of this network.
    """

    name = "inception-2048"

    def __init__(
        self, weights: str | os.PathLike, device: str = "cpu", batch_size: int = 32
    ) -> None:
        try:
            build = import_module(_MODULE).FeatureExtractorInceptionV3
        except ImportError as error:
            raise ValueError(
                f"InceptionFeatures needs torch-fidelity ({error}); "
                'pip install "gemini_det3d[fid]", or use FilterBankFeatures'
            ) from None
        state = _read_weights(weights)
        try:
            network = _build_with(build, state)
        except (RuntimeError, KeyError) as error:
            raise FormatError(weights, f"is not the FID Inception's ({error})") from None
        self.network = network.to(device).eval()
        self.device, self.batch_size = device, batch_size

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """``(N, H, W, 3)`` uint8 -> ``(N, 2048)``; the network resizes to 299 x 299 itself."""
        batch = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1)))
        with torch.no_grad():
            found = [
                self.network(part.to(self.device))[0].double().cpu()
                for part in batch.split(self.batch_size)
            ]
        return torch.cat(found).numpy()


def _read_weights(path: str | os.PathLike) -> Mapping[str, Tensor]:
    if not Path(path).is_file():
        raise FormatError(path, "no such file (weights of the FID Inception)")
    state = read_torch_file(path)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise FormatError(path, "is not the FID Inception's (it holds more than tensors)")
    return state


def _build_with(build: Callable, state: Mapping[str, Tensor]) -> nn.Module:
    """The library reads files itself, and runs what they say: it gets one of ours."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(dict(state), path)
        return build("inception", [_LAYER], feature_extractor_weights_path=str(path))
