"""The metric of translation: errors on hand-made images, distances that say what they are of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS, MODELS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.evaluation.extractors import FeatureExtractor, FilterBankFeatures
from gemini_det3d.evaluation.functional import frechet_distance, kernel_distance

BANK = dict(type="FilterBankFeatures", num_scales=2)


def samples(count=5, size=(3, 16, 16), error=0.1, streams=2):
    """Bright targets, and translations that miss them by `error` everywhere."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        target = torch.from_numpy(rng.integers(0, 200, size, dtype=np.uint8))
        image = target / 127.5 - 1 + error
        parts = torch.stack([image + 0.1 * s for s in range(streams)])
        found.append({"stem": f"v{index}", "target": target, "translated": image, "streams": parts})
    return found


def evaluate(batch, **options):
    metric = METRICS.build(dict(type="TranslationMetric", **options))
    metric.process({}, batch)
    return metric.evaluate(size=len(batch))


def test_errors_are_of_the_ensemble_and_of_each_stream():
    found = evaluate(samples(), distances=())
    expected = {"MAE": 0.1, "MSE": 0.01, "RMSE": 0.1, "MAE_stream0": 0.1, "MAE_stream1": 0.2}
    assert found == {f"translation/{k}": pytest.approx(v, rel=1e-5) for k, v in expected.items()}


@pytest.mark.parametrize("lost", [float("nan"), float("inf")])
@pytest.mark.parametrize("stretch", [False, True])
def test_an_image_that_is_not_finite_makes_every_figure_nan(lost, stretch):
    batch = samples()
    batch[3]["translated"][1, 2, 3] = lost
    found = evaluate(batch, extractor=BANK, stretch_images=stretch)
    names = {"MAE", "MSE", "RMSE", "FID", "KID"}
    values = {key: v for key, v in found.items() if key.split("/")[1].split("_")[0] in names}
    values = {key: v for key, v in values.items() if "stream" not in key}
    assert len(values) == 5 and not any(np.isfinite(v) for v in values.values())


def test_an_ensemble_that_is_not_finite_is_told_and_leaves_the_streams_their_figures(monkeypatch):
    lines = []
    place = "gemini_det3d.evaluation.metrics.translation_metric.print_log"
    monkeypatch.setattr(place, lambda line, *_: lines.append(line))
    batch = samples()
    batch[3]["translated"][1, 2, 3] = np.nan
    found = evaluate(batch, distances=())
    assert lines[0].endswith("(first: v3), so no figure of the ensemble is finite")
    assert np.isfinite([found[f"translation/MAE_stream{i}"] for i in (0, 1)]).all()


def test_one_stream_has_no_figure_of_its_own():
    assert set(evaluate(samples(streams=1), distances=())) == {
        f"translation/{name}" for name in ("MAE", "MSE", "RMSE")
    }


def test_views_are_known_by_their_files():
    two_trees = samples(count=2)
    for root, sample in zip("ab", two_trees):
        sample.update(stem="v0", target_path=f"{root}/v0.png")
    two_trees[1]["translated"] = two_trees[1]["target"] / 127.5 - 1
    assert evaluate(two_trees, distances=())["translation/MAE"] == pytest.approx(0.05, rel=1e-5)
    two_trees[1]["target_path"] = "a/v0.png"  # the same file once more is a sampler's padding
    assert evaluate(two_trees, distances=())["translation/MAE"] == pytest.approx(0, abs=1e-6)


def test_a_single_stream_is_reported_once():
    found = evaluate(samples(streams=1), distances=())
    assert set(found) == {"translation/MAE", "translation/MSE", "translation/RMSE"}


def test_distances_are_those_of_the_extractors_features():
    batch = samples()
    extract = FilterBankFeatures(num_scales=2)
    true = np.stack([s["target"].permute(1, 2, 0).numpy() for s in batch])
    translated = np.stack([((s["translated"] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
                           for s in batch])  # fmt: skip
    found = evaluate(batch, extractor=BANK)
    features = extract(translated), extract(true)
    assert found["translation/FID_filter-bank"] == pytest.approx(frechet_distance(*features))
    assert found["translation/KID_filter-bank"] == pytest.approx(kernel_distance(*features)[0])


def test_stretch_is_off_by_default_and_said_in_the_name():
    plain = evaluate(samples(error=0.2), extractor=BANK)
    stretched = evaluate(samples(error=0.2), extractor=BANK, stretch_images=True)
    key = "translation/FID_filter-bank"
    assert key in plain and f"{key}_stretched" in stretched and key not in stretched
    assert stretched[f"{key}_stretched"] < 0.1 * plain[key]


def test_views_that_a_sampler_repeats_count_once():
    batch = samples()
    twice = evaluate(batch + batch[:2], extractor=BANK)
    assert twice == evaluate(batch, extractor=BANK)


def test_any_registered_extractor_can_be_named():
    @MODELS.register_module(force=True)
    class MeanColour(FeatureExtractor):
        name = "mean-colour"

        def __call__(self, images):
            return images.reshape(len(images), -1, 3).mean(axis=1)

    assert "translation/KID_mean-colour" in evaluate(samples(), extractor=dict(type="MeanColour"))


def test_distances_without_an_extractor_are_refused_at_once():
    with pytest.raises(ValueError, match="need an extractor"):
        METRICS.build(dict(type="TranslationMetric"))


def test_a_view_without_a_target_is_named():
    batch = samples(1)
    del batch[0]["target"]
    with pytest.raises(ValueError, match="v0 has no target"):
        evaluate(batch, distances=())


def test_evaluation_of_nothing_is_named():
    with pytest.raises(ValueError, match="TranslationMetric: there is no view to evaluate"):
        METRICS.build(dict(type="TranslationMetric", distances=())).compute_metrics([])
