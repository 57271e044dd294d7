"""The report of any training of mmengine, finished or running, alone or with others."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.reports.config_text import base_of, config_lines, diff_lines
from gemini_det3d.apis.reports.curves import Groups, curve_sections, group_by_seed
from gemini_det3d.apis.reports.page import facts_section
from gemini_det3d.apis.reports.trainings import Training, metrics_of, scored_metrics
from gemini_det3d.visualization.report import Listing, Section, Spread, Table, Text

_FROM_LOG = ("sys.platform", "Python", "GPU 0", "CUDA available", "PyTorch", "MMEngine", "OpenCV",
             "seed", "GPU number")  # fmt: skip


def training_sections(trainings: Sequence[Training], base: str | None = None) -> list[Section]:
    """What every report of trainings shows.

    Args:
        trainings: At least one.
        base: Name or path of the config that they come from; None: that of the file in the work
            directory, where this plug-in has one of its name.
    """
    groups = group_by_seed(trainings)
    sections: list[Section] = [_progress(groups), *curve_sections(groups)]
    sections += _metrics(groups)
    notes = [f"{t.name or t.folder.name}: {note}" for t in trainings for note in t.notes]
    if notes:
        sections.append(Text("What could not be read", notes))
    return [*sections, *_configs(groups, base)]


def lead(trainings: Sequence[Training]) -> list[str]:
    """How far they are, and since when nothing was logged."""
    open_ones = [t for t in trainings if not t.is_over]
    if not open_ones:
        return ["The training is over." if len(trainings) == 1 else "All trainings are over."]
    logs = [p for t in open_ones for p in t.folder.glob("*/vis_data/scalars.json")]
    last = max((path.stat().st_mtime for path in logs), default=None)
    when = "nothing is logged yet"
    if last is not None:
        when = f"the last line was logged at {datetime.fromtimestamp(last):%Y-%m-%d %H:%M:%S}"
    number = len(open_ones)
    count = f"{number} of {len(trainings)} trainings {'is' if number == 1 else 'are'}"
    count = "The training is" if len(trainings) == 1 else count
    return [f"{count} not over; {when}. Run the command again and reload for news."]


def _progress(groups: Groups) -> Table:
    rows = []
    for name, group in groups.items():
        done = [training.length for training in group]
        unit = "epochs" if group[0].scalars.by_epoch else "iterations"
        until = {limit for _, limit in done}
        limit = until.pop() if len(until) == 1 else None
        progress = ", ".join(dict.fromkeys(str(epoch) for epoch, _ in done))
        losses = [t.scalars.train[-1]["loss"] for t in group
                  if t.scalars.train and "loss" in t.scalars.train[-1]]  # fmt: skip
        rows.append([
            name or group[0].folder.name, len(group),
            f"{progress} of {limit} {unit}" if limit else f"{progress} {unit}",
            Spread.of(losses), _score(group, False), _score(group, True), _tested(group),
        ])  # fmt: skip
    head = ["training", "seeds", "done", "last loss", "last score", "best score", "test"]
    note = "A score is the mean of the main metrics of an evaluation; ± is one standard deviation."
    filled = [k for k in range(len(head)) if any(row[k] is not None for row in rows)]
    rows = [[row[k] for k in filled] for row in rows]
    return Table("Where it stands", [head[k] for k in filled], rows, digits=3, note=note)


def _score(group: Sequence[Training], is_best: bool) -> Spread | None:
    found = [[_mean(scored_metrics(metrics_of(line))) for line in t.scalars.val] for t in group]
    known = [[score for score in scores if score is not None] for scores in found]
    return Spread.of([max(s) if is_best else s[-1] for s in known if s])


def _tested(group: Sequence[Training]) -> Spread | None:
    scores = [_mean(scored_metrics(training.test)) for training in group]
    return Spread.of([score for score in scores if score is not None])


def _mean(metrics: dict[str, float]) -> float | None:
    values = [value for value in metrics.values() if value == value]
    return sum(values) / len(values) if values else None


def _metrics(groups: Groups) -> list[Section]:
    """All metrics of the last test and the last evaluation, a column for each group."""
    sections: list[Section] = []
    last = {id(t): metrics_of(t.scalars.val[-1]) if t.scalars.val else {}
            for group in groups.values() for t in group}  # fmt: skip
    for title, of in (("Test", lambda t: t.test), ("Last evaluation", lambda t: last[id(t)])):
        keys = list(dict.fromkeys(k for g in groups.values() for t in g for k in of(t)))
        if not keys:
            continue
        rows = [
            [key, *(Spread.of([of(t)[key] for t in g if key in of(t)]) for g in groups.values())]
            for key in keys
        ]
        head = ["metric", *(name or "value" for name in groups)]
        title = f"{title}: all metrics"
        sections.append(Table(title, head, rows, digits=4, is_folded=len(rows) > 12))
    return sections


def _configs(groups: Groups, base: str | None) -> list[Section]:
    """Diffs against the named config, of that against its bases, and between groups."""
    firsts = {name: group[0] for name, group in groups.items() if group[0].config}
    if not firsts:
        return []
    (name, first), *others = firsts.items()
    sections: list[Section] = []
    path = _named_config(first, base)
    if path is not None:
        sections += _against(path, first.config)
    lines = []
    for other, training in others:
        changes = diff_lines(first.config, training.config)
        lines += [f"{other}:", *(changes or ["  no change"]), ""]
    if lines:
        sections.append(_diff(f"Config: what the others change in {name}", lines[:-1]))
    lines = config_lines(first.config)
    return [*sections, Listing(f"Config: all of {name or 'it'}", lines, is_folded=True)]


def _named_config(training: Training, base: str | None) -> Path | None:
    if base is not None:
        return find_config(base)
    for path in sorted(training.folder.glob("*.py")):
        try:
            return find_config(path.stem)
        except ConfigError:
            continue
    return None


def _against(path: Path, config: Any) -> list[Section]:
    from mmengine.config import Config

    try:
        named, inherited = Config.fromfile(path).to_dict(), base_of(path)
    except Exception as error:  # a config of the user's, whatever is wrong: the rest is shown
        line = " ".join(str(error).split())
        return [Text(f"Config: {path.stem}", [f"It cannot be read any more: {line}"])]
    own = {key: value for key, value in config.items() if key not in ("launcher", "work_dir")}
    sections: list[Section] = [_diff(f"Config: changed in {path.stem}", diff_lines(named, own))]
    if inherited is not None:
        lines = diff_lines(inherited, named)
        sections.append(_diff(f"Config: what {path.stem} changes in its base", lines))
    return sections


def _diff(title: str, lines: Sequence[str]) -> Section:
    if not lines:
        return Text(title, ["Nothing."])
    return Listing(title, lines, is_diff=True, is_folded=len(lines) > 40)


def provenance(trainings: Sequence[Training]) -> list[Section]:
    """What the logs say of machines, versions and seeds, and how to train again."""
    rows = []
    for training in trainings:
        known = training.environment
        where = training.name or training.folder.name
        rows += [[where, key, known[key]] for key in _FROM_LOG if key in known]
        rows.append([where, "command", _command(training)])
    head = ["training", "what", "value"]
    title = "To train it again"
    note = "Machine and versions as mmengine's logs say."
    table = Table(title, head, rows, left=3, note=note, is_folded=len(trainings) > 4)
    return [table, facts_section(title="This report")]


def _command(training: Training) -> str:
    files = sorted(training.folder.glob("*.py"))
    config = files[0] if files else "CONFIG"
    command = ["gemini-det3d", "train", str(config), "--work-dir", "WORK_DIR"]
    seed = training.environment.get("seed")
    if seed and (training.config.get("randomness") or {}).get("seed") is None:
        command += ["--cfg-options", f"randomness.seed={seed}"]
    return shlex.join(command)
