"""TF32 products of float32 on a GPU, asked for by name."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from gemini_det3d.registration import register


@register(HOOKS)
class TF32Hook(Hook):
    """Lets float32 products and convolutions of a GPU round their factors to TF32.

    About three digits and an exponent as wide as float32's: several times the speed on Ampere and
    later, exact products elsewhere. ``default_hooks = dict(tf32=dict(type='TF32Hook'))``, or
    ``gemini-det3d train --tf32``. What held before is restored after the run.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner) -> None:
        """Allow it."""
        self._before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True

    def after_run(self, runner) -> None:
        """Restore what held before."""
        torch.set_float32_matmul_precision(self._before[0])
        torch.backends.cudnn.allow_tf32 = self._before[1]
