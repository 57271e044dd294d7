"""A start from streams that learned without fusion: the same function, for both sources or one."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import WEIGHT_INITIALIZERS

import gemini_det3d.engine.pretrained_streams  # noqa: F401
from gemini_det3d.formats import FormatError
from gemini_det3d.models.checkpoints import take_streams
from gemini_det3d.models.translators import GeminiTranslator, MiTGenerator

SMALL = dict(dims=(8, 16), depths=(1, 1), num_heads=(1, 2), sr_ratios=(2, 1), norm_std=0.5)
GEMINI = dict(operator=dict(type="GeminiFusion", num_heads=2), fuse_at="stage_outputs")


def generator(seed: int, num_sources: int = 2, **options) -> MiTGenerator:
    torch.manual_seed(seed)
    made = MiTGenerator(num_sources=num_sources, **SMALL, **options).eval()
    for name, parameter in made.named_parameters():
        if "norm" in name:  # as trained: each stream's norm is another
            torch.nn.init.normal_(parameter)
    return made


@pytest.fixture
def both(tmp_path):
    made = generator(0, last_k=0)
    torch.nn.init.normal_(made.alpha)
    torch.save({"state_dict": made.state_dict(), "meta": {}}, tmp_path / "both.pth")
    return made


def start(module, tmp_path, **options):
    config = dict(type="PretrainedStreams", checkpoint=str(tmp_path / "both.pth"), **options)
    WEIGHT_INITIALIZERS.build(config)(module)


@pytest.mark.parametrize("stream", [0, 1])
def test_one_source_alone_starts_as_its_stream(both, tmp_path, stream):
    alone = generator(1, num_sources=1)
    start(alone, tmp_path, streams=[stream])
    sources = torch.randn(2, 2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(alone(sources[:, [stream]])[1], both(sources)[0][:, stream])


@pytest.mark.parametrize("stream", [0, 1])
def test_the_discriminator_comes_along_whatever_the_stream(tmp_path, stream):
    judge = dict(type="MiTPatchDiscriminator", **SMALL)
    del judge["norm_std"]
    two, one = (
        GeminiTranslator(dict(type="MiTGenerator", num_sources=n, last_k=0, **SMALL), judge)
        for n in (2, 1)
    )
    torch.save({"state_dict": two.state_dict()}, tmp_path / "both.pth")
    start(one, tmp_path, streams=[stream])
    for name, value in one.discriminator.state_dict().items():
        assert torch.equal(value, two.discriminator.state_dict()[name]), name


def test_sources_can_change_places(both, tmp_path):
    turned = generator(1, last_k=0)
    start(turned, tmp_path, streams=[1, 0])
    sources = torch.randn(2, 2, 3, 16, 16)
    with torch.no_grad():
        (images, ensemble), (theirs, whole) = turned(sources.flip(1)), both(sources)
    assert torch.equal(images, theirs.flip(1))
    torch.testing.assert_close(ensemble, whole)


@pytest.mark.parametrize("kind", ["GeminiFusion", "GeminiWaysFusion"])
def test_operators_start_as_they_were_made_and_all_else_as_the_file_says(both, tmp_path, kind):
    options = {**GEMINI, "operator": dict(type=kind, num_heads=2)}
    fused, made = generator(1, **options), generator(1, **options)
    start(fused, tmp_path)
    theirs = both.state_dict()
    for name, value in fused.state_dict().items():
        of = made.state_dict() if ".operator." in name else theirs
        assert torch.equal(value, of[name]), name


def test_init_cfg_of_a_model_reaches_it(both, tmp_path):
    config = dict(type="PretrainedStreams", checkpoint=str(tmp_path / "both.pth"))
    fused = generator(1, init_cfg=config, **GEMINI)
    fused.init_weights()
    assert torch.equal(fused.alpha, both.alpha)
    assert torch.equal(fused.decoder.to_image.proj.weight, both.decoder.to_image.proj.weight)


def test_a_parameter_that_the_file_lacks_is_named(both, tmp_path):
    state = generator(2, **GEMINI).state_dict()
    del state["decoder.to_image.proj.bias"]
    torch.save(state, tmp_path / "both.pth")  # bare, as some write it
    with pytest.raises(ValueError, match=r"both\.pth: has no decoder\.to_image\.proj\.bias"):
        start(generator(1, **GEMINI), tmp_path)


def test_another_size_is_named(both, tmp_path):
    wide = MiTGenerator(num_sources=2, **(SMALL | dict(dims=(8, 32))))
    with pytest.raises(ValueError, match=r"both\.pth: encoder\.stages.* is \(.*, the model's is"):
        start(wide, tmp_path)


@pytest.mark.parametrize("streams", [[], [2], [0, 0]])
def test_streams_that_are_not_there_are_refused(both, streams):
    with pytest.raises(ValueError, match=r"must be some of \[0, 1\], each once"):
        take_streams(both.state_dict(), streams)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"both\.pth"):
        start(generator(1), tmp_path)


class Trap:
    """Leaves a file behind when it is unpickled with code allowed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    torch.save({"state_dict": {}, "meta": Trap(tmp_path / "ran")}, tmp_path / "both.pth")
    with pytest.raises(FormatError, match=r"both\.pth: names _?io.open, .* could run code"):
        start(generator(1), tmp_path)
    assert not (tmp_path / "ran").exists()
