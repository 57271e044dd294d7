"""The generator and the discriminator: what is shared, what fuses, what comes out."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.fusion import FusionOperator
from gemini_det3d.models.operators import OPERATORS
from gemini_det3d.models.translators.generator import choose_stages


def images(num_sources=2, count=3, size=(20, 12)):
    return torch.rand(count, num_sources, 3, *size) * 2 - 1


@pytest.mark.parametrize(("num_sources", "num_streams"), [(1, 1), (2, 2), (3, 2), (5, 2)])
def test_generator_gives_an_image_per_stream_and_the_ensemble(make, num_sources, num_streams):
    found, ensemble = make("MiTGenerator", num_sources=num_sources)(images(num_sources))
    assert found.shape == (3, num_streams, 3, 20, 12) and ensemble.shape == (3, 3, 20, 12)
    assert found.abs().max() <= 1


@pytest.mark.parametrize("num_sources", [1, 2, 3])
def test_every_parameter_of_the_generator_gets_a_gradient(make, num_sources):
    generator = make("MiTGenerator", num_sources=num_sources)
    found, ensemble = generator(images(num_sources))
    ((found - 0.3).abs().sum() + (ensemble - 0.3).abs().sum()).backward()
    assert [n for n, p in generator.named_parameters() if p.grad is None] == []


def test_ensemble_is_the_weighted_sum_and_teaches_only_the_weights(make):
    generator = make("MiTGenerator")
    with torch.no_grad():
        generator.alpha.copy_(torch.tensor([0.5, -1.0]))
    found, ensemble = generator(images())
    weights = torch.tensor([0.5, -1.0]).softmax(0)
    torch.testing.assert_close(ensemble, weights[0] * found[:, 0] + weights[1] * found[:, 1])
    ensemble.sum().backward()
    assert [n for n, p in generator.named_parameters() if p.grad is not None] == ["alpha"]


def test_streams_share_weights_so_swapped_sources_give_swapped_images(make):
    # With a symmetric operator and norms that are alike at the start, nothing else tells them.
    generator = make("MiTGenerator", operator=dict(type="SumFusion"))
    sources = images()
    found, _ = generator(sources)
    torch.testing.assert_close(generator(sources.flip(1))[0], found.flip(1))


def test_streams_have_norms_of_their_own(make):
    generator = make("MiTGenerator", last_k=0).eval()
    sources = images()
    before, _ = generator(sources)
    changed = [p for n, p in generator.named_parameters() if "norm" in n and ".1.weight" in n]
    with torch.no_grad():
        for parameter in changed:
            parameter.mul_(torch.rand_like(parameter) + 0.5)
    after, _ = generator(sources)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1])
    assert len(changed) > 10


def test_without_fusion_a_stream_knows_nothing_of_the_other(make):
    sources = images()
    other = sources.clone()
    other[:, 1] = 0.5
    for last_k, reads in ((0, False), (None, True)):
        generator = make("MiTGenerator", last_k=last_k).eval()
        same = torch.equal(generator(sources)[0][:, 0], generator(other)[0][:, 0])
        assert same is not reads


@pytest.mark.parametrize(
    ("fuse_at", "count"), [("stage_ends", 2), ("stage_outputs", 2), ("every_block", 3)]
)
def test_fusion_is_in_the_encoder_where_the_config_says(make, fuse_at, count):
    generator = make("MiTGenerator", fuse_at=fuse_at)
    slots = [n for n, m in generator.named_modules() if isinstance(m, FusionOperator)]
    assert len(slots) == count and all(n.startswith("encoder.") for n in slots)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.__name__)
def test_any_operator_fits_by_one_word(make, operator):
    generator = make("MiTGenerator", operator=dict(type=operator.__name__, num_heads=2))
    found, _ = generator(images())
    assert torch.isfinite(found).all()
    assert any(isinstance(m, operator) for m in generator.modules())


def test_checkpointing_changes_no_gradient(make):
    sources, gradients = images(), []
    for with_checkpoint in (False, True):
        generator = make("MiTGenerator", with_checkpoint=with_checkpoint)
        generator(sources)[0].square().sum().backward()
        gradients.append({n: p.grad for n, p in generator.named_parameters() if n != "alpha"})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize(
    ("arch", "blocks", "widest"), [("tiny", 10, 1024), ("small", 20, 1024), ("b0", 10, 512)]
)
def test_protocol_sizes_have_the_published_blocks_and_widths(arch, blocks, widest):
    dims, depths = choose_stages("test", arch, None, None)
    assert len(dims) == 5 and dims[-1] == widest and sum(depths) == blocks
    assert all(2 * narrow == wide for narrow, wide in zip(dims, dims[1:]))


def test_discriminator_makes_8_by_8_patches_of_256_by_256_pixels(make):
    size = dict(dims=(4,) * 5, depths=(1,) * 5, num_heads=(1,) * 5, sr_ratios=(16, 8, 4, 2, 1))
    judge = make("MiTPatchDiscriminator", **size)
    pair = torch.zeros(2, 1, 3, 256, 256)
    assert judge(*pair).shape == (1, 1, 8, 8)


def test_discriminator_looks_at_both_images_of_a_pair(make):
    judge = make("MiTPatchDiscriminator").eval()
    source, image = images()[:, 0], images()[:, 1]
    logits = judge(source, image)
    assert not torch.allclose(judge(image, image), logits)
    assert not torch.allclose(judge(source, source), logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(arch="b9"), "b9"),
        (dict(dims=None), "give arch, or dims"),
        (dict(dims=(8, 10)), "multiples of 4"),
        (dict(fuse_at="nowhere"), "fuse_at"),
    ],
)
def test_a_generator_that_cannot_be_is_refused_when_built(make, options, message):
    with pytest.raises(ValueError, match=message):
        make("MiTGenerator", **options)


def test_generator_names_sizes_that_do_not_halve(make):
    with pytest.raises(ValueError, match="22 x 12; both must be multiples of 4"):
        make("MiTGenerator")(images(size=(22, 12)))
    with pytest.raises(ValueError, match="num_sources=2"):
        make("MiTGenerator")(images(num_sources=3))
