"""What the operator is measured against, each with the call `(first, second) -> (first, second)`.

All take the parameters of a `GeminiFusion`, so that those that compute the same function can be
held against the same float64 result.

Shape shorthand: B images, N tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gemini_det3d.fusion import GeminiFusion

__all__ = ["INFERENCE_ONLY", "OPPONENTS", "SAME_FUNCTION", "ReleasedFusion", "exact_form"]


class ReleasedFusion(nn.Module):
    """The form of the released code, written from its formula: 18 C^2 multiply-adds per pair.

    Two keys and two values per token through `nn.MultiheadAttention` with the tokens as its
    batch, one image at a time, one direction after the other.
    """

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__()
        dim, self.num_heads = operator.dim, operator.num_heads
        kind = {"device": operator.out_bias.device, "dtype": operator.out_bias.dtype}
        attentions = (nn.MultiheadAttention(dim, self.num_heads, **kind) for _ in range(2))
        self.cross_attn_0_to_1, self.cross_attn_1_to_0 = attentions
        judger = {"fc1": nn.Linear(2 * dim, dim, **kind), "fc2": nn.Linear(dim, dim, **kind)}
        self.relation_judger = nn.ModuleList([nn.ModuleDict(judger)])
        self.k_noise, self.v_noise = (nn.Embedding(2, dim, **kind) for _ in range(2))
        self.load_state_dict(operator.to_released())

    def to_released(self) -> dict[str, Tensor]:
        """The state dict, as `GeminiFusion` gives it."""
        return self.state_dict()

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse (B, N, C) streams image by image."""
        fused: tuple[list[Tensor], list[Tensor]] = ([], [])
        for index in range(first.shape[0]):
            pair = first[index : index + 1], second[index : index + 1]
            for i in (0, 1):
                fused[i].append(self.one_way(pair[i], pair[1 - i], i))
        return torch.cat(fused[0]), torch.cat(fused[1])

    def one_way(self, own: Tensor, other: Tensor, i: int) -> Tensor:
        """Direction `i` on one image (1, N, C)."""
        judger = self.relation_judger[0]
        hidden = F.gelu(judger["fc1"](torch.cat((own, other), dim=-1)))
        score = judger["fc2"](hidden).softmax(dim=-1)
        keys = torch.cat((own + self.k_noise.weight[i], own * score))
        values = torch.cat((own + self.v_noise.weight[i], other))
        attention = (self.cross_attn_0_to_1, self.cross_attn_1_to_0)[i]
        return own + attention(own, keys, values)[0]


class Products(nn.Module):
    """The bare 14 C^2 matrix products, packed, on whole streams: what no form can undercut.

    Everything between the products is left out, and intermediate results go to buffers that are
    there already; only the two outputs are allocated. Not a fusion.
    """

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__()
        dim = operator.dim
        weight = operator.out_weight.detach()[0]
        self.wide = weight.new_empty(3 * dim, dim).normal_().mul_(dim**-0.5)
        self.square = weight.clone()
        self.targets: dict[int, tuple[Tensor, Tensor]] = {}

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply (B, N, C) streams: 3 C^2 from each, and 4 C^2 for each after that."""
        outputs = []
        for stream in (first, second):
            tokens = stream.reshape(-1, stream.shape[-1])
            wide, square = self._targets(tokens)
            torch.mm(tokens, self.wide.t(), out=wide)
            for _ in range(3):  # half of the discriminator's first layer, its second, the key
                torch.mm(tokens, self.square.t(), out=square)
            outputs.append(torch.mm(square, self.square.t()).view(stream.shape))
        return outputs[0], outputs[1]

    def _targets(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        if len(tokens) not in self.targets:
            size, dim = tokens.shape
            self.targets[size] = tokens.new_empty(size, 3 * dim), torch.empty_like(tokens)
        return self.targets[len(tokens)]


class FullCrossAttention(nn.Module):
    """Every token reads all tokens of the other stream, by `scaled_dot_product_attention`.

    The same projections as the operator has, no discriminator and no noise. Another function.
    """

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__()
        self.num_heads = operator.num_heads
        parameters = operator.fusion_parameters()
        self.weights = nn.ParameterList(
            parameter.detach().clone()
            for parameter in (
                parameters.query_weight,
                parameters.key_weight,
                parameters.value_weight,
                parameters.out_weight,
            )
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse (B, N, C) streams; N^2 work."""
        return self.one_way(first, second, 0), self.one_way(second, first, 1)

    def one_way(self, own: Tensor, other: Tensor, i: int) -> Tensor:
        """Direction `i`."""
        query, key, value, out = (weight[i] for weight in self.weights)
        heads = [
            F.linear(stream, weight).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for stream, weight in ((own, query), (other, key), (other, value))
        ]
        read = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(-2)
        return own + F.linear(read, out)


class ConvFuser(nn.Module):
    """A 3x3 convolution on the concatenation of two maps, as BEVFusion fuses. One map out.

    Takes tokens (B, N, C) of a square or nearly square map. Another function.
    """

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__()
        dim, like = operator.dim, operator.out_bias
        kind = {"device": like.device, "dtype": like.dtype}
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * dim, dim, 3, padding=1, bias=False, **kind),
            nn.BatchNorm2d(dim, **kind),
            nn.ReLU(),
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse (B, N, C) streams as maps; the same map is returned twice."""
        height = _height(first.shape[1])
        maps = [stream.transpose(1, 2).unflatten(2, (height, -1)) for stream in (first, second)]
        fused = self.fuse(torch.cat(maps, dim=1)).flatten(2).transpose(1, 2)
        return fused, fused


def _height(num_tokens: int) -> int:
    """The divisor of the number of tokens that makes the map most nearly square."""
    return max(d for d in range(1, int(num_tokens**0.5) + 1) if num_tokens % d == 0)


def exact_form(module: nn.Module) -> GeminiFusion:
    """The definition in float64, with the parameters of any form of the same function."""
    module = getattr(module, "_orig_mod", module)  # what was compiled
    released = module.to_released()
    return GeminiFusion.from_released(released, module.num_heads, backend="plain").double()


def _plain(operator: GeminiFusion) -> GeminiFusion:
    return GeminiFusion.from_released(operator.to_released(), operator.num_heads, backend="plain")


def _compact(operator: GeminiFusion) -> GeminiFusion:
    released = operator.to_released()
    return GeminiFusion.from_released(released, operator.num_heads, backend="compact")


OPPONENTS: dict[str, Callable[[GeminiFusion], nn.Module]] = {
    "itself": lambda operator: operator,
    "itself_compiled": torch.compile,
    "released": ReleasedFusion,
    "released_compiled": lambda operator: torch.compile(ReleasedFusion(operator)),
    "plain": _plain,
    "compact": _compact,
    "products": Products,
    "cross_attention": FullCrossAttention,
    "conv_fuser": ConvFuser,
}
"""Name -> how to build it from our operator."""

SAME_FUNCTION = {
    *("itself", "itself_compiled", "released", "released_compiled", "plain", "compact"),
}
INFERENCE_ONLY = {"products", "cross_attention"}
