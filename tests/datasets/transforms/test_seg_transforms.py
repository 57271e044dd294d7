from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.transforms.sensor_failure import NOISE_LEVELS, add_noise


def step(kind, **options):
    return TRANSFORMS.build(dict(type=kind, **options))


def sample(height=23, width=37, modalities=("rgb", "depth")):
    """Images whose values tell their place: all modalities and labels agree."""
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([rows, columns, rows + columns], axis=-1).astype(np.float32)
    return {
        "images": {name: place.copy() for name in modalities},
        "labels": (rows + columns).astype(np.uint8),
        "img_shape": (height, width),
        "sensor_mask": dict.fromkeys(modalities, True),
        "sample_name": "a",
    }


def test_flip_mirrors_everything():
    found = step("SegFlip", prob=1.0).transform(sample())
    for image in found["images"].values():
        assert (image[..., 2] == found["labels"]).all()
    assert found["labels"][0, 0] == 36


@pytest.mark.parametrize("crop", [(11, 13), (64, 64)])
def test_crop_keeps_images_and_labels_together(crop):
    np.random.seed(3)
    for _ in range(20):
        found = step("SegRandomResizedCrop", crop_size=crop, short_side=23,
                     factors=(1.0, 1.0)).transform(sample())  # fmt: skip
        assert found["labels"].shape == crop
        is_seen = found["labels"] != 255
        for image in found["images"].values():
            assert image.shape[:2] == crop
            assert (image[..., 2] == np.where(is_seen, found["labels"], 0)).all()


def test_crop_reaches_every_edge_and_released_offsets_one_more():
    tops, padded = set(), {False: 0, True: 0}
    for is_released in (False, True):
        np.random.seed(0)
        for _ in range(100):
            found = step("SegRandomResizedCrop", crop_size=(21, 37), short_side=23,
                         factors=(1.0, 1.0), with_released_offsets=is_released)  # fmt: skip
            labels = found.transform(sample())["labels"]
            padded[is_released] += int((labels == 255).any())
            tops.add(int(labels[0, 0]))
    assert {0, 1, 2} <= tops
    assert padded[False] == 0 and padded[True] > 0


def test_resize_scales_to_short_side_and_divisor():
    found = step("SegResize", short_side=46, divisor=32).transform(sample())
    assert found["img_shape"] == (64, 96)
    assert found["labels"].shape == (23, 37)
    found = step("SegResize", short_side=46, divisor=32, with_labels=True).transform(sample())
    assert found["labels"].shape == (64, 96)


@pytest.mark.parametrize("kind", ["SegColorJitter", "SegBlur"])
def test_colours_change_on_rgb_only(kind):
    np.random.seed(0)
    before, after = sample(), step(kind, prob=1.0).transform(sample())
    assert not np.array_equal(before["images"]["rgb"], after["images"]["rgb"])
    assert np.array_equal(before["images"]["depth"], after["images"]["depth"])
    assert np.array_equal(before["labels"], after["labels"])


def test_jitter_without_change_is_the_image():
    found = step("SegColorJitter", prob=1.0, factors=(1.0, 1.0)).transform(sample())
    np.testing.assert_allclose(found["images"]["rgb"], sample()["images"]["rgb"], atol=1e-4)


def test_dropout_blanks_tells_and_keeps_one():
    np.random.seed(0)
    counts = {"rgb": 0, "depth": 0, "event": 0}
    for _ in range(300):
        drop = step("SegModalityDropout", prob=0.5)
        found = drop.transform(sample(modalities=tuple(counts)))
        assert any(found["sensor_mask"].values())
        for name, is_there in found["sensor_mask"].items():
            assert is_there == bool(found["images"][name].any())
            counts[name] += not is_there
    assert all(70 < count < 130 for count in counts.values())


@pytest.mark.parametrize(
    ("kind", "options", "before"),
    [
        ("SegModalityDropout", dict(prob=1.0), ["rgb", "event"]),
        ("SensorFailure", dict(missing_prob=1.0), ["rgb", "event"]),
        ("SensorFailure", dict(missing_prob=1.0, missing=["rgb", "event"]), []),
        ("SensorFailure", dict(missing_prob=1.0, missing=["rgb"]), ["event"]),
    ],
)
def test_the_one_that_stays_is_none_that_is_gone_already(kind, options, before):
    np.random.seed(0)
    for number in range(20):
        given = {**sample(modalities=("rgb", "depth", "event")), "sample_name": str(number)}
        given["sensor_mask"].update(dict.fromkeys(before, False))
        found = step(kind, **options).transform(given)
        assert found["sensor_mask"] == {"rgb": False, "depth": True, "event": False}
        assert found["images"]["depth"].any()


def test_a_sample_without_any_sensor_passes():
    given = sample()
    given["sensor_mask"] = dict.fromkeys(given["images"], False)
    for kind, options in (("SegModalityDropout", dict(prob=0.5)), ("SensorFailure", {})):
        assert not any(step(kind, **options).transform(given)["sensor_mask"].values())


