"""Taskonomy as pairs for translation: some domains of a view in, another one out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import DOMAINS, find_domain, read_list
from gemini_det3d.registration import register


@register(DATASETS)
class TaskonomyDataset(BaseDataset):
    """Views of a Taskonomy tree, or of a synthetic one in its layout.

    Args:
        data_root: Folder that holds the domains' folders.
        ann_file: List of the split's views, relative to ``data_root`` unless absolute; see
            :func:`gemini_det3d.formats.taskonomy.read_list`.
        sources: Domains to translate from, one or more.
        target: Domain to translate to.
        num_views: Take only the first so many views of the list, as the protocol's 1000 of training
            and 500 of validation; None: all.
        **kwargs: As mmengine's ``BaseDataset`` (``pipeline``, ``indices``, ``test_mode``, ...).

    Raises:
        ValueError: No list of sources, a domain that Taskonomy does not have, or a target among
            the sources.
        FormatError: The list or a file of a view is missing; the message names it.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        sources: Sequence[str],
        target: str,
        num_views: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(sources, str):
            raise ValueError(f"sources={sources!r} must be a list: [{sources!r}]")
        self.sources, self.target = tuple(sources), target
        unknown = [name for name in (*self.sources, target) if name not in DOMAINS]
        if unknown or not self.sources:
            raise ValueError(f"sources={self.sources}, target={target!r}: must be one or more of "
                             f"{', '.join(DOMAINS)}")  # fmt: skip
        if target in self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources={self.sources}, target={target!r}: a domain stands twice")
        if num_views is not None and num_views < 1:
            raise ValueError(f"num_views={num_views} must be 1 or more")
        self.num_views = num_views
        kwargs.setdefault("metainfo", {"sources": self.sources, "targets": (target,)})
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Paths of every view; each file must be there."""
        stems = read_list(self.ann_file)[: self.num_views]
        views = [
            {
                "stem": stem,
                "sources": self.sources,
                "source_paths": [str(find_domain(self.data_root, stem, d)) for d in self.sources],
                "target": self.target,
                "target_path": str(find_domain(self.data_root, stem, self.target)),
            }
            for stem in stems
        ]
        paths = (path for view in views for path in (*view["source_paths"], view["target_path"]))
        absent = [path for path in paths if not Path(path).is_file()]
        if absent:
            more = f" (and {len(absent) - 1} more files of {self.ann_file})" if absent[1:] else ""
            raise FormatError(absent[0], f"no such file{more}")
        return views
