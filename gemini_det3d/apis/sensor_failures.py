"""How a segmentor bears sensors that fail: missing, randomly missing, noisy.

In three parts, named as in the multi-modal robustness benchmark (arXiv 2503.18445): EMM, the mean
over every subset of modalities that may be missing; RMM, whole modalities missing at random in each
sample; NM, noise on every modality at three levels, those of `NOISE_LEVELS`. Figures do not compare
with the benchmark's: its EMM counts the complete set as one of the subsets, its RMM drops values of
pixels, a missing modality is zero and not announced, and its levels are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn
from tqdm import tqdm

from gemini_det3d.apis.seg_config import with_test_step
from gemini_det3d.datasets.transforms.sensor_failure import NOISE_LEVELS
from gemini_det3d.evaluation.functional.segmentation import (
    SegScores,
    sample_confusion,
    seg_scores,
)
from gemini_det3d.formats.tables import markdown_table

MISSING_PROB = 0.5


@dataclass(frozen=True)
class FailureCase:
    """One way to fail.

    Attributes:
        group: "clean", "EMM", "RMM" or "NM".
        name: Readable.
        step: Arguments of `SensorFailure`.
    """

    group: str
    name: str
    step: Mapping[str, Any] = field(default_factory=dict)


def failure_cases(modalities: Sequence[str], seed: int = 0) -> list[FailureCase]:
    """All cases of the protocol, the whole set of sensors first.

    Args:
        modalities: Names.
        seed: Decides what is randomly missing, and the noise.

    Returns:
        ``2^M + 3`` cases for M of two or more modalities; one modality can only be noisy.
    """
    cases = [FailureCase("clean", "all sensors")]
    for count in range(1, len(modalities)):
        for missing in combinations(modalities, count):
            step = {"missing": list(missing)}
            cases.append(FailureCase("EMM", f"without {', '.join(missing)}", step))
    if len(modalities) > 1:
        step = {"missing_prob": MISSING_PROB, "seed": seed}
        cases.append(FailureCase("RMM", f"each missing by {MISSING_PROB:.0%}", step))
    for level in NOISE_LEVELS:
        cases.append(FailureCase("NM", f"noise {level}", {"noise": level, "seed": seed}))
    return cases


def evaluate_failures(
    model: nn.Module, config: Config, cases: Sequence[FailureCase] | None = None
) -> dict[str, dict[str, SegScores]]:
    """Test a model under every case.

    Args:
        model: A `FusionSegmentor` with its parameters; put into evaluation.
        config: Its config; ``test_dataloader`` is read.
        cases: None: all of its modalities.

    Returns:
        For each case, by name, the scores of each stream and of the ensemble.
    """
    cases = failure_cases(config.model.modalities) if cases is None else cases
    found = {}
    for case in tqdm(cases, unit="case"):
        step = {"type": "SensorFailure", **case.step}
        found[case.name] = evaluate_model(model, with_test_step(config, step))
    return found


@torch.no_grad()
def evaluate_model(model: nn.Module, config: Config) -> dict[str, SegScores]:
    """Scores of each stream and of the ensemble on ``test_dataloader``."""
    from mmengine.runner import Runner

    loader = Runner.build_dataloader(config.test_dataloader)
    count = len(loader.dataset.metainfo["classes"])
    totals: dict[str, np.ndarray] = {}
    model.eval()
    for batch in loader:
        for sample in model.test_step(batch):
            labels = sample.gt_sem_seg.data[0].cpu().numpy()
            for stream, answer in sample.pred_sem_seg.items():
                counts = sample_confusion(labels, answer[0].cpu().numpy(), count)
                totals[stream] = totals.get(stream, 0) + counts
    return {stream: seg_scores(total) for stream, total in totals.items()}


def summarise_failures(
    found: Mapping[str, Mapping[str, SegScores]], cases: Sequence[FailureCase]
) -> dict[str, float]:
    """mIoU of the ensemble: with all sensors, and the mean of each group."""
    groups: dict[str, list[float]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(found[case.name]["ensemble"].mean_iou)
        if case.group == "NM":
            groups[f"NM {case.name.split()[-1]}"] = [found[case.name]["ensemble"].mean_iou]
    return {name: float(np.mean(values)) for name, values in groups.items()}


def failure_table(
    models: Mapping[str, Mapping[str, Mapping[str, SegScores]]], cases: Sequence[FailureCase]
) -> str:
    """mIoU of the ensemble of several models under every case, as Markdown."""
    return markdown_table(*failure_cells(models, cases), left=2)


def failure_cells(
    models: Mapping[str, Mapping[str, Mapping[str, SegScores]]], cases: Sequence[FailureCase]
) -> tuple[list[str], list[list[object]]]:
    """Names and rows of that table."""
    rows: list[list[object]] = [
        [
            case.group,
            case.name,
            *(found[case.name]["ensemble"].mean_iou for found in models.values()),
        ]
        for case in cases
    ]
    for group in dict.fromkeys(case.group for case in cases):
        means = [summarise_failures(found, cases)[group] for found in models.values()]
        rows.append([group, "mean", *means])
    return ["failure", "case", *models], rows
