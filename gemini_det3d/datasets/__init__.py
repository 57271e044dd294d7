"""Data sets and their pipelines; importing this registers the pipeline steps."""

from . import transforms

__all__ = ["transforms"]
