"""Reliability is used: doubts of others hurt, and the gate moves away from the sensor that fails.

The answer stands in both sensors, as the sign of one channel. In half of the samples one says the
opposite, three times louder; another of its channels shows traces of it. The query is zero, so
that the gate knows no more than the doubts: an easy task as this one is, with labels for all, can
be learned without them.
"""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.fusion import GeminiFusion, StreamBlend, reliability_loss


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.operator = GeminiFusion(8, 2, init="balanced", reliability=True)
        self.operator.reliability_loss_weight = 1.0
        with torch.no_grad():
            self.operator.query_weight.zero_().requires_grad_(False)
        self.operator.in_bias.requires_grad_(False)
        self.blend, self.head = StreamBlend(), torch.nn.Linear(8, 1)

    def forward(self, first, second, bias=None):
        if bias is None:
            bias = self.operator.doubt_bias(first, second)
        return self.head(self.blend(*self.operator(first, second), bias=bias))[:, 0]


def draw(count: int, generator: torch.Generator, strengths=None):
    """Streams (N, 8), labels and strengths (N,) of both streams."""
    labels = torch.randint(2, (count,), generator=generator).float()
    if strengths is None:
        which = torch.randint(4, (count,), generator=generator)
        strengths = [(which == i).float() for i in (0, 1)]
    tokens = []
    for strength in strengths:
        signal = torch.randn(count, 8, generator=generator)
        signal[:, 0] = (1 - 4 * strength) * (2 * labels - 1) + 0.5 * signal[:, 0]
        signal[:, 1] += 3 * strength
        tokens.append(signal)
    return tokens, labels, strengths


@pytest.fixture(scope="module")
def trained() -> Toy:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    toy = Toy()
    optimizer = torch.optim.Adam(toy.parameters(), lr=0.01)
    for _ in range(400):
        tokens, labels, strengths = draw(256, generator)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(toy(*tokens), labels)
        doubts = toy.operator.take_doubts()
        optimizer.zero_grad()
        (loss + reliability_loss(doubts, strengths)).backward()
        optimizer.step()
    return toy.eval()


def accuracy(toy, tokens, labels, change=None) -> float:
    """Share of right answers; `change` makes other doubts (2, N) of the true ones."""
    own = toy.operator.doubts
    if change is not None:
        toy.operator.doubts = lambda *streams: change(own(*streams))
    try:
        with torch.no_grad():
            return float(((toy(*tokens) > 0) == (labels > 0)).float().mean())
    finally:
        if change is not None:
            del toy.operator.doubts


def test_doubts_of_other_samples_and_constants_hurt(trained):
    tokens, labels, _ = draw(8192, torch.Generator().manual_seed(7))
    order = torch.randperm(8192, generator=torch.Generator().manual_seed(8))
    right = accuracy(trained, tokens, labels)
    permuted = accuracy(trained, tokens, labels, lambda pair: tuple(d[order] for d in pair))
    constant = accuracy(
        trained, tokens, labels, lambda pair: tuple(d.mean().expand_as(d) for d in pair)
    )
    assert right > permuted + 0.02 and right > constant + 0.02, (right, permuted, constant)


def test_gate_moves_away_from_the_sensor_that_fails(trained):
    """Mean share that each stream reads of the other, by the sensor that fails."""
    share = {}
    for name, failing in (("none", (0, 0)), ("first", (1, 0)), ("second", (0, 1))):
        generator = torch.Generator().manual_seed(5)
        strengths = [torch.full((2048,), float(f)) for f in failing]
        tokens, _, _ = draw(2048, generator, strengths)
        with torch.no_grad():
            gates = trained.operator.gates(*tokens)
        share[name] = [float(gate.mean()) for gate in gates]
    assert share["first"][0] > share["none"][0] + 0.1 > share["second"][0] + 0.2, share
    assert share["second"][1] > share["none"][1] + 0.1 > share["first"][1] + 0.2, share
