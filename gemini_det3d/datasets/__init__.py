"""Data sets and the steps that a pipeline names.

The plug-in imports ``gemini_det3d.datasets.transforms``, which registers them.
"""

from gemini_det3d.moved import install

__all__: list = []

install()
