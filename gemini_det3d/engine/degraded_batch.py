"""A batch whose sensors fail: some disturbed, some gone.

What disturbs here is plain on purpose (noise of many grain sizes; points lost at random and
jittered): a model that was trained on it has seen none of the weather, faults and wrong
calibrations of :mod:`gemini_det3d.corruptions`, and can be tested on those; gaussian_noise,
uniform_noise, sparse and gaussian_jitter are close to what it has seen.

Shape shorthand: B samples, V cameras, H x W pixels, N points.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gemini_det3d.models.sensor_metas import STRENGTH_KEY

_GRAINS = 6  # of noise: 1, 2, 4, ... 32 pixels
_JITTER_M = 0.2
Chances = float | Mapping[str, float]


def draw_strengths(
    batch_size: int, names: Sequence[str], chance: Chances, absent: Chances
) -> tuple[np.ndarray, np.ndarray]:
    """How far each sensor of each sample is disturbed, by PyTorch's generator.

    Args:
        batch_size: B.
        names: Of S sensors; of several of one kind its name several times.
        chance: Of each sensor to fail, by itself; a number, or one for each name. Of a sample where
            none does, one fails nevertheless: the batch as it is has a loss of its own.
        absent: Share of failures where nothing is left; likewise.

    Returns:
        ``(B, S)`` strengths, 0 clean, 1 nothing left, and ``(B, S)`` bool, which are there: at
        least one of each sample.
    """
    fails, is_gone, strength = torch.rand(3, batch_size, len(names)).double().numpy()
    chances = np.array([chance_of(chance, name) for name in names])
    # where no chance comes true, the one that came closest
    closest = np.divide(fails, chances, out=np.full_like(fails, np.inf), where=chances > 0)
    fails = (fails < chances) | (closest == closest.min(axis=1, keepdims=True)) & (chances > 0)
    exists = ~(fails & (is_gone < [chance_of(absent, name) for name in names]))
    kept = torch.randint(len(names), (batch_size,)).numpy()
    nothing = ~exists.any(axis=1)
    exists[nothing, kept[nothing]] = True
    return np.where(exists, np.where(fails, strength, 0.0), 1.0), exists


def chance_of(given: Chances, name: str) -> float:
    """Of one sensor; 0 where the names given do not have it."""
    return given.get(name, 0.0) if isinstance(given, Mapping) else given


def disturb_images(images: Tensor, strength: Tensor) -> Tensor:
    """Mix images with noise of a grain that each draws.

    Args:
        images: ``(B, C, H, W)``, normalised.
        strength: ``(B,)``, share of the noise, 0 to 1.

    Returns:
        The same shape, new.
    """
    changed = images.clone()
    height, width = images.shape[-2:]
    for row in strength.nonzero()[:, 0].tolist():
        grain = 2 ** int(torch.randint(_GRAINS, ()))
        size = (-(-height // grain), -(-width // grain))
        noise = torch.randn(1, images.shape[1], *size).to(images)
        noise = F.interpolate(noise, (height, width))[0]
        changed[row] = torch.lerp(images[row], noise, strength[row].to(images))
    return changed


def disturb_points(points: Tensor, strength: float) -> Tensor:
    """Lose a share of the points, and move the others.

    Args:
        points: ``(N, 3 or more)``, x, y, z in metres first.
        strength: Share that is lost, 0 to 1; at 1 the others move by 0.2 m (standard deviation).

    Returns:
        ``(M, 3 or more)``; at least one point where there was one.
    """
    if not strength or not len(points):
        return points
    kept = torch.rand(len(points)) >= strength
    kept[torch.randint(len(points), ())] = True
    left = points[kept.to(points.device)]
    moved = left[:, :3] + _JITTER_M * strength * torch.randn(len(left), 3).to(left)
    return torch.cat([moved, left[:, 3:]], dim=1)


def degrade_modalities(
    inputs: Mapping[str, Tensor], samples: Sequence[Any], chance: Chances, absent: Chances
) -> tuple[dict[str, Tensor], list[Any]]:
    """A degraded copy of a segmentor's batch.

    Args:
        inputs: For each modality ``(B, C, H, W)``, normalised.
        samples: B data samples.
        chance: See `draw_strengths`.
        absent: Likewise.

    Returns:
        New inputs and samples; ``sensor_mask`` and ``corruption_strength`` say what was done.
    """
    names = list(inputs)
    strengths, exists = draw_strengths(len(samples), names, chance, absent)
    disturbed = torch.from_numpy(np.where(exists, strengths, 0.0))
    images = {n: disturb_images(inputs[n], disturbed[:, i]) for i, n in enumerate(names)}
    metas = [
        ({n: bool(e) for n, e in zip(names, there)}, {n: float(s) for n, s in zip(names, strong)})
        for there, strong in zip(exists, strengths)
    ]
    return images, _copies(samples, metas)


def degrade_sensors(
    inputs: Mapping[str, Any],
    samples: Sequence[Any],
    chance: Chances,
    absent: Chances,
    preprocessor: Any,
    needs_points: bool = False,
) -> tuple[dict[str, Any], list[Any]]:
    """A degraded copy of a detector's batch.

    Args:
        inputs: ``imgs`` ``(B, 3, H, W)`` or ``(B, V, 3, H, W)``, normalised, and ``points``, B
            tensors ``(N, C)``, or one of the two; ``voxels`` are made anew.
        samples: B data samples.
        chance: See `draw_strengths`; of sensors ``camera`` (each of V by itself) and ``lidar``.
        absent: Likewise.
        preprocessor: The detector's, for its voxels.
        needs_points: Every sample keeps its LiDAR and as many points as it has; those that are
            lost are replaced by others once more.

    Returns:
        As `degrade_modalities`; the strength of several cameras is their mean.
    """
    images, points = inputs.get("imgs"), inputs.get("points")
    views = 0 if images is None else images.shape[1] if images.dim() == 5 else 1
    if needs_points:
        absent = {"camera": chance_of(absent, "camera")}
    names = ["camera"] * views + ["lidar"] * (points is not None)
    strengths, exists = draw_strengths(len(samples), names, chance, absent)
    disturbed = np.where(exists, strengths, 0.0)
    changed, metas = dict(inputs), [({}, {}) for _ in samples]
    if views:
        flat = disturb_images(
            images.flatten(0, -4), torch.from_numpy(disturbed[:, :views]).flatten()
        )
        changed["imgs"] = flat.view_as(images)
        for (mask, strength), there, strong in zip(metas, exists, strengths):
            mask["camera"] = there[:views].tolist()
            strength["camera"] = float(strong[:views].mean())
    if points is not None:
        clouds = [disturb_points(p, s) for p, s in zip(points, disturbed[:, -1])]
        if needs_points:
            clouds = [_refilled(cloud, len(p)) for cloud, p in zip(clouds, points)]
        changed["points"] = clouds
        for (mask, strength), there, strong in zip(metas, exists, strengths):
            mask["lidar"], strength["lidar"] = bool(there[-1]), float(strong[-1])
    copies = _copies(samples, metas)
    if "voxels" in inputs:
        changed["voxels"] = preprocessor.voxelize(changed["points"], copies)
    return changed, copies


def _refilled(points: Tensor, number: int) -> Tensor:
    """Points over and over until there are so many."""
    return points[torch.arange(number, device=points.device) % max(len(points), 1)]


def _copies(samples: Sequence[Any], metas: Sequence[tuple[dict, dict]]) -> list[Any]:
    """Samples of their own, since heads change them.

    What was masked before stays masked, and what was corrupted stays so; where nothing would be
    left with that, nothing is changed.
    """
    copies = copy.deepcopy(list(samples))
    for sample, (exists, strength) in zip(copies, metas):
        before = sample.metainfo.get("sensor_mask") or {}
        mask = {
            name: np.logical_and(before.get(name, True), there).tolist()
            for name, there in exists.items()
        }
        if not any(map(np.any, mask.values())):  # what was drawn to be gone is as it was
            mask, strength = {}, dict.fromkeys(strength, 0.0)
        known = sample.metainfo.get(STRENGTH_KEY) or {}
        worse = {n: max(s, float(np.mean(known.get(n, 0.0)))) for n, s in strength.items()}
        masks = {**before, **mask}
        sample.set_metainfo({"sensor_mask": masks, STRENGTH_KEY: {**known, **worse}})
    return copies
