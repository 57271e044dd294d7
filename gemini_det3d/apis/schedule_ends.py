"""Schedules that end with the training, and go on doing so when its length is changed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

# The key that says how long a training is -> whether it counts epochs.
_LENGTHS = {"train_cfg.max_epochs": True, "train_cfg.max_iters": False}
# Some schedules are given one step more, as a training's last step is one before its end.
_MOST_BEHIND = 1


def moved_ends(config: Mapping[str, Any], key: str, value: str) -> list[str]:
    """What goes with another length of the training, as ``KEY=VALUE``.

    Args:
        config: With its ``param_scheduler``.
        key: That changes; nothing goes with any but the length.
        value: Its new value.

    Returns:
        ``end`` and ``T_max`` of the schedules whose end was that of the training; those whose
        beginning lies behind the new end stay as they are, and so do stages, which is told.
    """
    if key not in _LENGTHS:
        return []
    part, _, name = key.partition(".")
    by_epoch, old, new = _LENGTHS[key], _whole((config.get(part) or {}).get(name)), _whole(value)
    if old is None or new is None:
        return []
    changes = []
    for place, schedule in _schedules(config):
        if "stage_lengths" in schedule:
            stages = schedule["stage_lengths"]
            print(f"--cfg-options {key}: {place} keeps its stage_lengths {stages}", file=sys.stderr)
        end, begin = schedule.get("end"), schedule.get("begin") or 0
        if not isinstance(end, int) or schedule.get("by_epoch", True) != by_epoch:
            continue
        moved = new + end - old
        if 0 <= end - old <= _MOST_BEHIND and moved > begin:
            changes.append(f"{place}.end={moved}")
            if schedule.get("T_max") == end - begin:
                changes.append(f"{place}.T_max={moved - begin}")
    return changes


def _schedules(config: Mapping[str, Any]) -> list[tuple[str, Mapping]]:
    """Of all optimisers, with their places."""
    found = config.get("param_scheduler") or []
    groups = found if isinstance(found, Mapping) and "type" not in found else {"": found}
    schedules = []
    for name, group in groups.items():
        start = f"param_scheduler.{name}" if name else "param_scheduler"
        if isinstance(group, Mapping):
            schedules.append((start, group))
        else:
            schedules += [(f"{start}.{i}", each) for i, each in enumerate(group or [])]
    return schedules


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
