"""Whatever is wrapped around parameters, they are loaded whole, or the file is refused."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from gemini_det3d.formats import FormatError
from gemini_det3d.models.checkpoints import load_parameters, read_checkpoint, write_state
from gemini_det3d.models.middle_encoders import GeminiSparseEncoder

pytest.importorskip("spconv")


def detector(seed: int, channels: int = 3) -> nn.Module:
    """A dense and a sparse part; with 3 channels the first weights have five equal sides."""
    torch.manual_seed(seed)
    encoder = GeminiSparseEncoder(
        in_channels=3,
        sparse_shape=[9, 8, 8],
        base_channels=channels,
        output_channels=5,
        encoder_channels=((channels,), (5, 5)),
        encoder_paddings=((1,), (1, 1)),
    )
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(5, 2)})


def answers(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(3)
    voxels = torch.randn(7, 3)
    places = torch.stack([torch.zeros(7), *(torch.arange(7.0) for _ in range(3))], 1).int()
    with torch.no_grad():
        return model.eval()["encoder"](voxels, places, 1)


def plain(state: dict) -> dict:
    return {name: tensor.clone() for name, tensor in state.items()}


def old_layout(state: dict) -> dict:
    """As spconv 1 and mmcv keep it, without a word about it."""
    return {
        name: tensor.movedim(0, -1).contiguous() if tensor.dim() == 5 else tensor
        for name, tensor in state.items()
    }


WAYS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "meta": {}},
    "plain dict": lambda s: {"state_dict": plain(s)},
    "model": lambda s: {"model": plain(s), "epoch": 3},
    "ema_state_dict alone": lambda s: {"ema_state_dict": {f"module.{n}": t for n, t in s.items()}},
    "averaged": lambda s: {"steps": torch.tensor(5), **{f"module.{n}": t for n, t in s.items()}},
    "module.": lambda s: {"state_dict": {f"module.{n}": t for n, t in s.items()}},
    "_orig_mod.": lambda s: {"state_dict": {f"_orig_mod.{n}": t for n, t in s.items()}},
    "both": lambda s: {"state_dict": {f"module._orig_mod.{n}": t for n, t in s.items()}},
    "compiled part": lambda s: {
        n.replace("encoder.", "encoder._orig_mod.", 1): t for n, t in s.items()
    },
    "lightning": lambda s: {"state_dict": {f"model.{n}": t for n, t in s.items()}},
    "averages of mmcv": lambda s: {
        "state_dict": {**s, **{f"ema_{n.replace('.', '_')}": 0 * t for n, t in s.items()}}
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_checkpoint_gives_the_same_answers_however_it_is_wrapped(tmp_path: Path, way: str) -> None:
    trained, model = detector(0), detector(1)
    torch.save(WAYS[way](trained.state_dict()), tmp_path / "c.pth")
    assert not torch.equal(answers(trained), answers(model))
    load_parameters(model, read_checkpoint(tmp_path / "c.pth"), "c.pth")
    assert torch.equal(answers(trained), answers(model))


def test_weights_of_the_older_layout_are_turned(tmp_path: Path) -> None:
    trained, model = detector(0), detector(1)
    torch.save({"state_dict": old_layout(trained.state_dict())}, tmp_path / "c.pth")
    load_parameters(model, read_checkpoint(tmp_path / "c.pth"), "c.pth")
    assert torch.equal(answers(trained), answers(model))


@pytest.mark.parametrize("change", [plain, old_layout], ids=["no versions", "older layout"])
def test_torch_and_mmengine_load_either_layout_directly(change) -> None:
    from mmengine.runner.checkpoint import load_state_dict

    trained = detector(0, channels=4)
    for load in (lambda model, state: model.load_state_dict(state), load_state_dict):
        model = detector(1, channels=4)
        load(model, change(trained.state_dict()))
        assert torch.equal(answers(trained), answers(model))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_file_that_we_write_keeps_every_bit(tmp_path: Path, suffix: str, dtype) -> None:
    state = {n: t.to(dtype) for n, t in detector(0).state_dict().items() if t.is_floating_point()}
    write_state(tmp_path / f"c{suffix}", state, {"layout": "ours"})
    found = read_checkpoint(tmp_path / f"c{suffix}")
    assert found["meta"] == {"layout": "ours"}
    assert found["state_dict"].keys() == state.keys()
    for name, tensor in state.items():
        assert found["state_dict"][name].dtype == dtype
        assert torch.equal(found["state_dict"][name], tensor)


def changed(**changes) -> OrderedDict:
    state = OrderedDict(detector(0).state_dict())
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    "state, fault",
    [
        (changed(head__weight=None), r"1 parameters \(head\.weight\) of the config's model"),
        (changed(head__extra=torch.ones(2)), r"1 parameters \(head\.extra\) in it have no place"),
        (
            changed(head__weight=torch.ones(9, 5)),
            r"\(head\.weight\) have other shapes than in the config \(\(9, 5\) in the file",
        ),
        (changed(head__bias=torch.tensor([1.0, float("nan")])), r"\(head\.bias\) hold NaN"),
        ({"elsewhere.weight": torch.ones(3)}, r"parameters .* are not in it; 1 parameters"),
        (
            {"encoder.patch_embed1.proj.module.weight": torch.ones(3)},
            "released MiT segmentor; gemini-det3d convert-checkpoint makes it ours",
        ),
    ],
)  # fmt: skip
def test_parameters_that_would_stay_random_are_named_and_the_model_stays(state, fault) -> None:
    model = detector(1)
    before = plain(model.state_dict())
    with pytest.raises(FormatError, match=fault) as error:
        load_parameters(model, {"state_dict": state}, "c.pth")
    assert "\n" not in str(error.value)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    "state", [changed(head__weight=None, head__bias=None), changed(head__weight=torch.ones(9, 5))]
)
def test_what_may_be_missing_keeps_its_values_and_the_rest_is_loaded(state) -> None:
    trained, model = detector(0), detector(1)
    own = model["head"].weight.clone()
    report = load_parameters(model, {"state_dict": state}, "c.pth", allow_missing=["head"])
    assert "head.weight" in (*report.missing, *report.other_shape)
    assert torch.equal(model["head"].weight, own)
    assert torch.equal(answers(trained), answers(model))


def test_name_that_nothing_has_is_told_where_the_file_is_refused() -> None:
    with pytest.raises(FormatError, match="neither has a parameter haed, which may be missing"):
        load_parameters(
            detector(1), {"state_dict": {"encoder.x": torch.ones(1)}}, "c.pth", ["haed", "encoder"]
        )
