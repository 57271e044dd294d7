"""Do data sets and checkpoint translate from the same domains to the same one, in one order?

All domains are three channels wide, so a translator takes any for another without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gemini_det3d.engine.leaf_datasets import leaf_configs, leaf_datasets
from gemini_det3d.formats import FormatError


class Domains(NamedTuple):
    """What a translator reads and makes.

    Attributes:
        sources: In order.
        target: One.
    """

    sources: tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"{', '.join(self.sources)} to {self.target}"


def domains_of_config(settings: Any) -> Domains | None:
    """Those of a data set's config, of several the first; None where it does not translate."""
    leaves = leaf_configs(settings)
    return _domains(leaves[0].get("sources"), leaves[0].get("target")) if leaves else None


def check_domains(datasets: Mapping[str, Any]) -> Domains | None:
    """Refuse data sets of one run that translate between different domains.

    Args:
        datasets: Data sets that are built, by the name of their loader.

    Returns:
        Their domains; None where there are none.

    Raises:
        FormatError: Two data sets differ.
    """
    named = [
        (loader, _domains(getattr(leaf, "sources", None), getattr(leaf, "target", None)))
        for loader, dataset in datasets.items()
        for leaf in leaf_datasets(dataset)
    ]
    named = [(loader, domains) for loader, domains in named if domains is not None]
    for loader, domains in named:
        if domains != named[0][1]:
            fault = f"translates {domains}, {named[0][0]} {named[0][1]}; one model does one"
            raise FormatError(loader, fault)
    return named[0][1] if named else None


def check_trained_domains(checkpoint: Mapping, domains: Domains | None, name: Any) -> None:
    """Refuse a checkpoint that was trained to translate between other domains.

    Args:
        checkpoint: With ``meta``, where trainings state what their data set is.
        domains: Of the data set; None: it does not translate.
        name: Of the file, for the error.

    Raises:
        FormatError: They differ, or stand in another order.
    """
    stated = (checkpoint.get("meta") or {}).get("dataset_meta")
    if domains is None or not isinstance(stated, Mapping):
        return
    targets = stated.get("targets") or [None]
    trained = _domains(stated.get("sources"), targets[0])
    if trained is not None and trained != domains:
        fault = f"was trained to translate {trained}, in this order; the config's data sets have "
        raise FormatError(name, f"{fault}{domains}")


def _domains(sources: Any, target: Any) -> Domains | None:
    if not isinstance(sources, (list, tuple)) or not isinstance(target, str):
        return None
    return Domains(tuple(map(str, sources)), target)
