"""Label maps are checked against the classes, and the numbering that would fit is named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import label_fault, read_labels, write_image

LABELS = np.array([[0, 3, 7], [1, 36, 2]], np.uint8)


@pytest.mark.parametrize(
    ("values", "start", "classes", "fault"),
    [
        ([0, 7, 40], 0, 40, r"holds 40; the 40 classes are 0 to 39 \(first_label=1 would fit\)"),
        ([0, 38], 1, 37, "holds 38; the 37 classes are 1 to 37, 255 is ignored"),
        ([0, 60, 128, 192, 200, 220, 250], 0, 40, "holds 60, 128, 192, 200, 220, ...; the 40"),
        ([0, 65535], 0, 40, "holds 65535; the 40 classes are 0 to 39"),
        ([-1, 3], 0, 40, "holds -1; the 40"),
    ],
)
def test_a_number_that_is_no_class_is_named(values, start, classes, fault):
    import re

    assert re.search(fault, label_fault(np.array(values), start, classes))


@pytest.mark.parametrize(
    ("values", "start"), [([0, 39, 255], 0), ([0, 1, 40, 255], 1), ([255], 0), ([], 0)]
)
def test_classes_and_what_is_ignored_are_no_fault(values, start):
    assert label_fault(np.array(values, dtype=int), start, 40) is None


def test_a_label_map_beyond_the_classes_names_its_file(tmp_path):
    write_image(tmp_path / "l.png", np.array([[0, 40]], dtype=np.uint8))
    with pytest.raises(FormatError, match=r"l\.png: holds 40; .*first_label=1 would fit"):
        read_labels(tmp_path / "l.png", 0, 40)
    assert read_labels(tmp_path / "l.png", 1, 40).tolist() == [[255, 39]]


@pytest.mark.parametrize("code", [None, 0, 1, "voc"])
def test_grey_label_map_with_alpha_has_one_channel(tmp_path, code):
    Image.fromarray(np.dstack([LABELS, np.full_like(LABELS, 255)]), "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png", 0, 37, code), LABELS)
