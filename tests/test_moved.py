"""Modules that moved are found under their former names, and are the same."""

from __future__ import annotations

import importlib
import sys

import pytest

from gemini_det3d.moved import MOVED, new_name


@pytest.mark.parametrize("former", sorted(MOVED))
def test_former_name_is_the_same_module(former):
    importlib.import_module(former.rpartition(".")[0])
    sys.modules.pop(former, None)
    with pytest.warns(DeprecationWarning, match=f"{former} is now {MOVED[former]}"):
        module = importlib.import_module(former)
    assert module is importlib.import_module(MOVED[former])
    assert module.__spec__.name == MOVED[former]


def test_submodule_of_a_former_name_is_not_loaded_twice():
    with pytest.warns(DeprecationWarning):
        from gemini_det3d.datasets.synthetic.resumable import Made
    from gemini_det3d.worlds.resumable import Made as Same

    assert Made is Same


def test_other_names_are_left_alone():
    assert new_name("gemini_det3d.datasets.synthetics") is None
    assert new_name("gemini_det3d.datasets.synthetic.a.b") == "gemini_det3d.worlds.a.b"
