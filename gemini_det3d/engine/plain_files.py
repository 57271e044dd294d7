"""mmengine's ``load``: pickles and YAML files of plain data only, by mmengine's own register.

mmengine reads info files with ``pickle.load`` and YAML with a loader that builds any Python object,
so a data set or a config from somebody else could run code. Writing is as before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import JsonHandler, PickleHandler, YamlHandler

from gemini_det3d.engine.leaf_datasets import leaf_configs, with_leaves
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.infos import preferred_infos
from gemini_det3d.formats.safe_pickle import parse_plain_pickle

UNNAMED = "a file that mmengine loads"
# Plain data either way; a config on a base of mmdet3d reads thirty files, and C is faster by far.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainPickleHandler(PickleHandler):
    """Pickles of plain containers and numpy arrays; see :mod:`gemini_det3d.formats.safe_pickle`."""

    def load_from_fileobj(self, file: BinaryIO, **kwargs: Any) -> Any:
        """Read.

        Raises:
            FormatError: It names anything else; nothing of it was run.
        """
        return parse_plain_pickle(file.read(), getattr(file, "name", UNNAMED))


class PlainYamlHandler(YamlHandler):
    """YAML of plain data."""

    def load_from_fileobj(self, file: TextIO, **kwargs: Any) -> Any:
        """Read.

        Raises:
            FormatError: It is no YAML, or has tags that would build objects.
        """
        try:
            return yaml.load(file, Loader=_LOADER)
        except (yaml.YAMLError, RecursionError) as error:
            raise FormatError(
                getattr(file, "name", UNNAMED), f"is no plain YAML ({error})"
            ) from error


class PlainJsonHandler(JsonHandler):
    """JSON, whose faults are one line."""

    def load_from_fileobj(self, file: TextIO, **kwargs: Any) -> Any:
        """Read.

        Raises:
            FormatError: It is no JSON, or nested too deeply.
        """
        try:
            return super().load_from_fileobj(file)
        except (ValueError, RecursionError) as error:
            raise FormatError(getattr(file, "name", UNNAMED), f"is no JSON ({error})") from error


def use_plain_files() -> None:
    """Let mmengine read pickles, YAML and JSON by these."""
    register_handler("json")(PlainJsonHandler)
    register_handler(["pkl", "pickle"])(PlainPickleHandler)
    register_handler(["yaml", "yml"])(PlainYamlHandler)


def annotation_file(dataset: Mapping) -> Path | None:
    """The info file that a data set's config names, the first one within wrappers."""
    dataset = leaf_configs(dataset)[0]
    if not isinstance(dataset.get("ann_file"), str) or not dataset["ann_file"]:
        return None
    return Path(dataset.get("data_root") or "") / dataset["ann_file"]


def with_preferred_infos(dataset: Mapping) -> dict:
    """A config whose data sets name the JSON twins of their info files, where there are such.

    Raises:
        FormatError: The twin is another pickle's.
    """
    return with_leaves(dataset, _naming_preferred_infos)


def _naming_preferred_infos(dataset: Mapping) -> Mapping:
    path = annotation_file(dataset)
    if path is None or preferred_infos(path) == path:
        return dataset
    return {**dataset, "ann_file": os.fspath(Path(dataset["ann_file"]).with_suffix(".json"))}
