"""KITTI's rules, by hand: what counts, what is excused, what costs."""

from __future__ import annotations

import math

import pytest
from kitti_cars import cars, evaluate, join

from gemini_det3d.formats.kitti import Objects

LEVELS = ("easy", "moderate", "hard")


def test_false_alarms_in_dont_care_regions_are_excused_in_the_image_only():
    truth = cars(1)
    found = cars(2, score=[0.5, 0.9])
    region = cars(2, name="DontCare").select([1])
    region.bbox[0, 3] = 45.0
    covered = evaluate(join(truth, region), found)
    for metric, without, with_region in (("bbox", 50.0, 100.0), ("aos", 50.0, 100.0)):
        assert evaluate(truth, found).find("Car", metric, "easy").ap40 == without
        assert covered.find("Car", metric, "easy").ap40 == with_region
    assert covered.find("Car", "bev", "easy").ap40 == 50.0
    assert covered.find("Car", "3d", "easy").ap40 == 50.0
    region.bbox[0, 3] = 40.0  # two thirds of the detection: not beyond 0.7
    assert evaluate(join(truth, region), found).find("Car", "bbox", "easy").ap40 == 50.0


@pytest.mark.parametrize(
    "name, neighbour, stranger",
    [("Car", "Van", "Truck"), ("Pedestrian", "Person_sitting", "Cyclist")],
)
def test_detections_on_a_neighbouring_class_are_neither_right_nor_wrong(name, neighbour, stranger):
    found = cars(2, name=name, score=[0.5, 0.9])
    for other, expected in ((neighbour, 100.0), (stranger, 50.0)):
        truth = join(cars(2, name=name).select([0]), cars(2, name=other).select([1]))
        assert evaluate(truth, found, (name,)).find(name, "3d", "easy").ap40 == expected


@pytest.mark.parametrize("level, limit", [("easy", 40), ("moderate", 25), ("hard", 25)])
def test_boxes_must_be_higher_than_the_limit_and_detections_at_least_as_high(level, limit):
    def with_height(objects, height):
        objects.bbox[:, 3] = height
        return objects

    truth, found = with_height(cars(1), limit), with_height(cars(1, score=0.5), limit)
    assert evaluate(truth, found).find("Car", "3d", level).num_truth == 0
    truth = with_height(truth, limit + 0.5)
    assert evaluate(truth, found).find("Car", "3d", level).ap40 == 100.0
    found = with_height(found, limit - 0.01)
    assert evaluate(truth, found).find("Car", "3d", level).ap40 == 0.0
    # A low detection with nothing under it is no false alarm either.
    stray = cars(2, score=[0.5, 0.9]).select([1])
    both = join(with_height(cars(1, score=0.5), 60), with_height(stray, limit - 0.01))
    assert evaluate(cars(1), both).find("Car", "3d", level).ap40 == 100.0


@pytest.mark.parametrize(
    "field, values",
    [("occluded", [0, 1, 2]), ("truncated", [0.15, 0.30, 0.50])],
)
def test_occlusion_and_truncation_count_up_to_the_limit(field, values):
    for level, limit in zip(LEVELS, values):
        at, beyond = cars(1, **{field: [limit]}), cars(1, **{field: [limit + 1]})
        assert evaluate(at, Objects.empty(True)).find("Car", "3d", level).num_truth == 1
        assert evaluate(beyond, Objects.empty(True)).find("Car", "3d", level).num_truth == 0


def test_detections_on_ignored_boxes_are_no_false_alarms():
    truth = cars(2, occluded=[0, 3])
    found = cars(2, score=[0.5, 0.9])
    assert evaluate(truth, found).find("Car", "3d", "hard").ap40 == 100.0
    assert evaluate(truth.select([0]), found).find("Car", "3d", "hard").ap40 == 50.0


@pytest.mark.parametrize("turn, share", [(0.0, 1.0), (math.pi / 2, 0.5), (math.pi, 0.0)])
def test_orientation_similarity_is_half_of_one_plus_the_cosine(turn, share):
    found = cars(3, score=0.5)
    found.alpha += turn
    result = evaluate(cars(3), found)
    assert result.find("Car", "aos", "easy").ap40 == pytest.approx(100 * share)
    assert result.find("Car", "bbox", "easy").ap40 == 100.0
