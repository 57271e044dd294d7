"""What detectors, segmentors and translators that take files or arrays share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gemini_det3d.apis.config import read_config
from gemini_det3d.apis.trained_model import build_for_test, find_test_dataset, predict
from gemini_det3d.engine.same_classes import check_head, classes_of_head

if TYPE_CHECKING:
    from mmengine.config import Config


class Predictor:
    """A config's model, and what its test set says of the input.

    Args:
        config: A path, the bare name of one of this plug-in's configs, or an mmengine Config.
        checkpoint: Its trained parameters; None keeps the random ones.
        device: Where to run, as torch names it; None: CUDA where there is one.
        allow_missing: Parameters that may be on one side only; see :func:`load_parameters`.

    Attributes:
        model: The model, in evaluation mode.
        device: Where it is.
        ignored_parameters: Names in the checkpoint that the model does not have.

    Raises:
        ConfigError: The config cannot be read or is one of another task, or the device is not
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
        self._config = read_config(config)
        self._dataset = find_test_dataset(self._config)
        self._check_task()
        # labels are named as the checkpoint says, for it fixed their order
        trained = build_for_test(self._config, checkpoint, device, allow_missing, own_names=True)
        self.model, self.ignored_parameters, meta, self.device = trained
        self._prepare(meta, checkpoint or self._config.filename)

    def _check_task(self) -> None:
        """Refuse a config of another task, before anything is built."""

    def _prepare(self, meta: dict[str, Any], source: str | os.PathLike) -> None:
        """Set up what comes before and after the model.

        Args:
            meta: What the checkpoint says of itself; empty without one.
            source: Checkpoint or config, for messages.
        """
        raise NotImplementedError

    def _check_head(self, classes: Sequence[str], source: str | os.PathLike) -> None:
        """See that every label of the head has a name."""
        count = classes_of_head(self.model)
        if count is not None:
            check_head(count, classes, source)

    def _predict(self, samples: Sequence[dict]) -> list[Any]:
        """The model's answers to packed samples, as one batch; none to none."""
        return predict(self.model, samples) if samples else []
