"""How the operator starts: as released, or balanced."""

from __future__ import annotations

import torch

from gemini_det3d.fusion import GeminiFusion

TOKENS = 7


def test_initial_parameters_are_distributed_as_released():
    operator = GeminiFusion(256)
    std = {name: float(p.detach().std()) for name, p in operator.named_parameters()}
    wanted = dict.fromkeys(("query_weight", "key_weight", "value_weight"), (2 * 256) ** -0.5)
    wanted |= {"out_weight": 0.02, "relation_in_weight": 0.02}
    wanted |= {"relation_out_weight": 0.02, "key_noise": 1.0, "value_noise": 1.0}
    for name, value in wanted.items():
        assert abs(std[name] / value - 1) < 0.1, name
    assert all(std[name] == 0 for name in std.keys() - wanted.keys())


def test_xavier_option_widens_the_linear_layers():
    operator = GeminiFusion(256, linear_init="xavier_uniform")
    assert abs(float(operator.out_weight.detach().std()) * 256**0.5 - 1) < 0.05
    assert abs(float(operator.relation_in_weight.detach().std()) * 384**0.5 - 1) < 0.05


def test_noise_starts_as_wide_as_asked_for():
    operator = GeminiFusion(256, noise_std=0.02)
    for noise in (operator.key_noise, operator.value_noise):
        assert abs(float(noise.detach().std()) / 0.02 - 1) < 0.1


def test_balanced_start_passes_both_streams_on_as_they_are(make):
    operator = GeminiFusion(16, 4, init="balanced")
    first, second = 0.2 * make(TOKENS, 16).float(), 0.2 * make(TOKENS, 16).float()
    for fused, own in zip(operator(first, second), (first, second)):
        assert torch.equal(fused, own)
    released = GeminiFusion(16, 4, linear_init="xavier_uniform")(first, second)[0]
    assert (released - first).abs().mean() > 0.1 * first.abs().mean()


def test_balanced_start_hides_no_small_token_behind_its_noise():
    operator = GeminiFusion(256, init="balanced")
    for noise in (operator.key_noise, operator.value_noise):
        assert abs(float(noise.detach().std()) / 0.02 - 1) < 0.1


def test_balanced_start_learns_from_its_first_step(make):
    operator = GeminiFusion(16, 4, init="balanced")
    streams = make(TOKENS, 16).float(), make(TOKENS, 16).float()
    optimizer = torch.optim.AdamW(operator.parameters(), lr=0.003)
    for _ in range(2):  # the output projection opens the way for all behind it
        optimizer.zero_grad()
        sum(fused.square().sum() for fused in operator(*streams)).backward()
        optimizer.step()
    for name, parameter in operator.named_parameters():
        assert parameter.grad.count_nonzero() > 0, name


def test_first_step_of_the_balanced_start_moves_constants_less_than_the_released_one(make):
    streams = [0.2 * make(64, 16).float().relu() for _ in range(2)]
    target = make(64, 16).float()
    moved = {}
    for init in ("released", "balanced"):
        torch.manual_seed(0)
        operator = GeminiFusion(16, 4, linear_init="xavier_uniform", init=init)
        before = operator(*streams)[0]
        (before * target).mean().backward()
        with torch.no_grad():
            for parameter in operator.parameters():
                if parameter.grad is not None:
                    parameter -= 0.003 * parameter.grad.sign()
            moved[init] = (operator(*streams)[0] - before).mean(0).square().mean()
    assert moved["balanced"] < 0.5 * moved["released"]


def test_start_of_other_parameters_does_not_depend_on_the_one_asked_for():
    starts = []
    for init in ("released", "balanced"):
        torch.manual_seed(3)
        starts.append(GeminiFusion(16, init=init, noise_std=0.5).state_dict())
    differing = {name for name in starts[0] if not torch.equal(starts[0][name], starts[1][name])}
    assert differing == {"out_weight"}
