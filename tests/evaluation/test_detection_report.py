"""A report of result files: the figures of the evaluation itself, in tables and charts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kitti_reference import write_random_set

from gemini_det3d.apis.reports.detection import kitti_sections, room_precision
from gemini_det3d.apis.sunrgbd.evaluate import evaluate_room_files
from gemini_det3d.evaluation.functional import evaluate_kitti
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.sunrgbd import RoomObjects, write_labels, write_results
from gemini_det3d.visualization.report import Table, Text

CLASSES = ("Car", "Pedestrian")


@pytest.fixture
def kitti(tmp_path):
    return (*write_random_set(tmp_path), tmp_path)


def test_table_and_curves_are_those_of_the_evaluation(kitti):
    truth, found, folder = kitti
    expected = evaluate_kitti(truth, found, CLASSES)
    table, precision, distance, *rest = kitti_sections(
        folder / "results", folder / "label_2", CLASSES
    )
    assert isinstance(table, Table)
    for name, metric, overlap, *figures in table.rows:
        scores = [expected.find(name, metric, level, overlap)
                  for level in ("easy", "moderate", "hard")]  # fmt: skip
        np.testing.assert_allclose(figures[:3], [score.ap40 for score in scores], atol=0.01)
        assert figures[3:] == [score.num_truth for score in scores]
    assert {row[0] for row in table.rows} == set(CLASSES)
    assert "11 frames" in table.note
    for chart, name in zip(precision.charts, CLASSES, strict=True):
        assert chart.title.startswith(f"{name}, 3D IoU")
        for line in chart.series:
            score = expected.find(name, "3d", line.name)
            assert line.note == f"AP {score.ap40:.1f}"
            assert line.x[0] == 0 and line.x[-1] == 1
            np.testing.assert_allclose(line.y, score.curve, atol=1e-4)
            assert not math.isnan(score.ap40)
    for chart, name in zip(distance.charts, CLASSES, strict=True):
        assert [line.name for line in chart.series] == ["easy", "moderate", "hard"]
        assert all(len(line.x) == len(line.y) for line in chart.series)
        boxes = [
            sum(map(int, line.note.removesuffix(" boxes").split(", "))) for line in chart.series
        ]
        assert boxes[0] <= boxes[1] <= boxes[2]
        assert boxes[2] <= expected.find(name, "3d", "hard").num_truth
    notes = expected.explain()
    assert [section.lines for section in rest if isinstance(section, Text)] == [notes] * bool(notes)


def test_split_and_classes_are_heeded(kitti):
    *_, folder = kitti
    (folder / "val.txt").write_text("000001\n000002\n")
    table, *_ = kitti_sections(folder / "results", folder / "label_2", ("Car",), folder / "val.txt")
    assert "2 frames" in table.note
    assert {row[0] for row in table.rows} == {"Car"}


def test_results_of_no_frame_are_refused_by_name(kitti):
    *_, folder = kitti
    (folder / "results" / "000099.txt").write_text("")
    with pytest.raises(FormatError, match=r"000099\.txt"):
        kitti_sections(folder / "results", folder / "label_2")


def test_rooms_have_a_line_for_each_detector(tmp_path):
    boxes = np.array([[0.0, 3, 0, 1, 1, 1, 0], [2, 3, 0, 1, 1, 1, 0]])
    truth = RoomObjects(np.array(["bed", "bed"]), boxes, bbox=np.zeros((2, 4)) + [0, 0, 5, 5])
    write_labels(tmp_path / "label" / "000001.txt", truth)
    evaluations = {}
    for name, kept in (("all of them", [0, 1]), ("one of two", [0])):
        found = RoomObjects(truth.names[kept], boxes[kept], scores=np.full(len(kept), 0.9))
        write_results(tmp_path / name / "000001.txt", found)
        evaluations[name] = evaluate_room_files(
            tmp_path / name, tmp_path / "label", classes=("bed", "chair"), progress=False
        )
    charts = room_precision(evaluations)
    assert [chart.title for chart in charts.charts] == ["bed, IoU 0.25", "bed, IoU 0.50"]
    for chart in charts.charts:  # no chart of chairs, of which there are none
        assert [line.name for line in chart.series] == list(evaluations)
        assert [line.note for line in chart.series] == ["AP 100.0", "AP 50.0"]
