"""The operator as slow and obvious as it can be: the oracle of everything fast.

Straight from the equations, with the released parameter names: a loop over tokens, one
`nn.MultiheadAttention` per direction, two keys and two values. No mask, no packing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reference_fusion(
    first: Tensor, second: Tensor, released: dict[str, Tensor], num_heads: int
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C), token by token; differentiable in streams and parameters."""
    streams = (first.reshape(-1, first.shape[-1]), second.reshape(-1, first.shape[-1]))
    outputs = []
    for i, j in ((0, 1), (1, 0)):
        tokens = [
            reference_token(streams[i][n], streams[j][n], i, released, num_heads)
            for n in range(len(streams[i]))
        ]
        outputs.append(torch.stack(tokens).reshape(first.shape) if tokens else first * 1)
    return outputs[0], outputs[1]


def reference_token(
    own: Tensor, other: Tensor, i: int, released: dict[str, Tensor], num_heads: int
) -> Tensor:
    """One token (C,) of stream `i` reads its twin (C,)."""
    phi = reference_relation(own, other, released)
    keys = torch.stack((own + released["k_noise.weight"][i], own * phi))
    values = torch.stack((own + released["v_noise.weight"][i], other))
    attention = nn.MultiheadAttention(len(own), num_heads, device="meta", dtype=own.dtype)
    prefix = f"cross_attn_{i}_to_{1 - i}."
    weights = {k[len(prefix) :]: v for k, v in released.items() if k.startswith(prefix)}
    read, _ = torch.func.functional_call(attention, weights, (own[None], keys, values))
    return own + read[0]


def reference_relation(own: Tensor, other: Tensor, released: dict[str, Tensor]) -> Tensor:
    """Relation discriminator of one token pair: (C,), sums to 1."""
    layer = "relation_judger.0."
    pair = torch.cat((own, other))
    hidden = F.gelu(released[layer + "fc1.weight"] @ pair + released[layer + "fc1.bias"])
    logits = released[layer + "fc2.weight"] @ hidden + released[layer + "fc2.bias"]
    return torch.softmax(logits, dim=0)


def random_released(
    dim: int, seed: int = 0, dtype: torch.dtype = torch.float64, scale: float = 1.0
) -> dict[str, Tensor]:
    """Random parameters of one block under the released names, none of them zero."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        fan_in = shape[-1] if len(shape) > 1 else 4
        values = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return (values * scale * fan_in**-0.5).to(dtype)

    released = {
        "relation_judger.0.fc1.weight": draw(dim, 2 * dim),
        "relation_judger.0.fc1.bias": draw(dim),
        "relation_judger.0.fc2.weight": 3 * draw(dim, dim),
        "relation_judger.0.fc2.bias": draw(dim),
        "k_noise.weight": draw(2, dim) * dim**0.5,
        "v_noise.weight": draw(2, dim) * dim**0.5,
    }
    for prefix in ("cross_attn_0_to_1.", "cross_attn_1_to_0."):
        released[prefix + "in_proj_weight"] = 2 * draw(3 * dim, dim)
        released[prefix + "in_proj_bias"] = draw(3 * dim)
        released[prefix + "out_proj.weight"] = draw(dim, dim)
        released[prefix + "out_proj.bias"] = draw(dim)
    return released
