"""What sums up a test: the figures whose mean is a run's score."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.engine.evaluator_checks import metrics_of

# Ours, by the overlap, and mmdet3d's own, by its name.
_KITTI = re.compile(r"^(.*?)/?KITTI/([^/]+)(?:/3d_AP40_moderate_([\d.]+)|_3D_AP40_moderate_(\w+))$")
# What sums up a test, the first kind that there is; of rooms the lower overlap, as published;
# ``miou`` is that of mmdet3d's SegMetric.
_KINDS = ("NDS", "mAP", "mIoU", r"mAP_0\.250?", "miou")
_MEANS = tuple(re.compile(rf"(^|[/_ ]){kind}$") for kind in _KINDS)
_UNSCORED = {"TranslationMetric"}  # errors and distances
# mmdet3d's metrics of nuScenes, Lyft, Waymo, rooms and points count from 0 to 1, all others in
# percent.
_SHARES = re.compile(
    r"(NuScenes|Lyft|Waymo) metric/.*(mAPH?|NDS|_AP(_dist_[\d.]+)?)$"
    r"|^([^/]+_)?(mAP|mAR|AP|rec|AR)_[\d.]+$|^(miou|acc_cls)$"
)
# Errors and distances, in units of their own: less is better.
_ERRORS = re.compile(r"(^|[/_ ])(MAE|R?MSE|FID|KID|mA[TSOVA]E)(_|$)")


class Unmeasured(ConfigError):
    """A test whose score is NaN."""


def check_pattern(pattern: str) -> re.Pattern:
    """A ``--metric``, compiled.

    Raises:
        ConfigError: It is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        fault = f"is no regular expression ({error}; a backslash before each special sign)"
        raise ConfigError(f"--metric {pattern}: {fault}") from None


def is_error(key: str) -> bool:
    """Whether a figure of a test is an error or distance: less is better, and it is no percent."""
    return bool(_ERRORS.search(key))


def check_scored(evaluator: Any, pattern: str | None) -> None:
    """Refuse a test that no default score sums up, before anything is trained for it.

    Args:
        evaluator: Of a config.
        pattern: A ``--metric``, which names one; None: there is none.

    Raises:
        ConfigError: It measures the errors of images alone.
    """
    kinds = {kind for kind, _ in metrics_of(evaluator)}
    if pattern is None and kinds and kinds <= _UNSCORED:
        kind = kinds.pop()
        raise ConfigError(f"--metric: {kind} has no score by default; name one: translation/MAE$")


def headline(metrics: Mapping[str, float], pattern: str | None = None) -> dict[str, float]:
    """The values whose mean is the score of a run: those of `summed_up` that are known.

    Returns:
        Percent by class, or by key; without those that the test set has no truth for (NaN).

    Raises:
        ConfigError: Nothing fits; the message names some keys.
        Unmeasured: All that fits is NaN.
    """
    found = summed_up(metrics, pattern)
    known = {name: value for name, value in found.items() if not math.isnan(value)}
    if not known:
        raise Unmeasured(f"--metric: nothing to measure {', '.join(found)} by: NaN, as where the "
                         "test set has no truth or the answers are not finite")  # fmt: skip
    return known


def summed_up(metrics: Mapping[str, float], pattern: str | None = None) -> dict[str, float]:
    """The values that sum up a test.

    Args:
        metrics: All that a test gave.
        pattern: Regular expression that keys must hold. None: KITTI's moderate 3D AP at 40
            points, each class at its strictest overlap; else the first there is of NDS, mAP, mIoU
            (of the ensemble, not of its streams) and mAP at an overlap of 0.25. Of several data
            sets in one test each counts.

    Returns:
        Percent by class, or by key; NaN where a class has no truth or the answers are not finite.

    Raises:
        ConfigError: Nothing fits; the message names some keys.
    """
    metrics = {k: 100 * v if _SHARES.search(k) else v for k, v in metrics.items()}
    if pattern is not None:
        holds = check_pattern(pattern).search
        found = {key: value for key, value in metrics.items() if holds(key)}
    else:
        found = _of_kitti(metrics) or _means(metrics)
    if not found:
        raise ConfigError(f"--metric: nothing fits; a test gave {', '.join(list(metrics)[:8])}")
    return found


def _of_kitti(metrics: Mapping[str, float]) -> dict[str, float]:
    """KITTI's moderate 3D AP by class, and by data set where there are several."""
    strictest: dict[tuple[str, str], tuple[float, float]] = {}
    for key, value in metrics.items():
        match = _KITTI.search(key)
        if match and match[2] != "Overall":  # mmdet3d's mean of the classes
            place = match[1], match[2]
            overlap = float(match[3]) if match[3] else float(match[4] == "strict")
            if place not in strictest or overlap > strictest[place][0]:
                strictest[place] = overlap, value
    has_one_set = len({data_set for data_set, _ in strictest}) < 2
    return {
        name if has_one_set else f"{data_set} {name}": value
        for (data_set, name), (_, value) in strictest.items()
    }


def _means(metrics: Mapping[str, float]) -> dict[str, float]:
    """What sums up a test: ``seg/mIoU``, beside which ``seg/rgb/mIoU`` is of a part."""
    for kind in _MEANS:
        depths = {key: key.count("/") for key in metrics if kind.search(key)}
        if depths:
            least = min(depths.values())
            return {key: metrics[key] for key, depth in depths.items() if depth == least}
    return {}
