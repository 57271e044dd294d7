"""The operator against the slow reference and the released outputs, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import random_released, reference_fusion
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion, from_released, to_released
from gemini_det3d.fusion.functional import query_bias, value_bias

DIM, HEADS, BATCH, TOKENS = 15, 5, 2, 7


@pytest.fixture
def released() -> dict[str, torch.Tensor]:
    return random_released(DIM)


@pytest.fixture
def operator(released) -> GeminiFusion:
    return GeminiFusion.from_released(released, HEADS)


@pytest.mark.parametrize("name", ["block_c24_h3", "block_c32_h8"])
def test_gemini_fusion_matches_the_released_outputs(shared_dir, name):
    golden, operator, streams = _load_golden(shared_dir, name)
    for stream, fused in enumerate(operator(*streams)):
        assert_close(fused, golden[f"y{stream}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["block_c24_h3", "block_c32_h8"])
def test_gemini_fusion_matches_all_released_gradients(shared_dir, name):
    golden, operator, streams = _load_golden(shared_dir, name)
    fused = operator(*streams)
    sum((fused[i] * golden[f"cot{i}"]).sum() for i in (0, 1)).backward()
    gradients = to_released({key: p.grad for key, p in operator.named_parameters()})
    gradients.update({f"x{i}": streams[i].grad for i in (0, 1)})
    wanted = {key[5:].lstrip("_"): value for key, value in golden.items() if key[:4] == "grad"}
    assert gradients.keys() == wanted.keys()
    for key, gradient in gradients.items():
        assert_close(gradient, wanted[key], rtol=0, atol=1e-10, msg=lambda m, key=key: key + m)


def _load_golden(shared_dir, name):
    with np.load(shared_dir / "golden" / f"{name}.npz") as file:
        golden = {key: torch.from_numpy(file[key]) for key in file.files}
    params = {key[6:]: value for key, value in golden.items() if key.startswith("param/")}
    operator = GeminiFusion.from_released(params, int(golden["num_heads"]))
    return golden, operator, [golden[key].requires_grad_() for key in ("x0", "x1")]


def test_gemini_fusion_equals_two_key_attention(operator, released, make):
    streams = make(BATCH, TOKENS, DIM), make(BATCH, TOKENS, DIM)
    assert_close(operator(*streams), reference_fusion(*streams, released, HEADS))


def test_gradients_equal_those_of_two_key_attention(operator, released, make):
    streams = [make(3, DIM, grad=True) for _ in range(2)]
    cotangents = [make(3, DIM) for _ in range(2)]
    slow = {key: value.clone().requires_grad_() for key, value in released.items()}
    wanted = torch.autograd.grad(
        reference_fusion(*streams, slow, HEADS), [*streams, *slow.values()], cotangents
    )
    ours = dict(operator.named_parameters())
    found = torch.autograd.grad(operator(*streams), [*streams, *ours.values()], cotangents)
    assert_close(found[:2], wanted[:2])
    gradients = to_released(dict(zip(ours, found[2:])))
    for key, gradient in zip(slow, wanted[2:]):
        assert_close(gradients[key], gradient, msg=lambda m, key=key: f"{key}: {m}")


def test_released_names_round_trip_exactly(operator, released):
    assert operator.to_released("block1.0.attn.").keys() == {
        "block1.0.attn." + name for name in released
    }
    for name, tensor in operator.to_released().items():
        assert torch.equal(tensor, released[name]), name


def test_parameter_count_is_the_released_one(operator, released):
    assert sum(p.numel() for p in operator.parameters()) == sum(
        t.numel() for t in released.values()
    )
    assert sum(p.numel() for p in operator.parameters()) == 11 * DIM**2 + 14 * DIM


def test_gradcheck_holds_at_default_tolerances(make):
    operator = GeminiFusion.from_released(random_released(6), 3)
    names = [name for name, _ in operator.named_parameters()]

    def call(first, second, *tensors):
        return torch.func.functional_call(operator, dict(zip(names, tensors)), (first, second))

    inputs = [make(2, 6, grad=True), make(2, 6, grad=True), *operator.parameters()]
    assert torch.autograd.gradcheck(call, inputs)


@pytest.mark.parametrize("stream", [0, 1])
def test_token_reads_only_its_twin(operator, make, stream):
    streams = [make(BATCH, TOKENS, DIM), make(BATCH, TOKENS, DIM)]
    before = operator(*streams)
    streams[stream][1, 4] += 1
    is_touched = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    is_touched[1, 4] = True
    for old, new in zip(before, operator(*streams)):
        assert torch.equal((old != new).any(-1), is_touched)


def test_permuting_tokens_permutes_outputs(operator, make):
    first, second = make(TOKENS, DIM), make(TOKENS, DIM)
    order = torch.tensor([3, 0, 6, 5, 1, 2, 4])
    permuted = operator(first[order], second[order])
    assert_close(permuted, tuple(fused[order] for fused in operator(first, second)))


def test_swapping_streams_and_their_parameters_swaps_outputs(released, operator, make):
    swapped = dict(released)
    for name in released:
        if name.startswith("cross_attn_0_to_1"):
            twin = name.replace("0_to_1", "1_to_0")
            swapped[name], swapped[twin] = released[twin], released[name]
        if "noise" in name:
            swapped[name] = released[name].flip(0)
    first, second = make(TOKENS, DIM), make(TOKENS, DIM)
    fused_second, fused_first = GeminiFusion.from_released(swapped, HEADS)(second, first)
    assert_close((fused_first, fused_second), operator(first, second))


def test_every_parameter_gets_a_gradient(make):
    operator = GeminiFusion(DIM, HEADS).double()
    sum(fused.square().sum() for fused in operator(make(TOKENS, DIM), make(TOKENS, DIM))).backward()
    for name, parameter in operator.named_parameters():
        assert parameter.grad is not None and parameter.grad.count_nonzero() > 0, name


def test_key_bias_gradient_is_exactly_zero(operator, make):
    sum(fused.sum() for fused in operator(make(TOKENS, DIM), make(TOKENS, DIM))).backward()
    assert operator.in_bias.grad[:, DIM : 2 * DIM].count_nonzero() == 0


@pytest.mark.parametrize("option", ["with_noise", "with_relation"])
def test_switching_a_part_off_changes_the_answer(operator, make, option):
    without = GeminiFusion(DIM, HEADS, **{option: False}).double()
    state = operator.state_dict()
    without.load_state_dict({name: state[name] for name in without.state_dict()})
    first, second = make(TOKENS, DIM), make(TOKENS, DIM)
    for full, less in zip(operator(first, second), without(first, second)):
        assert ((full - less).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (0, 5), (3, 0), (2, 3, 5), ()])
def test_any_leading_shape_is_fused_like_its_tokens(operator, make, shape):
    first, second = make(*shape, DIM), make(*shape, DIM)
    flat = operator(first.reshape(-1, DIM), second.reshape(-1, DIM))
    for fused, wanted in zip(operator(first, second), flat):
        assert fused.shape == first.shape
        assert_close(fused.reshape(-1, DIM), wanted)


def test_layout_of_memory_does_not_matter(operator, make):
    maps = [make(BATCH, DIM, 3, 5).permute(0, 2, 3, 1) for _ in range(2)]
    assert_close(operator(*maps), operator(*(m.contiguous() for m in maps)))


def test_gates_are_the_weights_of_two_key_attention(operator, released, make):
    first, second = make(DIM), make(DIM)
    without_other = GeminiFusion.from_released(released, HEADS)
    gate = operator.gates(first, second)[0]
    assert gate.shape == (HEADS,)
    with torch.no_grad():  # values of the partner zeroed: the read shrinks by the gate
        without_other.out_weight[0] = torch.eye(DIM)
        without_other.out_bias.zero_()
        full = without_other(first, second)[0] - first
        parameters = without_other.fusion_parameters()
        weight, bias = parameters.value_weight[0], value_bias(parameters)[0]
        own = weight @ (first + without_other.value_noise[0]) + bias
        other = weight @ second + bias
    heads = (HEADS, -1)
    assert_close(full, torch.lerp(own.view(heads), other.view(heads), gate[:, None]).flatten())


def test_gates_without_discriminator_are_those_of_attention_to_self_and_partner(make):
    first, second = make(7, DIM), make(7, DIM)
    operator = GeminiFusion(DIM, HEADS, with_noise=False, with_relation=False).double()
    p = operator.fusion_parameters()
    query = (first @ p.query_weight[0].T + query_bias(p)[0]).view(7, HEADS, -1)
    keys = (torch.stack((first, second), dim=1) @ p.key_weight[0].T).view(7, 2, HEADS, -1)
    logits = torch.einsum("nhc,nkhc->nhk", query, keys) * (DIM // HEADS) ** -0.5
    assert_close(operator.gates(first, second)[0], logits.softmax(dim=-1)[..., 1])


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": 2.5}, "dim"),
        ({"dim": 15, "num_heads": 8}, "num_heads"),
        ({"dim": 16, "num_heads": 0}, "num_heads"),
        ({"dim": 16, "linear_init": "zeros"}, "linear_init"),
        ({"dim": 16, "noise_std": -0.1}, "noise_std"),
        ({"dim": 16, "init": "zero"}, "init"),
    ],
)
def test_wrong_argument_is_named_when_built(arguments, key):
    with pytest.raises(ValueError, match=f"GeminiFusion: {key}") as error:
        GeminiFusion(**arguments)
    assert "\n" not in str(error.value)


def test_streams_of_other_shapes_are_refused(operator, make):
    with pytest.raises(ValueError, match=r"one shape.*\(7, 15\).*\(6, 15\)"):
        operator(make(7, DIM), make(6, DIM))
    with pytest.raises(ValueError, match=r"dim=15.*\(7, 14\)"):
        operator(make(7, 14), make(7, 14))


def test_released_parameters_with_a_hole_are_refused_by_name(released):
    broken = {name: t for name, t in released.items() if name != "v_noise.weight"}
    with pytest.raises(ValueError, match="v_noise.weight is missing"):
        from_released(broken)
    with pytest.raises(ValueError, match=r"k_noise.weight must be \(2, 15\), got \(3, 15\)"):
        from_released(released | {"k_noise.weight": torch.zeros(3, DIM)})


def test_parametrized_weights_are_read():
    operator, streams = GeminiFusion(8, 2), [torch.randn(3, 8) for _ in "ab"]
    wanted = operator(*streams)
    torch.nn.utils.parametrize.register_parametrization(operator, "out_weight", torch.nn.Identity())
    assert all(torch.equal(found, w) for found, w in zip(operator(*streams), wanted))
    with torch.no_grad():
        operator.parametrizations.out_weight.original.zero_()
    assert not torch.equal(operator(*streams)[0], wanted[0])
