"""An encoder starts from a file that is its own, or not at all."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.models.backbones import GeminiMiT, GeminiSwin

ENCODERS = {
    "MiT": (GeminiMiT, dict(dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2))),
    "Swin": (
        GeminiSwin,
        dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), window_size=2),
    ),
}


@pytest.fixture(params=list(ENCODERS))
def build(request):
    kind, shape = ENCODERS[request.param]
    return lambda **more: kind(**{**shape, **more})


def classifier(build) -> dict[str, torch.Tensor]:
    """What a converted classifier has: no operators, of Swin no norms of stages."""
    model = build()
    spared = [".operator."] if model.stages[0].carries_norm else [".operator.", ".norms."]
    state = model.state_dict()
    return {k: torch.full_like(v, 0.25) if v.is_floating_point() else v
            for k, v in state.items() if not any(part in k for part in spared)}  # fmt: skip


def start(build, state, path, **init):
    torch.save({"state_dict": state}, path)
    model = build(init_cfg=dict(type="Pretrained", checkpoint=str(path), **init))
    model.init_weights()
    return model


def test_file_of_a_classifier_fills_all_but_what_fuses(build, tmp_path):
    state = classifier(build)
    assert len(state) < len(build().state_dict())
    model = start(build, state, tmp_path / "a.pth")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_operator_among_all_streams_starts_anew_like_the_others(build, tmp_path):
    ways = dict(operator=dict(type="GeminiWaysFusion", num_heads=2))
    model = start(lambda **more: build(**ways, **more), classifier(build), tmp_path / "a.pth")
    assert model.stages[0].blocks[0].mlp.fc1.weight.eq(0.25).all()


def test_file_may_be_a_whole_models_under_a_prefix(build, tmp_path):
    state = {f"backbone.{name}": value for name, value in classifier(build).items()}
    model = start(build, {**state, "head.x": torch.ones(1)}, tmp_path / "a.pth", prefix="backbone.")
    assert model.stages[0].blocks[0].mlp.fc1.weight.eq(0.25).all()


@pytest.mark.parametrize("fault", ["missing", "shape", "names", "nan"])
def test_file_that_does_not_fill_the_encoder_is_refused(build, tmp_path, fault):
    state = classifier(build)
    name = "stages.0.blocks.0.mlp.fc1.weight"
    if fault == "missing":
        del state[name]
    elif fault == "shape":
        state[name] = torch.ones(2, 3)
    elif fault == "nan":
        state[name] = state[name] * float("nan")
    else:
        state = {f"other_{key}": value for key, value in state.items()}
    with pytest.raises(FormatError, match="a.pth: init_cfg of Gemini") as error:
        start(build, state, tmp_path / "a.pth")
    assert fault == "names" or name in str(error.value)
    assert "\n" not in str(error.value)
