"""--allow-missing of train and test is a change of the config that its hook reads."""

from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config, DictAction

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.launch import with_allowed_missing, with_skip_option


def options_of(argv: list[str]) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    return parser.parse_known_args(argv)[0].cfg_options


@pytest.mark.parametrize("before", [[], ["--cfg-options", "a.b=1"]])
@pytest.mark.parametrize("names", [["head"], ["head", "pts_backbone.blocks.0"]])
def test_names_reach_the_hook_of_a_config(before: list[str], names: list[str]) -> None:
    argv = ["config.py", *(word for name in names for word in ("--allow-missing", name)), *before]
    found = with_allowed_missing(argv)
    assert "--allow-missing" not in found and found.count("--cfg-options") == 1
    config = Config.fromfile(find_config("mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class"))
    config.merge_from_dict(options_of(found))
    assert list(config.default_hooks.checked_loading.allow_missing) == names


def test_value_may_stand_in_one_word_with_its_option() -> None:
    two = with_allowed_missing(["c.py", "--allow-missing", "head", "--allow-missing", "neck"])
    assert with_allowed_missing(["c.py", "--allow-missing=head", "--allow-missing=neck"]) == two
    assert with_skip_option(["c.py", "--skip-bad=3"]) == with_skip_option(
        ["c.py", "--skip-bad", "3"]
    )
    with pytest.raises(ConfigError, match="--skip-bad needs a whole number, got 'x'"):
        with_skip_option(["c.py", "--skip-bad=x"])


def test_arguments_without_it_stay_as_they_are() -> None:
    assert with_allowed_missing(["config.py", "c.pth"]) == ["config.py", "c.pth"]


@pytest.mark.parametrize("argv", [["--allow-missing"], ["--allow-missing", "--amp"]])
def test_name_that_is_missing_is_asked_for(argv: list[str]) -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        with_allowed_missing(argv)
