from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.evaluation.functional.segmentation import (
    confusion_matrix,
    sample_confusion,
    seg_scores,
)


def test_confusion_counts_truth_by_row():
    labels, answer = np.array([[0, 1, 1, 255]]), np.array([[0, 1, 2, 2]])
    assert confusion_matrix(labels, answer, 3).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_confusion_of_a_sample_is_that_of_its_pixels_or_all_nan():
    labels, answer = np.array([[0, 1, 1, 255]]), np.array([[0, 1, 2, 2]])
    expected = confusion_matrix(labels, answer, 3)
    assert np.array_equal(sample_confusion(labels, answer, 3), expected)
    answer[0, 3] = -1
    assert np.isnan(sample_confusion(labels, answer, 3)).all()


def test_scores_equal_their_definitions():
    rng = np.random.default_rng(0)
    labels, answer = rng.integers(0, 5, (2, 31, 37))
    scores = seg_scores(confusion_matrix(labels, answer, 7))
    for k in range(5):
        both = ((labels == k) & (answer == k)).sum()
        either = ((labels == k) | (answer == k)).sum()
        assert scores.class_iou[k] == pytest.approx(100 * both / either)
        assert scores.class_accuracy[k] == pytest.approx(100 * both / (labels == k).sum())
    assert scores.pixel_accuracy == pytest.approx(100 * (labels == answer).mean())
    assert np.isnan(scores.class_iou[5:]).all()
    assert scores.mean_iou == pytest.approx(scores.class_iou[:5].mean())


def test_empty_truth_gives_nan():
    assert np.isnan(seg_scores(np.zeros((3, 3), dtype=int)).mean_iou)


def test_labels_that_are_no_class_are_an_error():
    with pytest.raises(ValueError, match="labels go from 0 to 3"):
        confusion_matrix(np.array([[0, 3]]), np.array([[0, 0]]), 3)


def run(samples, **options):
    metric = METRICS.build(dict(type="SegmentationMetric", _scope_="mmdet3d", **options))
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    for labels, answers in samples:
        metric.process(
            {},
            [{"gt_sem_seg": {"data": torch.tensor([labels])},
              "pred_sem_seg": {s: torch.tensor([a]) for s, a in answers.items()}}],
        )  # fmt: skip
    return metric.evaluate(len(samples))


def test_metric_scores_every_stream_over_all_pixels():
    samples = [
        ([[0, 1]], {"rgb": [[0, 0]], "ensemble": [[0, 1]]}),
        ([[2, 255]], {"rgb": [[2, 0]], "ensemble": [[1, 0]]}),
    ]
    found = run(samples, with_classes=True)
    assert found["seg/rgb/pAcc"] == pytest.approx(200 / 3)
    assert found["seg/rgb/mIoU"] == pytest.approx((50 + 0 + 100) / 3)
    assert found["seg/mIoU"] == pytest.approx((100 + 50 + 0) / 3)
    assert found["seg/IoU/b"] == pytest.approx(50)


def test_metric_drops_what_the_sampler_repeated():
    metric = METRICS.build(dict(type="SegmentationMetric", _scope_="mmdet3d"))
    metric.dataset_meta = {"classes": ("a", "b")}
    for answer in ([[0, 1]], [[1, 0]]):
        metric.process({}, [{"gt_sem_seg": {"data": torch.tensor([[[0, 1]]])},
                             "pred_sem_seg": {"ensemble": torch.tensor([answer])}}])  # fmt: skip
    assert metric.evaluate(1)["seg/mIoU"] == 100


@pytest.mark.parametrize("sample", [0, 1])
def test_an_answer_that_is_not_finite_makes_its_streams_scores_nan(sample):
    answers = [[[0, 1]], [[0, 1]]]
    answers[sample] = [[0, -1]]
    found = run([([[0, 1]], {"rgb": [[0, 1]], "ensemble": answer}) for answer in answers])
    assert found["seg/rgb/mIoU"] == 100
    assert all(np.isnan(found[f"seg/{name}"]) for name in ("mIoU", "mAcc", "pAcc"))


def test_evaluation_of_nothing_is_named():
    with pytest.raises(ValueError, match="SegmentationMetric: there is no sample to evaluate"):
        METRICS.build(dict(type="SegmentationMetric")).compute_metrics([])


def test_stream_without_a_sensor_is_not_asked_and_the_others_are():
    found = run([
        ([[0, 1]], {"rgb": [[0, 1]], "depth": [[-2, -2]], "ensemble": [[0, 1]]}),
        ([[0, 0]], {"rgb": [[0, 1]], "depth": [[0, 0]], "ensemble": [[0, 0]]}),
    ])  # fmt: skip
    assert (
        found["seg/depth/pAcc"] == 100 and found["seg/rgb/pAcc"] == 75 and found["seg/pAcc"] == 100
    )
