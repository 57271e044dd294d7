"""What mmdet3d's metadata say of a sample's sensors: there or not, and how corrupted.

Each is an entry ``{sensor: value}`` or ``{sensor: [value, ...]}``; what it does not name is there
and clean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from gemini_det3d.models.metas import sample_name

MASK_KEY = "sensor_mask"
STRENGTH_KEY = "corruption_strength"


def sensor_mask(
    metas: Sequence[Mapping[str, Any]],
    sensor: str,
    count: int = 1,
    known: Collection[str] = ("camera", "lidar"),
) -> np.ndarray:
    """Which samples really have a sensor.

    The entry ``sensor_mask`` of the metadata is ``{sensor: bool}``, or ``{sensor: [bool, ...]}``
    of a sensor that a sample has several of; True and a sensor that it does not name are there.
    Detectors read ``camera`` and ``lidar``, segmentors their modalities. It is written by
    ``ModalityDropout``, ``SensorSwitch``, ``SegModalityDropout`` and ``SensorFailure``.

    Args:
        metas: Metadata of the B samples.
        sensor: Its name.
        count: How many of it each sample has.
        known: Names that the model's sensors have; another one is taken for a slip.

    Returns:
        ``(B, count)`` bool.

    Raises:
        KeyError: An entry names a sensor that is not known; the message names the sample.
        ValueError: An entry is for another number of this sensor.
    """
    rows = np.ones((len(metas), count), dtype=bool)
    for row, meta in zip(rows, metas):
        mask = _of_sensors(meta, MASK_KEY, known)
        value = np.asarray(mask.get(sensor, True), dtype=bool)
        if value.ndim and len(value) != count:
            raise ValueError(
                f"{MASK_KEY} of sample {sample_name(meta)} is for {len(value)} of "
                f"{sensor!r}, the model reads {count}"
            )
        row[:] = value
    return rows


def corruption_strengths(
    metas: Sequence[Mapping[str, Any]], sensor: str, known: Collection[str] = ("camera", "lidar")
) -> np.ndarray:
    """How far each sample's sensor is corrupted.

    The entry ``corruption_strength`` of the metadata is ``{sensor: float}``, or ``{sensor: [float,
    ...]}`` of a sensor that a sample has several of; 0, as of one that it does not name, is clean
    and 1 leaves nothing of the signal. A sensor that ``sensor_mask`` takes away counts as 1. It is
    written by whoever injects a corruption in training.

    Args:
        metas: Metadata of the B samples.
        sensor: Its name.
        known: As in :func:`sensor_mask`.

    Returns:
        ``(B,)`` float32 in 0 to 1, the mean over a sample's sensors of that name.

    Raises:
        KeyError: An entry names a sensor that is not known; the message names the sample.
        ValueError: A value lies outside 0 to 1, or there is not one for each of several sensors.
    """
    strengths = np.zeros(len(metas), dtype=np.float32)
    for row, meta in enumerate(metas):
        values = _of_sensors(meta, STRENGTH_KEY, known)
        value = np.atleast_1d(np.asarray(values.get(sensor, 0.0), dtype=np.float64))
        mask = np.atleast_1d((meta.get(MASK_KEY) or {}).get(sensor, True))
        if not ((value >= 0) & (value <= 1)).all() or len({1, len(value), len(mask)}) > 2:
            raise ValueError(
                f"{STRENGTH_KEY} of sample {sample_name(meta)} must be 0 to 1 for each "
                f"{sensor!r}, got {values.get(sensor)}"
            )
        strengths[row] = np.where(mask, value, 1.0).mean()
    return strengths


def _of_sensors(meta: Mapping[str, Any], key: str, known: Collection[str]) -> Mapping[str, Any]:
    """An entry of the metadata, all of whose names are known."""
    values = meta.get(key) or {}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise KeyError(
            f"{key} of sample {sample_name(meta)} names {unknown}; the sensors are {sorted(known)}"
        )
    return values
