"""Findings of a check, and how many of them are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN_PER_FAULT = 3


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        level: ``'error'`` or ``'warning'``.
        file: Path relative to the tree.
        fault: What is wrong, in one line.
    """

    level: str
    file: str
    fault: str


def capped(findings: Sequence[Finding]) -> list[str]:
    """A line each, of many alike the first ones and how many more there are.

    Args:
        findings: Errors first.

    Returns:
        Lines; findings are alike when their faults differ in numbers and names only.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kind = re.sub(r"[\w./-]*\d[\w./-]*", "#", finding.fault)
        groups.setdefault((finding.level, kind), []).append(finding)
    lines = []
    for group in groups.values():
        lines += [f"{f.level:<8} {f.file}: {f.fault}" for f in group[:_SHOWN_PER_FAULT]]
        if len(group) > _SHOWN_PER_FAULT:
            more = len(group) - _SHOWN_PER_FAULT
            lines.append(f"{group[0].level:<8} ... and {more} more of this kind")
    return lines
