"""How the ablation gathers gates, and what it averages them over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gemini_det3d.apis.ablation.gates import FrameGates, GateRecorder, GateTable, cell_centers
from gemini_det3d.fusion import GeminiFusion, SumFusion
from tests.apis.ablation.two_operators import Detector


def test_recorder_takes_the_gates_of_the_last_operator_where_both_sensors_see():
    model = Detector(GeminiFusion)
    valid = torch.rand(1, 15) > 0.4
    streams = torch.randn(1, 15, 8), torch.randn(1, 15, 8)
    with GateRecorder(model) as recorder:
        recorder._grid = (3, 5)
        model(*streams, valid)
        found = recorder.take()
    fused = model.first(*streams, valid)
    wanted = [g.mean(-1)[valid].detach().numpy() for g in model.second.gates(*fused, valid)]
    np.testing.assert_allclose(found.camera_reads, wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found.lidar_reads, wanted[1], rtol=1e-5)
    assert len(found.positions) == int(valid.sum())


def test_recorder_hears_nothing_of_other_operators_and_after_its_end():
    with GateRecorder(Detector(SumFusion)) as recorder:
        assert recorder.take() is None
    model = Detector(GeminiFusion)
    with GateRecorder(model) as recorder:
        pass
    recorder._grid = (3, 5)
    model(torch.randn(1, 15, 8), torch.randn(1, 15, 8), None)
    assert recorder.take() is None


def test_cells_lie_row_by_row_with_x_along_the_columns():
    centers = cell_centers((2, 3), [0, -2, -1, 6, 2, 1])
    assert centers[:, :2].tolist() == [[1, -1], [3, -1], [5, -1], [1, 1], [3, 1], [5, 1]]


def test_gates_are_averaged_by_class_and_by_distance():
    positions = np.array([[5, 0, 0], [5, 0.5, 0], [25, 0, 0], [60, 0, 0.0]])
    gates = FrameGates(positions, np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.1, 0.3, 0.5, 0.9]))
    table = GateTable()
    for _ in range(2):  # means do not depend on how often
        table.add(gates, np.array([[5, 0, -1, 4, 2, 2, 0.0]]), ["Car"])
    rows = {row["of"]: row for row in table.rows()}
    assert rows["Car"]["camera_reads"] == pytest.approx(0.3) and rows["Car"]["tokens"] == 4
    assert rows["background"]["lidar_reads"] == pytest.approx(0.7)
    assert rows["0 to 10 m"]["lidar_reads"] == pytest.approx(0.2)
    assert rows["50 m and more"]["camera_reads"] == pytest.approx(0.8)


def test_groups_of_gates_stand_in_order_whichever_came_first():
    gates = FrameGates(np.array([[5.0, 0, 0], [25, 0, 0], [60, 0, 0]]), np.ones(3), np.ones(3))
    table = GateTable()
    for name, x in (("Tram", 25), ("Car", 5)):
        table.add(gates, np.array([[x, 0, -1, 4, 2, 2, 0.0]]), [name])
    places = ["0 to 10 m", "20 to 30 m", "50 m and more"]
    assert [row["of"] for row in table.rows()] == ["Car", "Tram", "background", *places]
