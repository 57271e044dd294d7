"""GeminiFusion: the module that owns the parameters of the operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from . import released
from .base import Counts, check_heads, check_integer
from .doubting import DoubtingOperator
from .dtypes import autocast_that_works
from .functional import FusionParameters, gemini_gates
from .kernels import Explanation, check_backend, explain, in_one_dtype, run
from .start import check_start, draw, noise_std_of, optional_parameter

__all__ = ["GeminiFusion"]


class GeminiFusion(DoubtingOperator):
    """Two aligned streams read each other token by token (see `functional` for the maths).

    Args:
        dim: Channels C of both streams.
        num_heads: Heads per direction; must divide `dim`. 8 in all released models.
        with_noise: Add the learned noise to the first key and value. Off: without those
            parameters (an ablation of the paper, Table 9).
        with_relation: Weigh the second key by the relation discriminator. Off: the second key is
            the partner token itself (an ablation of the paper, Table 9).
        linear_init: How the output projections and the discriminator start: "trunc_normal"
            (std 0.02, as in the released segmentors) or "xavier_uniform" (as the released KITTI
            detector, where mmengine re-initialises every linear layer).
        noise_std: How widely the learned noise starts. None: as `init` says, 1.0 or 0.02.
        init: How the operator starts. "released": noise of deviation 1, for tokens of about that
            size; where tokens start smaller (narrow or untrained encoders), it hides them for the
            first epochs. "balanced": output projections at zero and noise of deviation 0.02, so
            that both streams start as they are, their gradients as large as each other, and no
            step of the optimizer moves constants further than tokens (docs/design/operator.md).
        backend: How to compute; all forms compute the same function. "plain": the definition as
            autograd sees it. "compact": fewest operations, for few tokens and for devices without
            a form of their own. "traced": for `torch.compile`, which fuses its steps, on a CPU.
            "blockwise": block by block in the caches of a CPU, with a backward of its own.
            "fused": Triton kernels between the products, for CUDA. "auto": what is best for each
            call.
        reliability: Two linear layers 2C -> 1 more, one a stream, that say how far a token is
            corrupted, by itself and the mean of its sample (see `reliability`), trained by
            `reliability_loss` alone, on the strength of what was injected; and one number a stream,
            trained by the task, of how much less is read of what is doubted. It starts at zero,
            where the operator is the released one.
        reliability_loss_weight: Of that loss.
        with_recompute: "blockwise" and "fused" keep nothing but their inputs for the backward and
            repeat there what they need of the forward: on a CPU a quarter of the memory for about
            a tenth more time.
        block_tokens: Each thread of "blockwise" computes so many tokens at a time, which bounds its
            scratch memory at any number of tokens. 0: what suits the caches.

    Raises:
        ValueError: A value above is out of its range; the message names the key.
    """

    takes_any_dtype = True

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        with_noise: bool = True,
        with_relation: bool = True,
        linear_init: str = "trunc_normal",
        noise_std: float | None = None,
        backend: str = "auto",
        with_recompute: bool = False,
        block_tokens: int = 0,
        init: str = "released",
        reliability: bool = False,
        reliability_loss_weight: float = 0.1,
    ) -> None:
        super().__init__(dim)
        check_start("GeminiFusion", linear_init, noise_std, init)
        check_backend(backend, with_noise and with_relation)
        dim, self.num_heads = self.dim, check_heads(self.dim, num_heads, "GeminiFusion")
        self.backend = backend
        self.with_recompute = with_recompute
        self.block_tokens = check_integer(block_tokens, 0, "block_tokens", "GeminiFusion")
        self.linear_init, self.init = linear_init, init
        self.noise_std = noise_std_of(init, noise_std)
        self.query_weight = nn.Parameter(torch.empty(2, dim, dim))
        self.key_weight = nn.Parameter(torch.empty(2, dim, dim))
        self.value_weight = nn.Parameter(torch.empty(2, dim, dim))
        self.in_bias = nn.Parameter(torch.empty(2, 3 * dim))
        self.out_weight = nn.Parameter(torch.empty(2, dim, dim))
        self.out_bias = nn.Parameter(torch.empty(2, dim))
        self.relation_in_weight = optional_parameter(with_relation, dim, 2 * dim)
        self.relation_in_bias = optional_parameter(with_relation, dim)
        self.relation_out_weight = optional_parameter(with_relation, dim, dim)
        self.relation_out_bias = optional_parameter(with_relation, dim)
        self.key_noise = optional_parameter(with_noise, 2, dim)
        self.value_noise = optional_parameter(with_noise, 2, dim)
        self.add_reliability(reliability, reliability_loss_weight)
        self.reset_parameters()

    @classmethod
    def from_released(
        cls, params: Mapping[str, Tensor], num_heads: int = 8, prefix: str = "", **options: Any
    ) -> GeminiFusion:
        """Build the module from the released names (`cross_attn_0_to_1.in_proj_weight`, ...).

        Args:
            params: Released names to tensors; names outside the block are ignored. The tensors
                are copied, dtype and device are kept.
            num_heads: As in the constructor; no checkpoint stores it.
            prefix: What stands before the block's names.
            **options: Further arguments of the constructor.

        Raises:
            ValueError: A name is missing, has a wrong shape, or belongs to what an option leaves
                out; the message names it.
        """
        ours = released.from_released(params, prefix)
        weight = ours["query_weight"]
        module = cls(weight.shape[-1], num_heads, **options)
        module = module.to(device=weight.device, dtype=weight.dtype)
        try:
            module.load_state_dict({**module._own_state(), **ours})
        except RuntimeError as error:  # parameters that an option has left out
            fault = " ".join(str(error).split())
            raise ValueError(f"GeminiFusion.from_released: {fault}") from None
        return module

    def to_released(self, prefix: str = "") -> dict[str, Tensor]:
        """The state dict under the released names: the inverse of `from_released`."""
        return released.to_released(self.state_dict(), prefix)

    def no_weight_decay(self) -> set[str]:
        """Names of the biases, which recipes spare from decay.

        ``in_bias`` and ``out_bias`` hold both directions, so they have two axes and a rule by the
        number of axes would decay them. timm asks a model for such names under this one.
        """
        return {name for name, _ in self.named_parameters() if name.endswith("_bias")}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew, as `init` says."""
        draw(self.fusion_parameters(), self.linear_init, self.noise_std, self.init)
        self.reset_reliability()

    def _own_state(self) -> dict[str, Tensor]:
        """What the released operator lacks."""
        return {n: x for n, x in self.state_dict().items() if n.startswith("reliability_")}

    def fusion_parameters(self) -> FusionParameters:
        """The parameters as `functional` takes them."""
        own: dict[str, Any] = self._parameters  # of what a module has, the quickest to read
        try:
            return FusionParameters(*[own[name] for name in FusionParameters._fields])
        except KeyError:  # some are computed (`torch.nn.utils.parametrize`)
            return FusionParameters(*(getattr(self, name) for name in FusionParameters._fields))

    def fuse(
        self, first: Tensor, second: Tensor, valid: Tensor | None, counts: Counts = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse checked streams (..., C); see `FusionOperator.forward`."""
        parameters, bias = self.fusion_parameters(), self.own_bias(first, second, valid, counts)
        options = (self.with_recompute, self.block_tokens, bias)
        return run(self.backend, first, second, parameters, self.num_heads, valid, *options)

    def explain(self, first: Tensor, second: Tensor) -> Explanation:
        """Which form a call with these streams (..., C) runs, and why not another; print it.

        Grad mode, autocast, compilers and transforms count as they are at the call of this method.

        Raises:
            ValueError: As `forward`.
        """
        first, second, _ = self.checked(first, second, None)
        with autocast_that_works(self, first):
            options = (self.with_recompute, self.block_tokens, self.doubt_bias(first, second))
            parameters = self.fusion_parameters()
            return explain(self.backend, first, second, parameters, self.num_heads, *options)

    def gates(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None, counts: Counts = None
    ) -> tuple[Tensor, Tensor]:
        """How much each stream reads of the other: two (..., num_heads) in [0, 1].

        Arguments and errors as in `forward`; tokens that are not valid have gate 0.
        """
        first, second, valid = self.checked(first, second, valid)
        with autocast_that_works(self, first):
            bias = self.doubt_bias(first, second, valid, counts)
            streams = in_one_dtype(first, second, self.fusion_parameters())
            return gemini_gates(*streams, self.num_heads, valid, bias)

    def extra_repr(self) -> str:
        """Show what the printed model should tell."""
        return (
            f"dim={self.dim}, num_heads={self.num_heads}, with_noise={self.key_noise is not None}, "
            f"with_relation={self.relation_in_weight is not None}, init={self.init!r}, "
            f"reliability={self.reliability_weight is not None}"
        )
