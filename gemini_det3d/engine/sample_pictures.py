"""Pictures during training: what goes in, what comes out, what should have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register


@register(HOOKS)
class TranslationPictureHook(Hook):
    """Hands a picture of a few training views to the runner's visualizer, every so often.

    A row is one view: its sources, the ensemble, the truth. With mmengine's local backend the
    pictures lie in ``vis_data/vis_image`` of the run's folder.

    Args:
        interval: Iterations between pictures.
        num_rows: Views of the batch that are shown.

    Raises:
        ValueError: A number is below 1.
    """

    priority = "LOW"

    def __init__(self, interval: int = 1000, num_rows: int = 4) -> None:
        if interval < 1 or num_rows < 1:
            raise ValueError(f"interval={interval} and num_rows={num_rows} must be 1 or more")
        self.interval, self.num_rows = interval, num_rows

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Draw when it is time."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model = bare_model(runner.model)
        batch = {key: values[: self.num_rows] for key, values in data_batch.items()}
        training = model.training
        model.eval()
        with torch.no_grad():
            found = model.val_step(batch)
        model.train(training)
        rows = [
            [*sources, to_byte_image(sample.translated), sample.target]
            for sources, sample in zip(batch["inputs"], found)
        ]
        broken = sum(not sample.translated.isfinite().all() for sample in found)
        if broken:
            runner.logger.warning(f"{broken} of {len(found)} pictures are not finite (magenta)")
        runner.visualizer.add_image("translation", tile(rows), step=runner.iter + 1)


def to_byte_image(image: torch.Tensor) -> torch.Tensor:
    """``(..., 3, H, W)`` in -1 to 1 -> uint8; pixels that are NaN or infinite become magenta."""
    lost = ~torch.isfinite(image).all(dim=-3, keepdim=True)
    magenta = torch.tensor([1.0, -1.0, 1.0], device=image.device).view(3, 1, 1)
    shown = torch.where(lost, magenta, image)
    return ((shown.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def tile(rows: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
    """Put images side by side and rows below each other.

    Args:
        rows: Of ``(3, H, W)`` uint8 images, all of one size, as many in each row.

    Returns:
        ``(rows H, columns W, 3)`` uint8 RGB.
    """
    lines = [torch.cat([image.cpu() for image in row], dim=2) for row in rows]
    return torch.cat(lines, dim=1).permute(1, 2, 0).contiguous().numpy()
