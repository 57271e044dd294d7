"""Check a config's training data: do augmented points, boxes and image fit each other?"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gemini_det3d.apis.alignment.agreement import Agreement, Verdict, agreement_of, judge
from gemini_det3d.apis.alignment.samples import AugmentedSample, augmented_samples
from gemini_det3d.apis.findings import Finding, capped
from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.formats.turned_cloud import check_full, count_full


def check_alignment(
    config: Any, samples: int = 16, pictures: int = 0, out: Path | None = None, seed: int = 0
) -> Verdict:
    """Compare points, boxes and images of augmented training samples.

    Args:
        config: An mmengine config.
        samples: Frames, evenly spread over the training set.
        pictures: Of these, how many are drawn.
        out: Folder of the pictures; needed when there are any.
        seed: Of the augmentation.

    Returns:
        Medians over all objects, what is wrong, with the objects or with a calibration by itself,
        and the pictures drawn.

    Raises:
        ConfigError: The pipeline lacks what has to be compared.
        FormatError: ``out`` is the folder of the samples' files.
    """
    found: list[Agreement] = []
    findings: list[Finding] = []
    counts, num_boxes = [], 0
    drawn: dict[str, list[Path]] = {}
    frames = augmented_samples(config, samples, seed)
    for index, sample in enumerate(tqdm(frames, total=samples, desc="checking", unit="frame")):
        for image, matrix in zip(sample.images, sample.matrices):
            size = image.shape[1], image.shape[0]
            found += agreement_of(sample.points, sample.boxes, matrix, size, sample.labels_2d)
            faults = check_fit(fit_of(sample.points, image, matrix))
            findings += [Finding(level, sample.name, text) for level, text in faults]
        counts.append(count_full(sample.boxes, sample.points))
        num_boxes += len(sample.boxes)
        if out is not None and index < pictures:
            keep_folders(out, [sample.name])
            stem = own_name(Path(sample.name).stem, drawn)
            drawn[stem] = draw(sample, out, stem)
        findings += [Finding(level, sample.name, text) for level, text in sample.faults]
    whole = f"{len(counts)} samples"
    findings += [Finding(level, whole, text) for level, text in check_full(counts, num_boxes)]
    paths = tuple(path for paths in drawn.values() for path in paths)
    return replace(_with_findings(judge(found), findings), pictures=paths)


def _with_findings(verdict: Verdict, findings: list[Finding]) -> Verdict:
    """A calibration that cannot be one is a fault, an unlikely one is told."""
    errors, warnings = (
        tuple(capped([finding for finding in findings if finding.level == level]))
        for level in ("error", "warning")
    )
    return replace(verdict, faults=errors + verdict.faults, gaps=warnings + verdict.gaps)


def own_name(name: str, taken: Container[str]) -> str:
    """A name with a number behind it where it is taken: data sets call their frames alike."""
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)


def draw(sample: AugmentedSample, out: Path, stem: str) -> list[Path]:
    """One picture per camera: the boxes on the augmented image, and the points below.

    Args:
        sample: The frame.
        out: Folder to write.
        stem: Of the files' names; behind it the camera's number where there are several.
    """
    from gemini_det3d.visualization import (
        LabeledBoxes,
        draw_boxes_on_image,
        draw_points_on_image,
        save_png,
    )

    truth, drawn = LabeledBoxes(sample.boxes, sample.names), []
    for number, (image, matrix) in enumerate(zip(sample.images, sample.matrices)):
        rgb = np.ascontiguousarray(image[..., ::-1])
        scale = max(1.0, 900 / rgb.shape[1])
        boxes = draw_boxes_on_image(rgb, LabeledBoxes.empty(), matrix, truth, scale)
        points = draw_points_on_image(rgb, sample.points, matrix, scale=scale)
        suffix = f"_camera{number}" if len(sample.images) > 1 else ""
        drawn.append(out / f"{stem}{suffix}.png")
        save_png(drawn[-1], np.concatenate([boxes, points]))
    return drawn
