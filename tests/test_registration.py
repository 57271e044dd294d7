"""Names in the registries: ours again is fine, somebody else's is never replaced."""

from __future__ import annotations

import pytest
from mmengine.registry import Registry

from gemini_det3d.registration import register


@pytest.fixture
def registry():
    return Registry("thing", scope="host")


def a_class(module, name="SegFlip"):
    return type(name, (), {"__module__": module})


def test_register_builds_by_the_classes_name_or_a_given_one(registry):
    kind = a_class("ours")
    assert register(registry)(kind) is kind
    register(registry, "Other")(kind)
    assert registry.get("SegFlip") is registry.get("Other") is kind


def test_register_takes_the_same_class_imported_anew(registry):
    old, new = a_class("ours"), a_class("ours")
    register(registry)(old)
    register(registry)(new)
    assert registry.get("SegFlip") is new


def test_register_refuses_to_replace_another_plugins_class_and_names_both(registry):
    foreign = a_class("theirs.flips")
    registry.register_module(module=foreign)
    with pytest.raises(KeyError, match=r"host's thing, by theirs\.flips\.SegFlip; ours\.SegFlip"):
        register(registry)(a_class("ours"))
    assert registry.get("SegFlip") is foreign
