"""This plug-in's scope in mmdet3d's registries, for twins that carry mmdet3d's own names.

``dict(type="LoadPointsFromFile", _scope_="gemini_det3d")`` builds our checked loader, while tools
that look for the name, such as mmdet3d's inferencers, find it. Names that are not ours are
mmdet3d's.
"""

from __future__ import annotations

from mmdet3d import registry as mmdet3d_registry
from mmengine.registry import Registry

__all__ = ["DATASETS", "SCOPE", "TRANSFORMS"]

SCOPE = "gemini_det3d"


def _child(parent: Registry) -> Registry:
    return parent.children.get(SCOPE) or Registry(parent.name, parent=parent, scope=SCOPE)


DATASETS = _child(mmdet3d_registry.DATASETS)
TRANSFORMS = _child(mmdet3d_registry.TRANSFORMS)
