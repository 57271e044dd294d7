"""Grids of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.visualization import draw_image_grid


def plain(value, size=(8, 16)):
    return np.full((*size, 3), value, dtype=np.uint8)


def test_each_picture_lies_in_its_row_and_column():
    rows = [[plain(10), plain(60), plain(110)], [plain(160), plain(210), plain(250)]]
    grid = draw_image_grid(rows, ["a", "b", "c"], cell_px=32)
    assert grid.shape == (28 + 2 * 20 + 4, 3 * 36 + 4, 3)
    for row in range(2):
        for column in range(3):
            top, left = 28 + 20 * row, 4 + 36 * column
            part = grid[top + 2 : top + 14, left + 2 : left + 30]
            assert (part == rows[row][column][0, 0, 0]).all()


def test_titles_stand_over_their_columns():
    grid = draw_image_grid([[plain(0)] * 2], ["", "title"], cell_px=64)
    head = grid[:28] < 128
    assert not head[:, :68].any() and head[:, 72:136].any()


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 titles"):
        draw_image_grid([[plain(0)]], ["a", "b"])
