"""This plug-in's scope in mmdet3d's registries, for twins that carry mmdet3d's own names.

``dict(type="LoadPointsFromFile", _scope_="gemini_det3d")`` builds our checked loader, while tools
that look for the name, such as mmdet3d's inferencers, find it. Names that are not ours are
mmdet3d's.
"""

from __future__ import annotations

from mmdet3d.registry import TRANSFORMS as PARENT
from mmengine.registry import Registry

__all__ = ["SCOPE", "TRANSFORMS"]

SCOPE = "gemini_det3d"
TRANSFORMS = PARENT.children.get(SCOPE) or Registry("transform", parent=PARENT, scope=SCOPE)
