"""A translator of images, given as files or as arrays and prepared as its config says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gemini_det3d.apis.array_inputs import check_image, is_path, tell_other_names
from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.trained_model import build_for_test, find_test_dataset
from gemini_det3d.evaluation.functional import to_bytes
from gemini_det3d.formats import FormatError

if TYPE_CHECKING:
    from mmengine.config import Config

Image = str | os.PathLike | np.ndarray
View = Sequence[Image] | Mapping[str, Image]


class Translator:
    """A generator with its input pipeline.

    Args:
        config: A path, the bare name of one of this plug-in's configs, or an mmengine Config.
        checkpoint: Its trained parameters; None keeps the random ones.
        device: Where to run, as torch names it; None: CUDA where there is one.
        allow_missing: Parameters that may be on one side only; see :func:`load_parameters`.

    Attributes:
        model: The model, in evaluation mode.
        sources: Domains that it translates from, in order.
        target: Domain that it translates to.
        ignored_parameters: Names in the checkpoint that the model does not have.

    Raises:
        ConfigError: The config cannot be read or is no config of a translator, or the device is not
            there.
        FormatError: The checkpoint cannot be read or does not belong to the config.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None = None,
        device: str | None = None,
        allow_missing: Sequence[str] = (),
    ) -> None:
        from mmengine.dataset import Compose

        cfg = read_config(config)
        dataset = find_test_dataset(cfg)
        if not dataset.get("sources") or not dataset.get("target"):
            raise ConfigError(f"{cfg.filename}: test_dataloader.dataset has no sources and target")
        self.sources, self.target = tuple(dataset["sources"]), dataset["target"]
        self.model, self.ignored_parameters, *_ = build_for_test(
            cfg, checkpoint, device, allow_missing
        )
        self._pipeline = Compose(dataset["pipeline"])

    def __call__(self, images: View | list[View]) -> np.ndarray | list[np.ndarray]:
        """Translate one view, or a batch of views.

        Args:
            images: For each source, by name or in the order of ``sources``, a file or a
                ``(H, W, 3)`` uint8 array (RGB; depths and edges in the protocol's 8-bit code). A
                list of such views makes a batch.

        Returns:
            ``(H, W, 3)`` uint8, the ensemble, at the size that the config's pipeline makes: a
            picture for 8-bit domains, the protocol's 8-bit code for depths and edges. A list in a
            batch.

        Raises:
            FormatError: A file or an array cannot be used, or the answer is not finite.
            ConfigError: Another number of images than sources, or other names.
        """
        from mmengine.dataset import pseudo_collate

        is_list = isinstance(images, (list, tuple)) and bool(images)
        is_batch = is_list and isinstance(images[0], (Mapping, list, tuple))
        views: Any = images if is_batch else [images]
        packed = [self._pipeline(self._sample(view)) for view in views]
        with torch.no_grad():
            found = self.model.test_step(pseudo_collate(packed))
        pictures = [_picture(view, sample.translated) for view, sample in zip(views, found)]
        return pictures if is_batch else pictures[0]

    def _sample(self, view: View) -> dict:
        """What the data set makes of a view."""
        given = list(self._by_name(view).values())
        return {"source_paths": given, "sources": self.sources}

    def _by_name(self, view: View) -> dict[str, Any]:
        names = ", ".join(self.sources)
        if isinstance(view, Mapping):
            if set(view) != set(self.sources):
                raise ConfigError(f"images of {', '.join(view)}; the model takes {names}")
            by_name = {name: view[name] for name in self.sources}
        elif is_path(view) or not isinstance(view, Sequence) or len(view) != len(self.sources):
            count = len(view) if isinstance(view, (list, tuple)) else 1
            raise ConfigError(f"{count} images for {len(self.sources)} sources ({names})")
        else:
            by_name = dict(zip(self.sources, view))
            tell_other_names(by_name)
        return {
            name: os.fspath(image) if is_path(image) else check_image(image, name)
            for name, image in by_name.items()
        }


def _picture(view: View, translated: torch.Tensor) -> np.ndarray:
    try:
        return to_bytes(translated.detach().cpu().numpy()).transpose(1, 2, 0)
    except ValueError as error:
        first = next(iter(view.values())) if isinstance(view, Mapping) else view[0]
        name = first if is_path(first) else "the view"
        raise FormatError(name, f"its translation is no picture: {error}") from None
