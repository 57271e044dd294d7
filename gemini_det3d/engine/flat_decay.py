"""Weight decay as released: none for parameters of one axis, whatever other rule they are under."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from gemini_det3d.fusion import GeminiFusion, GeminiWaysFusion
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register


@register(OPTIM_WRAPPER_CONSTRUCTORS)
class FlatDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, and then no decay for biases, norms and other flat parameters.

    mmengine's own ``flat_decay_mult`` does not reach parameters under a ``custom_keys`` entry, nor
    the operators' packed biases, which hold all directions and so have two axes.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser.

        Returns:
            The wrapper; every parameter is a group of its own.
        """
        # with rules, if empty ones, each parameter is a group of its own
        self.paramwise_cfg = self.paramwise_cfg or {"custom_keys": {}}
        wrapper = super().__call__(model)
        spared = {id(p) for p in spared_parameters(model)}
        for group in wrapper.optimizer.param_groups:
            if id(group["params"][0]) in spared:
                group["weight_decay"] = 0.0
        print_log(f"weight_decay is 0 for {len(spared)} biases, norms and other flat parameters, "
                  "whatever paramwise_cfg says", "current")  # fmt: skip
        return wrapper


def spared_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that the released recipes do not decay.

    Returns:
        Those of at most one axis, and the packed biases of every `GeminiFusion` and
        `GeminiWaysFusion`.
    """
    model = bare_model(model)
    packed = [
        module.get_parameter(name)
        for module in model.modules()
        if isinstance(module, (GeminiFusion, GeminiWaysFusion))
        for name in module.no_weight_decay()
    ]
    return [p for p in model.parameters() if p.ndim <= 1] + packed
