"""Do data sets, model and checkpoint mean the same streams, in one order?

All images are three channels wide, so a model takes any of them for another without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

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
    stated = _data_meta(checkpoint)
    targets = stated.get("targets")
    target = targets[0] if isinstance(targets, (list, tuple)) and targets else None
    trained = _domains(stated.get("sources"), target)
    if domains is None:
        return
    if trained is not None and trained != domains:
        fault = f"was trained to translate {trained}, in this order; the config's data sets have "
        raise FormatError(name, f"{fault}{domains}")


def check_modalities(checkpoint: Mapping, modalities: Any, name: Any) -> None:
    """Refuse a segmentor's checkpoint whose streams are not the model's, in order.

    Args:
        checkpoint: With ``meta``, where a trained segmentor's data set states its ``modalities``.
        modalities: Of the model; None: it has none.
        name: Of the file, for the error.

    Raises:
        FormatError: They differ.
    """
    stated = _data_meta(checkpoint).get("modalities")
    if not isinstance(stated, (list, tuple)) or modalities is None:
        return
    if tuple(stated) == tuple(modalities):
        return
    fault = (
        f"was trained on {', '.join(map(str, stated))}, in this order; the config's model reads "
        f"{', '.join(modalities)}"
    )
    raise FormatError(name, fault)


def check_read_modalities(datasets: Mapping[str, Any], model: nn.Module) -> None:
    """Refuse data sets whose modalities are not the segmentor's, in order.

    A checkpoint states those of the data set, and they are then taken for the model's.

    Args:
        datasets: Data sets that are built, by the name of their loader.
        model: That reads them; one without modalities is not asked.

    Raises:
        FormatError: They differ.
    """
    read = getattr(model, "modalities", None)
    for loader, dataset in datasets.items() if read else ():
        for leaf in leaf_datasets(dataset):
            given = getattr(leaf, "modalities", None)
            if given is not None and tuple(given) != tuple(read):
                fault = f"gives {', '.join(given)}; model.modalities are {', '.join(read)}"
                raise FormatError(f"{loader}.dataset.modalities", f"{fault}: both need one list")


def _data_meta(checkpoint: Mapping) -> Mapping:
    """What a training states of its data set; empty where that is no mapping."""
    stated = (checkpoint.get("meta") or {}).get("dataset_meta")
    return stated if isinstance(stated, Mapping) else {}


def _domains(sources: Any, target: Any) -> Domains | None:
    if not isinstance(sources, (list, tuple)) or not isinstance(target, str):
        return None
    return Domains(tuple(map(str, sources)), target)
