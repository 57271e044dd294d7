"""Which stage of a detector has lost a class, by a probe of its tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gemini_det3d.apis.ablation.gates import cell_centers
from gemini_det3d.apis.ablation.probe import Probe, TokenRecorder, probe_markdown, probe_verdicts
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.fusion import StreamBlend, SumFusion
from tests.apis.ablation.two_operators import Detector

CLASSES = ("Car", "Truck")


def probed(lost_by=None, frames=30):
    """Two cars and two trucks a frame, told apart by one channel of camera, blend and head."""
    generator, probe = np.random.default_rng(3), Probe(CLASSES)
    places = cell_centers((16, 16), [0, -8, 0, 16, 8, 1])
    boxes = np.array([[x, y, 0, 3, 2, 1, 0.0] for x in (4, 12) for y in (-4, 4)])
    for _ in range(frames):
        labels = generator.permutation([0, 0, 1, 1])
        clean = generator.normal(size=(3, len(places), 5)).astype(np.float32)
        for i, stage in enumerate(("encoders", "fusion")):
            if lost_by not in ("encoders", stage):
                for box, label in zip(boxes, labels):
                    near = np.abs(places[:, :2] - box[:2]).max(axis=1) < 1
                    clean[2 * i, near, 1] += 8 * label
        right = labels if lost_by is None else 1 - labels
        detections = boxes, np.linspace(0.1, 0.9, 4), right
        probe.add((places, list(clean)), boxes, [CLASSES[k] for k in labels], detections)
    return probe.rows()


@pytest.mark.parametrize(
    ("lost_by", "line"),
    [
        (None, "Truck is told by the head: 1.00"),
        ("encoders", "Truck is lost before the fusion"),
        ("fusion", "Truck is lost by the fusion"),
        ("head", "Truck is lost by the head"),
    ],
)
def test_probe_tells_which_stage_lost_a_class(lost_by, line):
    rows = probed(lost_by)
    assert any(text.startswith(line) for text in probe_verdicts(rows)), probe_verdicts(rows)
    assert [row.objects for row in rows] == [120] * 4
    assert probe_markdown(rows).count("\n") == 5


def test_probe_of_chance_is_near_one_half():
    camera, lidar = probed("encoders")[:2]
    for row in (camera, lidar):
        assert abs(row.right - 0.5) < 0.15


def test_an_undetected_object_is_told_wrong():
    probe, places = Probe(CLASSES), cell_centers((16, 16), [0, -8, 0, 16, 8, 1])
    nothing = np.zeros((0, 7)), np.zeros(0), np.zeros(0, dtype=int)
    box = np.array([[4, 0, 0, 3, 2, 1, 0.0]])
    for name in CLASSES * 4:
        tokens = [np.full((len(places), 2), float(name == "Car"))] * 3
        for _ in range(2):
            probe.add((places, tokens), box, [name], nothing)
    *stages, head = probe.rows()
    assert head.right == 0 and all(stage.right == 1 for stage in stages)


def test_probe_of_a_single_class_has_no_rows():
    probe, places = Probe(CLASSES), cell_centers((2, 2), [0, -8, 0, 16, 8, 1])
    box = np.array([[4, -4, 0, 9, 9, 1, 0.0]])
    nothing = np.zeros((0, 7)), np.zeros(0), np.zeros(0, dtype=int)
    for _ in range(4):
        probe.add((places, [np.zeros((4, 2))] * 3), box, ["Car"], nothing)
    assert probe.rows() == []


def test_token_recorder_takes_what_the_first_operator_reads_and_the_last_blend_makes():
    model = Detector(SumFusion)
    model.blend = StreamBlend()
    streams = torch.randn(1, 15, 8), torch.randn(1, 15, 8)
    with TokenRecorder(model) as recorder:
        recorder._grid = (3, 5)
        model(*streams, None)
        blend = model.blend(*streams)
        places, found = recorder.tokens()
    assert places.shape == (15, 3)
    for stage, wanted in zip(found, (*streams, blend)):
        np.testing.assert_array_equal(stage, wanted[0].detach().numpy())


def test_probe_of_tokens_without_places_is_refused():
    with pytest.raises(ConfigError, match="--probe"):
        Probe(CLASSES).add(None, np.zeros((0, 7)), [], (np.zeros((0, 7)), np.zeros(0), np.zeros(0)))
