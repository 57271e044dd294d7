"""KITTI object files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import Objects, read_objects, write_objects

CAR = "Car 0.25 1 -1.57 100 150 200 250 1.5 1.6 4.0 2.0 1.7 20.0 -1.47"


def _objects(count, with_score):
    rng = np.random.default_rng(5)
    return Objects(
        name=[f"Class{i}" for i in range(count)],
        truncated=rng.uniform(size=count).round(2),
        occluded=rng.integers(0, 4, count),
        alpha=rng.uniform(-3, 3, count),
        bbox=rng.uniform(0, 1000, (count, 4)),
        dimensions=rng.uniform(1, 5, (count, 3)),
        location=rng.uniform(-40, 70, (count, 3)),
        rotation_y=rng.uniform(-3, 3, count),
        score=rng.uniform(size=count) if with_score else None,
    )


@pytest.mark.parametrize("with_score", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_objects_survive_a_round_trip(tmp_path, with_score, count):
    objects = _objects(count, with_score)
    write_objects(tmp_path / "o.txt", objects)
    again = read_objects(tmp_path / "o.txt", with_score=with_score)
    assert len(again) == count
    np.testing.assert_array_equal(again.name, objects.name)
    np.testing.assert_array_equal(again.occluded, objects.occluded)
    for name in ("truncated", "alpha", "bbox", "dimensions", "location", "rotation_y", "score"):
        value, expected = getattr(again, name), getattr(objects, name)
        if expected is None:
            assert value is None
        else:
            np.testing.assert_allclose(value, expected, rtol=0, atol=5e-7)


def test_columns_are_read_where_kitti_puts_them(tmp_path):
    (tmp_path / "o.txt").write_text(CAR + " 0.9\n")
    car = read_objects(tmp_path / "o.txt")
    assert (car.name[0], car.truncated[0], car.occluded[0], car.alpha[0]) == ("Car", 0.25, 1, -1.57)
    assert car.bbox.tolist() == [[100, 150, 200, 250]]
    assert car.dimensions.tolist() == [[1.5, 1.6, 4.0]]
    assert car.location.tolist() == [[2.0, 1.7, 20.0]]
    assert (car.rotation_y[0], car.score[0]) == (-1.47, 0.9)


def test_real_labels_are_written_as_they_were_read(frames, tmp_path):
    for root, frame in frames:
        path = root / "label_2" / f"{frame}.txt"
        write_objects(tmp_path / "o.txt", read_objects(path))
        ours, theirs = (p.read_text().split() for p in (tmp_path / "o.txt", path))
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs):
            assert one == other or float(one) == float(other)


def test_empty_file_holds_no_objects(tmp_path):
    (tmp_path / "o.txt").write_text("\n")
    assert len(read_objects(tmp_path / "o.txt")) == 0
    assert read_objects(tmp_path / "o.txt").score is None
    assert read_objects(tmp_path / "o.txt", with_score=True).score.shape == (0,)


@pytest.mark.parametrize(
    ("text", "with_score", "fault"),
    [
        (CAR + "\n" + CAR[:-6], None, "line 2: 14 columns, expected 15 (labels have no score)"),
        ("Car 1 2", None, "line 1: 3 columns, expected 15 or 16"),
        (CAR + " 0.5\n" + CAR, None, "line 2: 15 columns, expected 16 (results end with a score)"),
        (CAR, True, "line 1: 15 columns, expected 16 (results end with a score)"),
        (CAR + " 0.5", False, "line 1: 16 columns, expected 15 (labels have no score)"),
        ("\n" + CAR.replace("20.0", "inf"), None, "line 2: 'inf' is not finite"),
        (CAR.replace("20.0", "far"), None, "line 1: 'far' is not a number"),
        (CAR.replace(" 1 ", " 1.5 "), None, "line 1: occluded '1.5' is no whole number"),
        (
            CAR.replace(" 1 ", " 2000 "),
            None,
            "line 1: occluded '2000' is too large (KITTI's go from -1 to 3)",
        ),
    ],
)
def test_bad_line_is_named_with_file_and_number(tmp_path, text, with_score, fault):
    path = tmp_path / "000003.txt"
    path.write_text(text)
    with pytest.raises(FormatError) as error:
        read_objects(path, with_score=with_score)
    assert str(error.value) == f"{path}: {fault}"


def test_select_takes_masks_and_indices_and_shares_nothing():
    objects = _objects(5, True)
    mask = np.array([True, False, False, True, False])
    by_mask, by_index = objects.select(mask), objects.select([0, 3])
    np.testing.assert_array_equal(by_mask.bbox, by_index.bbox)
    assert by_mask.name.tolist() == ["Class0", "Class3"]
    by_mask.location[:] = 0
    assert objects.location[0].any()
    assert len(objects.select([])) == 0


def test_objects_of_unequal_length_cannot_be_built():
    parts = vars(_objects(3, False))
    with pytest.raises(ValueError, match=r"bbox has shape \(2, 4\), expected \(3, 4\)"):
        Objects(**{**parts, "bbox": parts["bbox"][:2]})


def test_name_with_a_space_is_not_written(tmp_path):
    objects = _objects(1, False)
    objects.name = np.array(["Person sitting"])
    with pytest.raises(ValueError, match="Person sitting"):
        write_objects(tmp_path / "o.txt", objects)


def test_error_survives_the_way_out_of_a_worker_process():
    error = pickle.loads(pickle.dumps(FormatError("a.txt", "two\nlines")))
    assert str(error) == "a.txt: two lines"
    assert (error.path, error.fault) == ("a.txt", "two lines")
