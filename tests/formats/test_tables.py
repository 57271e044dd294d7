"""Tables: numbers as text, columns that line up."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.formats.tables import cell, markdown_table, text_table

ROWS = [["a", 1.234, float("nan")], ["long name", None, 7]]


def test_table_has_two_decimals_and_dashes():
    lines = markdown_table(["x", "y", "z"], ROWS).splitlines()
    assert lines == [
        "| x | y | z |",
        "| --- | ---: | ---: |",
        "| a | 1.23 | - |",
        "| long name | - | 7 |",
    ]


def test_bar_in_a_cell_does_not_end_it():
    assert markdown_table(["x"], [["a|b"]]).splitlines()[2] == "| a\\|b |"


@pytest.mark.parametrize("left", [1, 2])
def test_aligned_table_has_names_left_and_figures_right(left):
    lines = text_table(["x", "y", "z"], ROWS, left).splitlines()
    assert lines[1] == ["a          1.23  -", "a          1.23  -"][left - 1]
    assert lines[2].startswith("long name") and len(set(map(len, lines))) == 1
    assert lines[2][11:15] == ["   -", "-   "][left - 1]


@pytest.mark.parametrize("value", [np.float64(0.5), 0.5])
def test_digits_are_as_asked(value):
    assert cell(value, 3) == "0.500"
