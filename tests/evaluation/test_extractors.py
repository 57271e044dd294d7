"""Features of images: the built-in ones, the FID Inception behind its library, and one's own."""

from __future__ import annotations

import io
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.evaluation.extractors import FilterBankFeatures, InceptionFeatures
from gemini_det3d.evaluation.functional import kernel_distance
from gemini_det3d.formats import FormatError


def noise(count=7, size=(32, 40), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def test_filter_bank_features_do_not_depend_on_the_batch():
    images = noise()
    extract = FilterBankFeatures()
    alone = np.concatenate([extract(image[None]) for image in images])
    np.testing.assert_allclose(extract(images), alone)
    assert alone.shape == (7, 15 * 4 * 2 * 2)


def test_filter_bank_of_a_grey_image_knows_its_brightness_alone():
    extract = FilterBankFeatures(num_scales=2, grid=1)
    dark, bright = (extract(np.full((1, 16, 16, 3), v, dtype=np.uint8))[0] for v in (51, 102))
    changed = ~np.isclose(dark, bright)
    assert changed.tolist() == [i % 15 == 0 for i in range(30)]
    assert bright[0] == pytest.approx(3**0.5 * 102 / 255)


def test_filter_bank_energy_follows_the_direction_of_stripes():
    stripes = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    stripes[:, :, ::4] = stripes[:, :, 1::4] = 255
    across, down = FilterBankFeatures(1, 1)(stripes)[0][[3, 6]]
    assert across > down + 1


def test_filter_bank_distance_grows_with_blur():
    sharp = noise(23, (32, 32))
    means = [sharp]
    for _ in range(2):
        last = means[-1].astype(float)
        means.append(((last + np.roll(last, 1, 1) + np.roll(last, 1, 2)) / 3).astype(np.uint8))
    extract = FilterBankFeatures()
    distances = [kernel_distance(extract(noise(23, (32, 32), 1)), extract(m))[0] for m in means]
    assert distances[0] < distances[1] < distances[2]


def test_filter_bank_names_the_size_that_is_too_small():
    with pytest.raises(ValueError, match="8 x 40 are too small"):
        FilterBankFeatures()(noise(size=(8, 40)))


class FakeInception(torch.nn.Module):
    """Stands in for torch-fidelity's class, with its call."""

    def __init__(self, name, features, feature_extractor_weights_path):
        super().__init__()
        assert (name, features) == ("inception", ["2048"])
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=False))

    def forward(self, images):
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        return (images.float().mean(dim=(2, 3)),)


@pytest.fixture
def fidelity(monkeypatch):
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = FakeInception
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_inception_gets_bytes_in_parts_and_gives_rows(fidelity, tmp_path):
    torch.save({}, tmp_path / "weights.pth")
    images = noise(5)
    features = InceptionFeatures(tmp_path / "weights.pth", batch_size=2)(images)
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-5)


def test_inception_names_weights_that_are_not_there(fidelity, tmp_path):
    with pytest.raises(FormatError, match="absent.pth: no such file"):
        InceptionFeatures(tmp_path / "absent.pth")


class Trap:
    def __reduce__(self):
        return print, ("code ran",)


def test_inception_never_runs_code_of_the_weights(fidelity, tmp_path, capsys):
    torch.save({"a": Trap()}, tmp_path / "weights.pth")
    with pytest.raises(FormatError, match="weights.pth: names .*print, which .* could run code"):
        InceptionFeatures(tmp_path / "weights.pth")
    assert "code ran" not in capsys.readouterr().out


def test_inception_never_runs_what_our_reader_passes_over(fidelity, tmp_path):
    """The pickle calls ``numpy.load("absent")`` and leaves the answer below the parameters."""
    whole = io.BytesIO()
    torch.save({}, whole)
    with (
        zipfile.ZipFile(whole) as plain,
        zipfile.ZipFile(tmp_path / "weights.pth", "w") as changed,
    ):
        for name in plain.namelist():
            content = plain.read(name)
            if name.endswith("data.pkl"):
                content = content[:2] + b"cnumpy\nload\nX\x06\0\0\0absent\x85R" + content[2:]
            changed.writestr(name, content)
    with pytest.raises(FileNotFoundError):  # the attack is real
        torch.load(tmp_path / "weights.pth", weights_only=False)
    images = noise(2)
    assert InceptionFeatures(tmp_path / "weights.pth")(images).shape == (2, 3)


def test_inception_takes_no_tar_file(fidelity, tmp_path):
    with tarfile.open(tmp_path / "weights.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(FormatError, match="weights.pth: .*a tar archive"):
        InceptionFeatures(tmp_path / "weights.pth")


def test_inception_of_another_network_names_the_file(fidelity, tmp_path):
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(FormatError, match="is not the FID Inception's"):
        InceptionFeatures(tmp_path / "weights.pth")


def test_inception_without_its_library_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"gemini_det3d\[fid\]"):
        InceptionFeatures(tmp_path / "weights.pth")
