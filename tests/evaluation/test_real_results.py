"""A real detector's own result files against the slow reference, on the frames with labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from kitti_reference import reference_ap

from gemini_det3d.evaluation import evaluate_kitti
from gemini_det3d.formats.kitti import Objects, read_objects

FRAMES = {
    "000001": "kitti_mini",
    "000002": "kitti_mini",
    "000004": "kitti_more",
    "000005": "kitti_more",
}


@pytest.fixture
def frames(shared_dir: Path) -> tuple[list[Objects], list[Objects]]:
    data = shared_dir / "data"
    truth = [read_objects(data / folder / "training" / "label_2" / f"{frame}.txt")
             for frame, folder in FRAMES.items()]  # fmt: skip
    found = [read_objects(data / "kitti_more" / "detections_car" / f"{frame}.txt", with_score=True)
             for frame in FRAMES]  # fmt: skip
    return truth, found


def test_every_figure_equals_the_slow_reference(frames) -> None:
    pytest.importorskip("shapely")
    truth, found = frames
    scores = evaluate_kitti(truth, found, ["Car"], recall="devkit").scores
    compared = 0
    for score in scores:
        expected = reference_ap(
            truth, found, score.class_name, score.metric, score.difficulty, score.min_overlap
        )
        if score.num_truth:
            assert (score.ap11, score.ap40) == pytest.approx(expected, abs=1e-10)
            compared += 1
    assert compared >= 6


def test_cars_that_the_detector_framed_are_found_by_hand(frames) -> None:
    """Cars are 21.6, 33.3, 30.5 and 20.7 px high: two reach moderate's 25, none easy's 40."""
    truth, found = frames
    boxes = {
        (s.difficulty, s.min_overlap): s
        for s in evaluate_kitti(truth, found, ["Car"]).scores
        if s.metric == "bbox"
    }
    counts = {level: score.num_truth for (level, _), score in boxes.items()}
    assert counts == {"easy": 0, "moderate": 2, "hard": 2}
    # Both are framed, with the best scores of all but the car that is too low to count.
    assert boxes["moderate", 0.7].ap40 == pytest.approx(100)
