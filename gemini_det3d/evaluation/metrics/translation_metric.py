"""Translated images against true ones: errors of pixels, and distances between the two sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import WARNING
from typing import Any

import numpy as np
from mmdet3d.registry import METRICS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from gemini_det3d.evaluation.functional import (
    frechet_distance,
    kernel_distance,
    mean_absolute_error,
    mean_squared_error,
    stretch,
    to_bytes,
)
from gemini_det3d.registration import register

_DISTANCES = ("FID", "KID")


@dataclass(frozen=True)
class ViewResult:
    """One view, as it travels between processes.

    Attributes:
        name: File of the target, which tells views that a sampler repeated.
        errors: Mean absolute and mean squared error by image: the ensemble, then the streams.
        features: ``(2, D)`` of the translated image (the ensemble) and the true one, or None.
        is_finite: Whether the translated image is; its features are missing if not.
    """

    name: str
    errors: np.ndarray
    features: np.ndarray | None
    is_finite: bool = True


@register(METRICS)
class TranslationMetric(BaseMetric):
    """MAE, MSE and RMSE on images in -1 to 1; FID and KID from the features of any extractor.

    ``MAE``, ``MSE`` and the distances are of the ensemble; ``MAE_stream0`` and so on are of each
    stream, where there are several. The names of distances say which features they are of, and
    whether images were stretched: ``KID_filter-bank``, ``FID_inception-2048_stretched``. ``RMSE``
    is the root of ``MSE``, which the released protocol prints under that name. KID is not
    multiplied by 100.

    Args:
        distances: Which of 'FID' and 'KID' to compute; none needs no extractor.
        extractor: Config of the features; see :mod:`gemini_det3d.evaluation.extractors`.
        stretch_images: Stretch each image's lowest and highest value to black and white before its
            features are taken, as the released protocol does. Hides errors of brightness.
        num_subsets: Of KID; 0 takes all images at once. See :func:`kernel_distance`.
        subset_size: Images in each.
        prefix: In front of the keys.
        collect_device: 'cpu' or 'gpu', see mmengine's BaseMetric.
        collect_dir: See mmengine's BaseMetric.

    Raises:
        ValueError: An unknown distance, or distances without an extractor.
    """

    default_prefix = "translation"

    def __init__(
        self,
        distances: Sequence[str] = _DISTANCES,
        extractor: Mapping[str, Any] | None = None,
        stretch_images: bool = False,
        num_subsets: int = 0,
        subset_size: int = 1000,
        prefix: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        unknown = [name for name in distances if name not in _DISTANCES]
        if unknown:
            raise ValueError(f"distances={list(distances)}, known are {_DISTANCES}")
        if distances and extractor is None:
            raise ValueError("distances need an extractor: dict(type='FilterBankFeatures'), say")
        self.distances = tuple(distances)
        self.extractor = MODELS.build(dict(extractor)) if distances else None
        self.stretch_images = stretch_images
        self.num_subsets, self.subset_size = num_subsets, subset_size

    @property
    def features_name(self) -> str:
        """What stands behind FID and KID in the result."""
        return f"{self.extractor.name}{'_stretched' if self.stretch_images else ''}"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare a batch.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``translated`` ``(3, H, W)`` and ``streams`` ``(O, 3, H, W)``
                in -1 to 1, ``target`` ``(3, H, W)`` uint8, and ``target_path`` or ``stem``.

        Raises:
            ValueError: A sample has no ``target``, or one of another size.
        """
        for sample in data_samples:
            if sample.get("target") is None:
                raise ValueError(f"view {sample.get('stem')} has no target to compare with")
            truth = sample["target"].cpu().numpy() / 127.5 - 1.0
            images = [sample["translated"], *sample["streams"]]
            images = [image.detach().cpu().double().numpy() for image in images]
            errors = [(mean_absolute_error(i, truth), mean_squared_error(i, truth)) for i in images]
            features, is_finite = None, bool(np.isfinite(images[0]).all())
            if self.extractor is not None and is_finite:
                features = self.extractor(np.stack([self._picture(i) for i in (images[0], truth)]))
            name = str(sample.get("target_path") or sample.get("stem"))
            self.results.append(ViewResult(name, np.array(errors), features, is_finite))

    def compute_metrics(self, results: list[ViewResult]) -> dict[str, float]:
        """Mean errors and distances.

        Returns:
            Values by name; those of the ensemble, or of a stream, are not finite where one of its
            images is not. A distance of fewer than two views is left out. Both are logged.

        Raises:
            ValueError: There is no view.
        """
        if not results:
            raise ValueError("TranslationMetric: there is no view to evaluate")
        results = list({result.name: result for result in results}.values())
        broken = [result.name for result in results if not result.is_finite]
        if broken:
            count = f"{len(broken)} of {len(results)} images are NaN or infinite"
            fault = f"{count} (first: {broken[0]}), so no figure of the ensemble is finite"
            print_log(fault, "current", WARNING)
        errors = np.mean([result.errors for result in results], axis=0)
        mae, mse = (float(v) for v in errors[0])
        found = {"MAE": mae, "MSE": mse, "RMSE": mse**0.5}
        if len(errors) > 2:
            found.update({f"MAE_stream{i}": float(e[0]) for i, e in enumerate(errors[1:])})
        if self.distances and len(results) < 2:
            print_log(f"{', '.join(self.distances)} left out: {len(results)} view", "current")
        elif self.distances and not broken:
            found.update(self._distances(np.stack([result.features for result in results])))
        elif self.distances:
            found.update({f"{name}_{self.features_name}": np.nan for name in self.distances})
        return found

    def _distances(self, features: np.ndarray) -> dict[str, float]:
        translated, true = features[:, 0], features[:, 1]
        found = {}
        if "FID" in self.distances:
            found["FID"] = frechet_distance(translated, true)
        if "KID" in self.distances:
            subsets = (self.num_subsets, self.subset_size)
            found["KID"], _ = kernel_distance(translated, true, *subsets)
        print_log(f"features: {self.features_name}, {len(features)} views", "current")
        return {f"{name}_{self.features_name}": value for name, value in found.items()}

    def _picture(self, image: np.ndarray) -> np.ndarray:
        """``(3, H, W)`` -> ``(H, W, 3)`` uint8."""
        return to_bytes(stretch(image) if self.stretch_images else image).transpose(1, 2, 0)
