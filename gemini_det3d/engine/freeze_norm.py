"""Training on under the statistics that testing uses."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from gemini_det3d.engine.same_buffers import average_buffers
from gemini_det3d.engine.training_errors import refuse_iterations
from gemini_det3d.registration import register


@register(HOOKS)
class FreezeNormHook(Hook):
    """From some epoch on, batch normalisation uses its running statistics in training too.

    With a batch of one or two frames, the statistics of a training step are those of its frames,
    and testing uses an average that no step has seen. The last epochs under the running ones
    remove the difference. Weights and biases are trained on. Of several processes, all have the
    mean of their statistics from then on.

    Args:
        begin: First epoch (from 0) with frozen statistics.

    Raises:
        ValueError: ``begin`` is negative.
    """

    def __init__(self, begin: int) -> None:
        if begin < 0:
            raise ValueError(f"FreezeNormHook: begin={begin} must be 0 or more")
        self.begin = begin

    def before_train(self, runner: Runner) -> None:
        """Refuse a training that does not count epochs: it would never begin.

        Raises:
            FormatError: It counts iterations.
        """
        if self.begin > 0:
            refuse_iterations(runner, f"FreezeNormHook: begin={self.begin}")

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object | None = None
    ) -> None:
        """The loop puts the whole model into training mode at the start of each epoch."""
        if runner.epoch == self.begin and batch_idx == 0:
            average_buffers(runner)
        if runner.epoch >= self.begin:
            for module in runner.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
