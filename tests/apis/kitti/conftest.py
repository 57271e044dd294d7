"""A tree of three good frames."""

from __future__ import annotations

import pytest
from trees import make_tree


@pytest.fixture(scope="module", autouse=True)
def _converter_is_warm(warm_programs):
    """tests/test_end_to_end.py has it in a process of its own."""


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")
