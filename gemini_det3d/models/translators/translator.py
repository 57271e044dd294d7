"""Generator and discriminator under one roof, and the step that trains both.

Shape shorthand: B images, S sources, O streams of the generator (1 or 2), H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from gemini_det3d.models.auxiliary import auxiliary_losses
from gemini_det3d.models.bare import bare_model
from gemini_det3d.models.translators.preprocessor import from_bytes
from gemini_det3d.registration import register

Losses = dict[str, Tensor]


@register(MODELS)
class GeminiTranslator(BaseModel):
    """Image-to-image translation from one or more aligned sources, trained against a discriminator.

    The discriminator sees the images of the streams, not their ensemble; every source is paired
    with the image of its stream. Per step, as in the protocol of TokenFusion:

        discriminator   sum over sources of 1/2 (adversarial(real) + adversarial(fake))
        generator       sum over sources of adversarial(fake called real)
                        + l1_weight * sum over streams and ensemble of L1
                        + what the fusion operators add

    The generator runs once per step; the discriminator learns from its detached images.

    Args:
        generator: Config of a module ``(B, S, 3, H, W) -> (B, O, 3, H, W), (B, 3, H, W)``.
        discriminator: Config of a module ``(N, 3, H, W), (N, 3, H, W) -> logits``.
        adversarial_loss: Config of a module ``(logits, is_real) -> scalar``.
        l1_weight: Of the L1 terms.
        data_preprocessor: Config; None: `TranslationPreprocessor`.
        init_cfg: As in mmengine.

    Raises:
        ValueError: ``l1_weight`` is negative, or an operator is to learn what it may rely on, for
            which a translator has no loss.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        adversarial_loss: Mapping[str, Any] | None = None,
        l1_weight: float = 100.0,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = dict(data_preprocessor or {"type": "TranslationPreprocessor"})
        super().__init__(MODELS.build(preprocessor), init_cfg)
        if not l1_weight >= 0:
            raise ValueError(f"GeminiTranslator: l1_weight must be 0 or more, got {l1_weight!r}")
        self.generator = MODELS.build(dict(generator))
        parts = self.generator.modules()
        if any(getattr(part, "reliability_weight", None) is not None for part in parts):
            raise ValueError("GeminiTranslator: generator: an operator has reliability=True, which "
                             "nothing trains here")  # fmt: skip
        self.discriminator = MODELS.build(dict(discriminator))
        self.adversarial = MODELS.build(dict(adversarial_loss or {"type": "AdversarialLoss"}))
        self.l1_weight = l1_weight

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As of any module, without a trace of how it was trained.

        mmengine wraps generator and discriminator apart for several processes, and reads names
        without the wrappers; so they are left out of the names here.
        """
        state = super().state_dict(*args, **kwargs)
        wrapped = [name for name, part in self.named_children() if is_model_wrapper(part)]
        for key in list(state) if wrapped else ():
            value = state.pop(key)  # all of them, so that their order stays
            for name in wrapped:
                key = key.replace(f"{name}.module.", f"{name}.", 1)
            state[key] = value
        return state

    def train_step(
        self, data: Mapping[str, Any], optim_wrapper: OptimWrapperDict
    ) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator."""
        data = self.data_preprocessor(data, True)
        sources, target = data["inputs"], stack_targets(data["data_samples"])
        for_generator = optim_wrapper["generator"]
        for_discriminator = optim_wrapper["discriminator"]
        with for_generator.optim_context(self.generator):
            images, ensemble = self.generator(sources)
        with for_discriminator.optim_context(self.discriminator):
            losses = self.discriminator_losses(sources, images.detach(), target)
        total, log = self.parse_losses(losses)
        for_discriminator.update_params(total)
        with _frozen(self.discriminator):
            with for_generator.optim_context(self.generator):
                losses = self.generator_losses(sources, images, ensemble, target)
            total, log_generator = self.parse_losses(losses)
            for_generator.update_params(total)
        return {**log, **log_generator, "loss": log["loss"] + log_generator["loss"]}

    def discriminator_losses(self, sources: Tensor, images: Tensor, target: Tensor) -> Losses:
        """What the discriminator learns from.

        Args:
            sources: ``(B, S, 3, H, W)``.
            images: ``(B, O, 3, H, W)``, detached.
            target: ``(B, 3, H, W)``.
        """
        given, fake = _pairs(sources, images)
        real = _pairs(sources, target.unsqueeze(1))[1]
        logits = self.discriminator(torch.cat([given, given]), torch.cat([real, fake]))
        of_real, of_fake = logits.chunk(2)
        half = sources.shape[1] / 2  # the mean over all pairs, times sources, halved
        return {
            "loss_d_real": half * self.adversarial(of_real, True),
            "loss_d_fake": half * self.adversarial(of_fake, False),
        }

    def generator_losses(
        self, sources: Tensor, images: Tensor, ensemble: Tensor, target: Tensor
    ) -> Losses:
        """What the generator learns from; nothing of it reaches the discriminator's parameters.

        Args:
            sources: ``(B, S, 3, H, W)``.
            images: ``(B, O, 3, H, W)``.
            ensemble: ``(B, 3, H, W)``.
            target: ``(B, 3, H, W)``.
        """
        # Past the wrapper for many processes: the discriminator's gradients are not of this step.
        logits = bare_model(self.discriminator)(*_pairs(sources, images))
        losses = {
            "loss_g_adversarial": sources.shape[1] * self.adversarial(logits, True),
            "loss_g_l1": self.l1_weight
            * sum(F.l1_loss(image.float(), target) for image in images.unbind(1)),
        }
        if images.shape[1] > 1:
            losses["loss_g_l1_ensemble"] = self.l1_weight * F.l1_loss(ensemble.float(), target)
        return {**losses, **auxiliary_losses(self.generator)}

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Translate a prepared batch.

        Args:
            inputs: ``(B, S, 3, H, W)``, -1 to 1.
            data_samples: B elements; 'loss' needs their ``target``.
            mode: 'tensor', 'predict' or 'loss'.

        Returns:
            'tensor': the generator's images and ensemble. 'predict': elements with ``translated``,
            ``(3, H, W)``, and ``streams``, ``(O, 3, H, W)``, beside what the samples hold. 'loss':
            the generator's losses.

        Raises:
            ValueError: Another mode.
        """
        if mode not in ("tensor", "predict", "loss"):
            raise ValueError(f"mode must be 'tensor', 'predict' or 'loss', got {mode!r}")
        images, ensemble = self.generator(inputs)
        if mode == "tensor":
            return images, ensemble
        if mode == "loss":
            return self.generator_losses(inputs, images, ensemble, stack_targets(data_samples))
        samples = data_samples or [BaseDataElement() for _ in range(len(inputs))]
        found = []
        for sample, streams, whole in zip(samples, images.float(), ensemble.float()):
            found.append(sample.clone())
            found[-1].set_data({"translated": whole, "streams": streams})
        return found


def stack_targets(samples: Sequence[BaseDataElement] | None) -> Tensor:
    """``(B, 3, H, W)`` in -1 to 1 from the samples of a batch.

    Raises:
        ValueError: A sample has no ``target``.
    """
    if not samples or not all("target" in sample for sample in samples):
        raise ValueError("a sample has no target; training needs target_path in the data set")
    return from_bytes(torch.stack([sample.target for sample in samples]))


def _pairs(sources: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Every source with the image of its stream; ``(S B, 3, H, W)`` twice."""
    last = images.shape[1] - 1
    chosen = [images[:, min(source, last)] for source in range(sources.shape[1])]
    return sources.transpose(0, 1).flatten(0, 1), torch.cat(chosen)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for a module's parameters, while they pass through it."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
