"""A tree of three good frames."""

from __future__ import annotations

import pytest
from trees import make_tree


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")
