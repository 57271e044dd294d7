from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import MODELS

from gemini_det3d.fusion import GeminiFusion, GeminiWaysFusion
from gemini_det3d.models.backbones import GeminiMiT, GeminiSwin, ModalityHub
from gemini_det3d.models.backbones.slot import build_slot, is_among_all, plan_slots
from gemini_det3d.models.operators import OPERATORS

MIT = dict(dims=(8, 16), depths=(1, 2), num_heads=(1, 2), sr_ratios=(2, 1), patch_sizes=(7, 3),
           strides=(4, 2))  # fmt: skip
SWIN = dict(embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=3)
OPERATOR = dict(type="GeminiFusion", num_heads=2)


def encoder(kind, **options):
    torch.manual_seed(0)
    shape = MIT if kind is GeminiMiT else SWIN
    return kind(**{**shape, "operator": OPERATOR, **options}).eval()


def images(count, batch=3, height=32, width=40):
    torch.manual_seed(1)
    return [torch.randn(batch, 3, height, width) for _ in range(count)]


both = pytest.mark.parametrize("kind", [GeminiMiT, GeminiSwin])


@both
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_encoder_gives_two_streams_of_any_number_of_modalities(kind, count):
    features = encoder(kind, num_modalities=count)(images(count))
    assert [[tuple(m.shape) for m in maps] for maps in features] == [
        [(3, 8, 8, 10), (3, 16, 4, 5)]
    ] * min(count, 2)


@both
@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_modality_reaches_the_first_stream(kind, count):
    model, inputs = encoder(kind, num_modalities=count), images(count)
    before = model(inputs)[0][-1]
    for changed in range(1, count):
        others = [x + (m == changed) for m, x in enumerate(inputs)]
        assert not torch.equal(model(others)[0][-1], before)


@both
def test_last_k_zero_leaves_the_streams_alone(kind):
    model, inputs = encoder(kind, last_k=0), images(2)
    assert not any("operator" in name for name, _ in model.named_parameters())
    first = model(inputs)[0][-1]
    torch.testing.assert_close(model([inputs[0], inputs[1] + 1])[0][-1], first, rtol=0, atol=0)


def test_plan_counts_the_last_k_from_the_end():
    no, yes = False, True  # a flag for each block, then one for what the stage hands out
    assert plan_slots([2, 3], 2) == [[no, no, no], [no, yes, yes, no]]
    assert plan_slots([2, 3], None, "stage_ends") == [[no, yes, no], [no, no, yes, no]]
    assert plan_slots([2, 3], 1, "stage_outputs") == [[no, no, no], [no, no, no, yes]]
    with pytest.raises(ValueError, match="last_k must be 0 to 5"):
        plan_slots([2, 3], 6)


