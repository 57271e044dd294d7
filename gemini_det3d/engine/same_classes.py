"""Do data sets, head and checkpoint mean one class by one number?

Labels are numbers. Nothing in mmengine compares the lists that name them, and where two of them
differ a training learns, or a test counts, one class in another's place without an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmdet3d.datasets import Det3DDataset
from mmdet3d.registry import DATASETS
from torch import nn

from gemini_det3d.engine.leaf_datasets import leaf_configs, leaf_datasets
from gemini_det3d.formats import FormatError

_HEADS = ("pts_bbox_head", "bbox_head", "decode_head")
_FORMER_KEY = "CLASSES"  # of mmdet3d before 1.1, which later ones read past


class HeadClasses(NamedTuple):
    """What a head tells apart.

    Attributes:
        head: Its name in the model.
        count: How many classes.
        names: Theirs, in the order of the labels; empty where a head does not know them.
    """

    head: str
    count: int
    names: tuple[str, ...] = ()


def classes_of_head(model: nn.Module) -> HeadClasses | None:
    """What the head of a detector or segmentor tells apart; None for other models."""
    for name in _HEADS:
        head = getattr(model, name, None)
        count = getattr(head, "num_classes", None)
        if isinstance(count, int):
            return HeadClasses(name, count)
        if isinstance(count, Sequence):  # of a centre head, task by task
            flat = tuple(str(each) for task in head.class_names for each in task)  # type: ignore
            return HeadClasses(name, len(flat), flat)
    return None


def check_class_names(settings: Any) -> None:
    """Refuse classes that a data set of mmdet3d does not know.

    Args:
        settings: Config of a data set or of a wrapper.

    Raises:
        FormatError: ``metainfo`` names an unknown class, or names them under a former key.
    """
    for leaf in leaf_configs(settings):
        metainfo = leaf.get("metainfo")
        if not isinstance(metainfo, Mapping):
            continue
        if _FORMER_KEY in metainfo and "classes" not in metainfo:
            fault = f"metainfo.{_FORMER_KEY} is read by nothing; its name is metainfo.classes"
            raise FormatError("dataset", fault)
        kind = _class_of(leaf)
        is_theirs = kind is not None and issubclass(kind, Det3DDataset)
        known = tuple(kind.METAINFO.get("classes", ())) if is_theirs else ()
        unknown = [name for name in metainfo.get("classes") or () if name not in known]
        if known and unknown:
            fault = (
                f"metainfo.classes names {', '.join(map(str, unknown))}; {leaf['type']} knows "
                f"{', '.join(known)}"
            )
            raise FormatError("dataset", fault)


def check_data(datasets: Mapping[str, Any], model: nn.Module) -> tuple[str, ...] | None:
    """Refuse data sets of one run that number their classes in different ways.

    Args:
        datasets: Data sets that are built, by the name of their loader.
        model: Whose head has to tell them apart.

    Returns:
        Names of the classes in the order of their labels; None where there are none.

    Raises:
        FormatError: Two data sets, a data set and its info file, or data set and head differ.
    """
    named = [
        (loader, tuple(map(str, leaf.metainfo["classes"])))
        for loader, dataset in datasets.items()
        for leaf in leaf_datasets(dataset)
        if _numbers_as_its_infos(leaf, loader) and leaf.metainfo.get("classes")
    ]
    if not named:
        return None
    (first, classes), *others = named
    for loader, found in others:
        if found != classes:
            fault = f"its classes are {', '.join(found)}, those of {first} {', '.join(classes)}"
            raise FormatError(loader, f"{fault}; labels are numbers, so both need one list")
    head = classes_of_head(model)
    if head is not None:
        check_head(head, classes, first)
    return classes


def check_head(head: HeadClasses, classes: Sequence[str], source: Any) -> None:
    """Refuse a head that tells other classes apart than there are.

    Args:
        head: Of :func:`classes_of_head`.
        classes: Names in the order of the labels.
        source: Where they come from, for the error.

    Raises:
        FormatError: It does.
    """
    if head.count != len(classes):
        fault = f"names {len(classes)} classes ({', '.join(classes)}), model.{head.head} tells "
        raise FormatError(source, f"{fault}{head.count} apart")
    if head.names and head.names != tuple(classes):
        fault = f"its classes are {', '.join(classes)}, the tasks of model.{head.head} have "
        raise FormatError(source, f"{fault}{', '.join(head.names)}; both need one order")


def check_trained_classes(checkpoint: Mapping, classes: Sequence[str] | None, name: Any) -> None:
    """Refuse a checkpoint that was trained on other classes, or in another order.

    Args:
        checkpoint: With ``meta``, where trainings state their classes.
        classes: Of the data set; none: it names none.
        name: Of the file, for the error.

    Raises:
        FormatError: They differ.
    """
    stated = trained_classes(checkpoint.get("meta") or {})
    if not stated or not classes or tuple(stated) == tuple(classes):
        return
    fault = f"was trained on {', '.join(stated)}, in this order; the config's data sets have "
    raise FormatError(name, f"{fault}{', '.join(classes)}")


def trained_classes(meta: Mapping[str, Any]) -> list[str]:
    """Names of the classes that a checkpoint's ``meta`` states, in the order of its labels."""
    stated = meta.get("dataset_meta")
    sources = (stated if isinstance(stated, Mapping) else {}, {"classes": meta.get(_FORMER_KEY)})
    for source in sources:
        if isinstance(source.get("classes"), (list, tuple)):
            return [str(name) for name in source["classes"]]
    return []


def classes_of_config(settings: Any) -> tuple[str, ...]:
    """Names that a data set's config gives its labels, its own or those of its kind; may be none.

    Args:
        settings: Config of a data set or of a wrapper; of several the first counts.
    """
    for leaf in leaf_configs(settings):
        kind = _class_of(leaf)
        names = (leaf.get("metainfo") or {}).get("classes")
        names = names or getattr(kind, "METAINFO", {}).get("classes") or ()
        return tuple(map(str, names))
    return ()


def _class_of(settings: Mapping) -> Any:
    kind = settings.get("type")
    if not isinstance(kind, str):
        return kind
    return DATASETS.get(f"{settings['_scope_']}.{kind}" if settings.get("_scope_") else kind)


def _numbers_as_its_infos(leaf: Any, loader: str) -> bool:
    """Whether a data set states anything; its info file must number classes as mmdet3d reads it."""
    metainfo = getattr(leaf, "metainfo", None)
    if not isinstance(metainfo, Mapping):
        return False
    categories = metainfo.get("categories")
    known = tuple(getattr(type(leaf), "METAINFO", {}).get("classes", ()))
    if not isinstance(categories, Mapping) or not known:
        return True
    wrong = [
        f"{name} {number}"
        for name, number in categories.items()
        if number >= 0 and known[number : number + 1] != (name,)
    ]
    if wrong:
        read = ", ".join(f"{name} {number}" for number, name in enumerate(known))
        fault = (
            f"its metainfo.categories has {', '.join(wrong)}; {type(leaf).__name__} reads {read}"
        )
        raise FormatError(getattr(leaf, "ann_file", "") or loader, fault)
    return True
