"""Pictures of what a trained detector finds on frames of its test set, beside the truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gemini_det3d.apis.check_alignment import read_config
from gemini_det3d.apis.checkpoint import load_checkpoint_safely, load_parameters
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.visualization import (
    LabeledBoxes,
    draw_detection_panel,
    draw_surround_panel,
    save_png,
)

EPILOG = """\
Detections in the colours of their classes, truth white and dashed: on the image of every camera and
from above. For detectors in the LiDAR frame, with one camera or several.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which detector, how many frames, and where pictures go."""
    add = parser.add_argument
    add("config", help="a config, by path or name")
    add("checkpoint", type=Path, help="its trained parameters")
    add("--out", type=Path, default=Path("work_dirs/pictures"), help="folder to write")
    add("--frames", type=int, default=8, help="frames of the test set, evenly spread (8)")
    add("--score", type=float, default=0.3, help="detections below it are left out (0.3)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")


def run(args: argparse.Namespace) -> int:
    """Detect and draw."""
    if args.frames < 1:
        raise ConfigError(f"--frames {args.frames}: must be 1 or more")
    config = read_config(args.config, args.cfg_options)
    count = draw(config, args.checkpoint, args.out, args.frames, args.score, args.device)
    print(f"{count} pictures: {args.out}")
    return 0


def draw(
    config: Any,
    checkpoint: Path,
    out: Path,
    frames: int = 8,
    score: float = 0.3,
    device: str = "cpu",
) -> int:
    """Detect objects in frames of a test set and draw them.

    Args:
        config: An mmengine config of a detector in the LiDAR frame that reads images.
        checkpoint: Its parameters; read without running what the file says.
        out: Folder for one PNG per frame, named by its number.
        frames: How many at most, evenly spread.
        score: Detections below it are left out.
        device: Where to run.

    Returns:
        Pictures written.

    Raises:
        FormatError: The checkpoint cannot be read or does not belong to the config.
        ConfigError: The frames have no image, or boxes in another frame than the LiDAR's.
    """
    from mmdet3d.registry import DATASETS, MODELS
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    init_default_scope(config.get("default_scope", "mmdet3d"))
    model: nn.Module = MODELS.build(config.model)
    load_parameters(model, load_checkpoint_safely(checkpoint), checkpoint)
    model.to(torch.device(device)).eval()
    dataset = DATASETS.build(config.test_dataloader.dataset)
    numbers = np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int)
    for number in tqdm(numbers, desc="drawing", unit="frame"):
        data = dataset[int(number)]
        with torch.no_grad():
            (found,) = model.test_step(pseudo_collate([data]))
        picture = panel(data, found.pred_instances_3d, dataset.metainfo["classes"], score)
        save_png(out / f"{number:06d}.png", picture)
    return len(numbers)


def panel(data: dict, found: Any, classes: Sequence[str], score: float) -> np.ndarray:
    """The picture of one packed frame.

    Args:
        data: ``inputs`` and ``data_samples`` of the test pipeline.
        found: ``bboxes_3d``, ``labels_3d`` and ``scores_3d``.
        classes: Names of the labels.
        score: Least score that is drawn.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ConfigError: See `draw`.
    """
    images, matrices = _views(data)
    points = data["inputs"]["points"].numpy()
    detections = _boxes(found.bboxes_3d, found.labels_3d, classes, found.scores_3d).above(score)
    truth = _truth(data["data_samples"], classes)
    if len(images) == 1:
        return draw_detection_panel(images[0], points, matrices[0], detections, truth)
    return draw_surround_panel(images, points, matrices, detections, truth)


def _views(data: dict) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images (RGB) of a packed frame and the projections onto them."""
    from gemini_det3d.models.metas import view_geometries

    pixels: Tensor | None = data["inputs"].get("img")
    if pixels is None:
        raise ConfigError("test_dataloader.dataset.pipeline: packs no image to draw on")
    pixels = pixels[None] if pixels.dim() == 3 else pixels
    meta = dict(data["data_samples"].metainfo)
    meta.setdefault("batch_input_shape", tuple(pixels.shape[-2:]))
    images = pixels.float().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()[..., ::-1]
    matrices = [each.matrix.cpu().numpy() for each in view_geometries(meta, len(pixels))]
    return [np.ascontiguousarray(image) for image in images], matrices


def _truth(sample: Any, classes: Sequence[str]) -> LabeledBoxes | None:
    """Labelled boxes of the classes; None where the set has no labels."""
    info = getattr(sample, "eval_ann_info", None)
    if not info:
        return None
    labels = torch.as_tensor(np.asarray(info["gt_labels_3d"]))
    return _boxes(info["gt_bboxes_3d"][labels >= 0], labels[labels >= 0], classes)


def _boxes(
    boxes: Any, labels: Tensor, classes: Sequence[str], scores: Tensor | None = None
) -> LabeledBoxes:
    from mmdet3d.structures import LiDARInstance3DBoxes

    if not isinstance(boxes, LiDARInstance3DBoxes):
        raise ConfigError(f"draw: needs boxes in the LiDAR frame, got {type(boxes).__name__}")
    array = boxes.tensor.detach().cpu().double().numpy()[:, :7]
    names = [classes[label] for label in labels.tolist()]
    return LabeledBoxes(array, names, None if scores is None else scores.cpu().numpy())
