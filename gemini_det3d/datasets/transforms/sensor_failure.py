"""Sensors that fail: missing, missing at random, noisy; in training and in tests.

The test protocol has three parts, named as in the robustness benchmark of multi-modal segmentation
(arXiv 2503.18445): entire modalities missing (EMM), randomly missing (RMM), noisy (NM, three
levels). What each means is defined here and in `failure_cases`, so figures are not to be compared
with that benchmark's. Samples as in `seg_loading`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.datasets.transforms.seg_augment import check_share
from gemini_det3d.datasets.transforms.sensors import MASK_KEY, STRENGTH_KEY, mask_sensors
from gemini_det3d.registration import register

NOISE_LEVELS = {"low": (0.08, 0.01), "mid": (0.16, 0.05), "high": (0.32, 0.15)}
"""Standard deviation of Gaussian noise in shares of 255, and share of pixels set to 0 or 255."""


def add_noise(
    image: np.ndarray, sigma: float, impulses: float, rng: np.random.Generator
) -> np.ndarray:
    """Gaussian noise on every value and impulses (salt and pepper) on some pixels.

    Args:
        image: ``(H, W, 3)`` in 0 to 255.
        sigma: Standard deviation in shares of 255.
        impulses: Share of pixels that become black or white.
        rng: Source.

    Returns:
        ``(H, W, 3)`` float32 in 0 to 255.
    """
    noisy = image.astype(np.float32)
    noisy = noisy + np.float32(255 * sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    chance = rng.random(image.shape[:2], dtype=np.float32)
    noisy[chance < impulses / 2] = 0
    noisy[chance > 1 - impulses / 2] = 255
    return np.clip(noisy, 0, 255)


@register(TRANSFORMS)
class SegModalityDropout(BaseTransform):
    """In training, take sensors away and disturb others; one that is there stays as it is.

    Which one, is drawn for each sample, among those that ``sensor_mask`` does not say are gone.

    A sensor that is taken away is zero and False in ``sensor_mask``, so the model neither reads
    nor blames it. A disturbed one is not announced, so the model must notice; its loss is told, by
    ``corruption_strength``, from which a ``GeminiFusion(reliability=True)`` learns to.

    Args:
        prob: Chance to be taken away, of each modality but the one that stays; a number, or one
            for each by name.
        noise_prob: Chance of each that is neither to be disturbed, by noise between none and the
            highest of `NOISE_LEVELS`; as ``prob``.

    Raises:
        ValueError: A chance is no share.
    """

    def __init__(
        self, prob: float | Mapping[str, float] = 0.2, noise_prob: float | Mapping[str, float] = 0.0
    ) -> None:
        self.prob, self.noise_prob = prob, noise_prob
        for name, given in (("prob", prob), ("noise_prob", noise_prob)):
            named = isinstance(given, Mapping)
            chances = {f"{name}[{m!r}]": v for m, v in given.items()} if named else {name: given}
            for key, value in chances.items():
                check_share("SegModalityDropout", value, key)

    @property
    def named_modalities(self) -> tuple[str, ...]:
        """Those that an argument names."""
        given = (self.prob, self.noise_prob)
        return tuple(name for each in given if isinstance(each, Mapping) for name in each)

    def transform(self, results: dict) -> dict:
        """Change ``images``, ``sensor_mask`` and ``corruption_strength``."""
        names = list(results["images"])
        left = _left(results) or names
        kept = left[np.random.randint(len(left))]
        rng = np.random.default_rng(np.random.randint(2**31))
        for name in names:
            drawn_loss, drawn_noise = np.random.rand(2)
            if name == kept:
                continue
            if drawn_loss < _chance(self.prob, name):
                remove(results, name)
            elif drawn_noise < _chance(self.noise_prob, name):
                strength = np.random.rand()
                sigma, impulses = strength * np.array(NOISE_LEVELS["high"])
                image = results["images"][name]
                results["images"][name] = add_noise(image, sigma, impulses, rng)
                known = results.get(STRENGTH_KEY) or {}
                results[STRENGTH_KEY] = {**known, name: strength}
        return results


@register(TRANSFORMS)
class SensorFailure(BaseTransform):
    """In tests, a failure that the sample's name alone decides, so each model sees the same.

    Args:
        missing: Modalities that are not there.
        missing_prob: Chance to be missing as well, of each modality but one that always stays,
            drawn for each sample among those that neither ``missing`` nor ``sensor_mask`` takes.
        noise: One of `NOISE_LEVELS` for every modality of ``noisy``.
        noisy: Modalities with noise; None: all.
        is_announced: Whether ``sensor_mask`` tells of missing modalities; if not, the model is
            given zeros as if they were measured.
        seed: Decides the draws along with the sample's name.

    Raises:
        ValueError: ``noise`` is no level, ``missing_prob`` no share, or ``missing`` or ``noisy`` a
            word in place of a list.
    """

    def __init__(
        self,
        missing: Sequence[str] = (),
        missing_prob: float = 0.0,
        noise: str | None = None,
        noisy: Sequence[str] | None = None,
        is_announced: bool = True,
        seed: int = 0,
    ) -> None:
        if noise is not None and noise not in NOISE_LEVELS:
            raise ValueError(f"SensorFailure: noise={noise!r} must be one of {list(NOISE_LEVELS)}")
        check_share("SensorFailure", missing_prob, "missing_prob")
        for key, given in (("missing", missing), ("noisy", noisy)):
            if isinstance(given, str):
                raise ValueError(f"SensorFailure: {key}={given!r} must be a list: [{given!r}]")
        self.missing, self.missing_prob = tuple(missing), missing_prob
        self.noise, self.noisy = noise, noisy
        self.is_announced, self.seed = is_announced, seed

    @property
    def named_modalities(self) -> tuple[str, ...]:
        """Those that an argument names."""
        return (*self.missing, *(self.noisy or ()))

    def transform(self, results: dict) -> dict:
        """Change ``images`` and ``sensor_mask``."""
        name = str(results.get("sample_name", ""))
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        names = list(results["images"])
        left = _left(results, self.missing) or names
        kept = left[rng.integers(len(left))]
        lost = [m for m, drawn in zip(names, rng.random(len(names))) if drawn < self.missing_prob]
        for modality in names:
            if modality in self.missing or (modality in lost and modality != kept):
                remove(results, modality, self.is_announced)
            elif self.noise is not None and (self.noisy is None or modality in self.noisy):
                image = results["images"][modality]
                results["images"][modality] = add_noise(image, *NOISE_LEVELS[self.noise], rng)
        return results


def remove(results: dict, modality: str, is_announced: bool = True) -> None:
    """Blank a modality, and say so in the sample's ``sensor_mask``."""
    results["images"][modality] = np.zeros_like(results["images"][modality])
    if is_announced:
        mask_sensors(results, **{modality: False})


def _left(results: dict, missing: Sequence[str] = ()) -> list[str]:
    """The modalities that are there, none of ``missing``."""
    mask = results.get(MASK_KEY) or {}
    return [m for m in results["images"] if m not in missing and mask.get(m) is not False]


def _chance(given: float | Mapping[str, float], name: str) -> float:
    return given.get(name, 0.0) if isinstance(given, Mapping) else given
