"""Steps for several models at once."""

from __future__ import annotations

import threading

import pytest

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.side_by_side import side_by_side


def test_steps_run_at_once_and_share_the_cores(tmp_path):
    both = threading.Barrier(2, timeout=20)  # passes only when both steps are under way
    seen = {}

    def step(name, config, position, environment):
        both.wait()
        seen[name] = (position, int(environment["OMP_NUM_THREADS"]))

    side_by_side(step, {"a": tmp_path, "b": tmp_path}, jobs=2)
    assert {name: position for name, (position, _) in seen.items()} == {"a": 0, "b": 1}
    assert min(threads for _, threads in seen.values()) >= 1


def test_one_job_takes_one_after_the_other_in_the_order_given(tmp_path):
    seen = []

    def step(name, config, position, environment):
        seen.append(name)

    side_by_side(step, {"b": tmp_path, "a": tmp_path, "c": tmp_path}, jobs=1)
    assert seen == ["b", "a", "c"]


def test_step_that_fails_is_an_error_after_all_have_ended(tmp_path):
    ended = []

    def step(name, config, position, environment):
        if name == "a":
            raise ConfigError("train.py failed")
        ended.append(name)

    with pytest.raises(ConfigError, match=r"train\.py failed"):
        side_by_side(step, {"a": tmp_path, "b": tmp_path}, jobs=1)
    assert ended == ["b"]
