"""Data sets and their pipelines: synthetic worlds, and the steps that a pipeline names.

Nothing is imported here: the synthetic worlds need no mmdet3d, and making scenes should not wait
for it. The plug-in imports ``gemini_det3d.datasets.transforms``, which registers them.
"""

__all__: list = []
