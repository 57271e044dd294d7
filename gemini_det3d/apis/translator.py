"""A translator of images, given as files or as arrays and prepared as its config says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gemini_det3d.apis.array_inputs import check_image, is_list_of_frames, is_path, tell_other_names
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.predictor import Predictor
from gemini_det3d.evaluation.functional import to_bytes
from gemini_det3d.formats import FormatError

Image = str | os.PathLike | np.ndarray
View = Sequence[Image] | Mapping[str, Image]


class Translator(Predictor):
    """A generator with its input pipeline.

    Takes the arguments of :class:`Predictor` and has its attributes.

    Attributes:
        sources: Domains that it translates from, in order.
        target: Domain that it translates to.
    """

    def _check_task(self) -> None:
        if not self._dataset.get("sources") or not self._dataset.get("target"):
            name = self._config.filename
            raise ConfigError(f"{name}: test_dataloader.dataset has no sources and target")

    def _prepare(self, meta: dict[str, Any], source: str | os.PathLike) -> None:
        from mmengine.dataset import Compose

        self.sources, self.target = tuple(self._dataset["sources"]), self._dataset["target"]
        self._pipeline = Compose(self._dataset["pipeline"])

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
        is_batch = is_list_of_frames(images)
        views: Any = images if is_batch else [images]
        found = self._predict([self._pipeline(self._sample(view)) for view in views])
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
