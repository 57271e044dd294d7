"""What a checkpoint was trained as, beside what the config builds.

Parameters fit by their shapes. What has no shape (the size of voxels, the number of heads, the
mean that is taken from pixels) may differ without an error, and the model then answers nonsense.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.config_text import parse_config_text

# Of training alone, of how it is computed, or of what is kept of the answers.
_NO_MATTER = frozenset(
    "_scope_ autocast_dtype backend class_weight corruption_loss_weight dropout drop_path_rate "
    "drop_rate frozen_stages init init_cfg noise_std non_blocking norm_eval pretrained "
    "requires_grad test_cfg train_cfg with_checkpoint with_cp".split()
)
_SHOWN = 3


def model_differences(meta: Mapping[str, Any], model: Mapping[str, Any], name: Any) -> str | None:
    """Where the model of a checkpoint's own config is another one.

    Args:
        meta: Of the checkpoint, where a training keeps its config as text (``cfg``); it is not run.
        model: Entry ``model`` of the config in use.
        name: Of the file.

    Returns:
        One phrase with the first differences; None where there are none, or nothing is known.
    """
    version = meta.get("mmdet3d_version")
    if isinstance(version, str) and version.startswith("0."):
        fault = f"was trained with mmdet3d {version}; before 1.0 boxes were turned otherwise"
        return f"{fault}, so detections may lie across the objects"
    text = meta.get("cfg")
    try:
        trained = parse_config_text(text, name).get("model") if isinstance(text, str) else None
    except FormatError:
        return None
    if not isinstance(trained, Mapping):
        return None
    before, now = dict(_leaves(trained)), dict(_leaves(model))
    other = [key for key in before if key in now and before[key] != now[key]]
    if not other:
        return None
    shown = [f"model.{key}={before[key]} (now {now[key]})" for key in other[:_SHOWN]]
    more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
    return f"was trained with {', '.join(shown)}{more}; its answers may mean nothing here"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values, tuples as lists; of types only an operator's."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            is_operator = path.rpartition(".")[2] == "operator"
            if (
                key in _NO_MATTER
                or str(key).startswith("loss")
                or key == "type"
                and not is_operator
            ):
                continue
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)) and any(isinstance(each, Mapping) for each in node):
        for number, each in enumerate(node):
            yield from _leaves(each, f"{path}.{number}")
    else:
        yield path, _plain(node)


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
