"""A translator that takes image files and gives images, prepared as its config says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gemini_det3d.apis.checkpoint import load_checkpoint_safely, load_parameters
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.detector import choose_device, find_test_dataset, read_config
from gemini_det3d.evaluation.functional import to_bytes

if TYPE_CHECKING:
    from mmengine.config import Config


class Translator:
    """A generator with its input pipeline.

    Args:
        config: A path, the bare name of one of this plug-in's configs, or an mmengine Config.
        checkpoint: Its trained parameters; None keeps the random ones.
        device: Where to run, as torch names it.

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
        device: str = "cpu",
    ) -> None:
        from mmdet3d.registry import MODELS
        from mmengine.dataset import Compose
        from mmengine.registry import init_default_scope

        cfg = read_config(config)
        dataset = find_test_dataset(cfg)
        if not dataset.get("sources") or not dataset.get("target"):
            raise ConfigError(f"{cfg.filename}: test_dataloader.dataset has no sources and target")
        self.sources, self.target = tuple(dataset["sources"]), dataset["target"]
        init_default_scope(cfg.get("default_scope", "mmdet3d"))
        self.model = MODELS.build(cfg.model)
        self.ignored_parameters: list[str] = []
        if checkpoint is not None:
            loaded = load_checkpoint_safely(checkpoint)
            self.ignored_parameters = load_parameters(self.model, loaded, checkpoint)
        self.model.to(choose_device(device)).eval()
        self._pipeline = Compose(dataset["pipeline"])

    def __call__(self, paths: Sequence[str | os.PathLike]) -> np.ndarray:
        """Translate one view.

        Args:
            paths: One image file per source, in the order of ``sources``.

        Returns:
            ``(H, W, 3)`` uint8, the ensemble, at the size that the config's pipeline makes: a
            picture for 8-bit domains, the protocol's 8-bit code for depths and edges.

        Raises:
            FormatError: A file cannot be used.
            ConfigError: Another number of files than sources.
        """
        from mmengine.dataset import pseudo_collate

        if len(paths) != len(self.sources):
            names = ", ".join(self.sources)
            raise ConfigError(f"{len(paths)} images for {len(self.sources)} sources ({names})")
        view = {"source_paths": [os.fspath(path) for path in paths], "sources": self.sources}
        found = self.model.test_step(pseudo_collate([self._pipeline(view)]))[0]
        return to_bytes(found.translated.detach().cpu().numpy()).transpose(1, 2, 0)