def test_dropout_disturbs_without_telling():
    np.random.seed(0)
    found = step("SegModalityDropout", prob=0.0, noise_prob=1.0).transform(sample())
    assert all(found["sensor_mask"].values())
    changed = [
        not np.array_equal(found["images"][m], sample()["images"][m]) for m in found["images"]
    ]
    assert sorted(changed) == [False, True]
    (disturbed,) = (m for m, is_changed in zip(found["images"], changed) if is_changed)
    assert list(found["corruption_strength"]) == [disturbed]  # for the loss of the reliability
    assert 0 < found["corruption_strength"][disturbed] < 1
    packed = step("PackSegInputs").transform(found)["data_samples"]
    assert packed.corruption_strength == found["corruption_strength"]


def test_failure_depends_on_the_name_alone():
    fail = step("SensorFailure", noise="high")
    first, again = fail.transform(sample()), fail.transform(sample())
    other = fail.transform({**sample(), "sample_name": "b"})
    assert np.array_equal(first["images"]["rgb"], again["images"]["rgb"])
    assert not np.array_equal(first["images"]["rgb"], other["images"]["rgb"])


def test_failure_takes_what_it_is_told():
    found = step("SensorFailure", missing=["depth"]).transform(sample())
    assert found["sensor_mask"] == {"rgb": True, "depth": False}
    assert not found["images"]["depth"].any()
    hidden = step("SensorFailure", missing=["depth"], is_announced=False).transform(sample())
    assert hidden["sensor_mask"]["depth"] is True and not hidden["images"]["depth"].any()


def test_random_failure_always_leaves_one():
    fail = step("SensorFailure", missing_prob=1.0)
    masks = [fail.transform({**sample(), "sample_name": str(k)})["sensor_mask"] for k in range(40)]
    assert all(sum(mask.values()) == 1 for mask in masks)
    assert {tuple(mask.values()) for mask in masks} == {(True, False), (False, True)}


def test_noise_levels_rise():
    image = np.full((50, 50, 3), 128, dtype=np.uint8)
    spread = [
        add_noise(image, *NOISE_LEVELS[name], np.random.default_rng(0)).std()
        for name in ("low", "mid", "high")
    ]
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize(
    "kind, options",
    [("SegModalityDropout", dict(prob=1.5)), ("SensorFailure", dict(noise="huge")),
     ("SegResize", dict(short_side=0)), ("LoadModalities", dict(on_size_mismatch="x")),
     ("SegRandomResizedCrop", dict(crop_size=(0, 3)))],
)  # fmt: skip
def test_wrong_settings_are_told_when_the_pipeline_is_built(kind, options):
    with pytest.raises(ValueError):
        step(kind, **options)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("SegColorJitter", dict(prob=3), "prob=3 must lie in 0 to 1"),
        ("SegColorJitter", dict(factors=(1.5, 0.5)), "factors=.* must be two numbers from 0 on"),
        ("SegColorJitter", dict(factors=(1.5,)), "factors=.* must be two numbers from 0 on"),
        ("SegColorJitter", dict(factors=(0.5, float("inf"))), "factors=.* must be two numbers"),
        ("SegColorJitter", dict(factors=(0.5, float("nan"))), "factors=.* must be two numbers"),
        ("SegResize", dict(short_side=float("nan")), "short_side=nan, .* must be 1 or more"),
        ("SegBlur", dict(prob=-0.1), "prob=-0.1 must lie in 0 to 1"),
        ("AlignedFlip", dict(prob="half"), "prob='half' must lie in 0 to 1"),
        ("SegModalityDropout", dict(prob={"rgb": 2}), r"prob\['rgb'\]=2 must lie in 0 to 1"),
        ("SegModalityDropout", dict(noise_prob="x"), "noise_prob='x' must lie in 0 to 1"),
        ("SensorFailure", dict(missing_prob=3), "missing_prob=3 must lie in 0 to 1"),
        ("SensorFailure", dict(missing_prob=float("nan")), "missing_prob=nan must lie in 0 to 1"),
        ("SensorFailure", dict(missing="rgb"), r"missing='rgb' must be a list: \['rgb'\]"),
        ("SensorFailure", dict(noisy="rgb"), "noisy='rgb' must be a list"),
        ("SegRandomResizedCrop", dict(crop_size=32), r"crop_size=32, .* must be \(height, width\)"),
        ("SegRandomResizedCrop", dict(crop_size=(0, 4)), r"crop_size=\(0, 4\)"),
        *(
            ("SegRandomResizedCrop", dict(crop_size=(8, 8), factors=factors), "crop_size=.* range")
            for factors in ((0.5, float("inf")), (1,), (0, 1), (2, 1), (1, float("nan")), ())
        ),
        *(
            ("SegRandomResizedCrop", dict(crop_size=(8, 8), short_side=side), "short_side=.* pix")
            for side in (-5, 0, float("nan"), float("inf"))
        ),
    ],
)
def test_arguments_that_cannot_be_are_refused_when_built(kind, options, said):
    with pytest.raises(ValueError, match=f"{kind}: {said}"):
        step(kind, **options)