@both
def test_behind_a_stage_the_operator_reads_and_hands_out_normed_maps(kind):
    seen = []
    model, inputs = encoder(kind, fuse_at="stage_outputs"), images(2)
    last = model.stages[-1]
    last.operator.register_forward_hook(lambda _, read, fused: seen.append((read[:2], fused)))
    found = [stream[-1].permute(0, 2, 3, 1) for stream in model(inputs)]
    assert not any("blocks" in n and "operator" in n for n, _ in model.named_parameters())
    (read, fused), norms = seen[0], last.norms
    for x, norm, given, out in zip(read, norms, fused, found):
        plain = (x - norm.bias) / norm.weight
        torch.testing.assert_close(plain.mean(-1), torch.zeros(plain.shape[:-1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(out, given)


@both
@pytest.mark.parametrize("fuse_at", ["every_block", "stage_outputs"])
def test_a_missing_modality_is_not_read_even_if_it_is_nan(kind, fuse_at):
    model, inputs = encoder(kind, fuse_at=fuse_at), images(2)
    exists = [torch.tensor([True, True, True]), torch.tensor([True, False, True])]
    whole = model(inputs)[0][-1]
    broken = [inputs[0], inputs[1].clone()]
    broken[1][1] = float("nan")
    found = model(broken, exists)[0][-1]
    alone = encoder(kind, last_k=0)
    alone.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(found[1], alone(inputs)[0][-1][1])
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])
    assert not torch.allclose(found[1], whole[1])


def test_hub_leaves_out_what_does_not_exist():
    hub, maps = ModalityHub(7, 3), [x.permute(0, 2, 3, 1) for x in images(3)]
    hub = ModalityHub(3, 3)
    exists = [torch.tensor(row) for row in ([True, True, False], [False, True, False], [False] * 3)]
    scored, merged = hub([maps[0], maps[1], torch.full_like(maps[2], float("nan"))], exists)
    torch.testing.assert_close(merged[0], scored[0][0])
    torch.testing.assert_close(merged[1], torch.maximum(scored[0][1], scored[1][1]))
    assert merged[2].abs().sum() == 0


def test_hub_refuses_maps_or_masks_of_another_number():
    extras, exists = [torch.zeros(2, 5, 7, 3)] * 3, [torch.ones(2, dtype=torch.bool)]
    with pytest.raises(ValueError, match="num_extras=3, got 1 exists"):
        ModalityHub(3, 3)(extras, exists)
    with pytest.raises(ValueError, match="num_extras=2, got 3 extras"):
        ModalityHub(3, 2)(extras)


@both
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.__name__)
def test_every_operator_fits_the_slot(kind, operator):
    model = encoder(kind, operator=dict(type=operator.__name__)
                    if operator.__name__ != "GeminiFusion" else OPERATOR)  # fmt: skip
    features = model.train()(images(2))
    sum(m.square().sum() for maps in features for m in maps).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []


@both
def test_checkpointing_changes_no_gradient(kind):
    grads = []
    for with_checkpoint in (False, True):
        model = encoder(kind, with_checkpoint=with_checkpoint).train()
        sum(m.square().sum() for maps in model(images(2)) for m in maps).backward()
        grads.append([p.grad for p in model.parameters()])
    for plain, again in zip(*grads):
        torch.testing.assert_close(plain, again)


@both
def test_autocast_runs_in_bf16(kind):
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(kind)(images(2))
    assert all(m.isfinite().all() for maps in features for m in maps)


@both
def test_wrong_arguments_are_told_when_the_model_is_built(kind):
    name = kind.__name__
    with pytest.raises(ValueError, match="arch must be one of"):
        MODELS.build(dict(type=name, arch="b9"))
    with pytest.raises(ValueError, match="must divide"):
        encoder(kind, num_heads=(3, 3))
    with pytest.raises(ValueError, match="num_modalities=2, got 3 images"):
        encoder(kind)(images(3))


def test_mit_of_five_stages_for_a_translator():
    model = GeminiMiT(dims=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1, 2), num_heads=(1, 2, 2, 2, 2),
                      sr_ratios=(4, 2, 2, 1, 1), patch_sizes=(3,) * 5, strides=(2,) * 5,
                      operator=OPERATOR, fuse_at="stage_ends")  # fmt: skip
    assert [m.shape[-1] for m in model(images(2, width=64))[0]] == [32, 16, 8, 4, 2]
    assert model.stages[4].blocks[0].attn.operator is None
    assert model.stages[4].blocks[1].attn.operator is not None


@pytest.mark.parametrize("kind", [GeminiFusion, "mmdet3d.GeminiFusion"])
def test_operator_starts_alike_however_its_type_is_given(kind):
    starts = []
    for each in ("GeminiFusion", kind):
        torch.manual_seed(0)
        starts.append(build_slot(dict(type=each, num_heads=2), 8, True).state_dict())
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])


@pytest.mark.parametrize("kind", [GeminiWaysFusion, "mmdet3d.GeminiWaysFusion"])
def test_operator_among_all_is_known_however_its_type_is_given(kind):
    assert is_among_all(dict(type=kind)) and not is_among_all(None)


def test_images_too_small_for_the_reduced_keys_are_one_line():
    with pytest.raises(ValueError, match="map of 5 x 5 is smaller than its entry of sr_ratios, 8"):
        GeminiMiT("b0", operator=OPERATOR)([torch.zeros(1, 3, 20, 20)] * 2)
