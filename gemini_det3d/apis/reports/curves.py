"""Curves of trainings: losses, learning rate, gradients, scores, speed, memory.

Of one training, a chart shows what belongs together (all terms of the loss). Of several, a chart
shows one quantity, a line each; those that differ in their seed alone are one line, the mean, in a
band of one standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gemini_det3d.apis.reports.trainings import Training, main_metrics, metrics_of
from gemini_det3d.apis.scalars import Line, column, thin_out
from gemini_det3d.formats.text import without_shared_words
from gemini_det3d.visualization.report import Chart, Charts, Section, Series, Spread

_MOST_POINTS = 1000  # of a line
Groups = dict[str, list[Training]]
Curve = tuple[list[float], list[float]]


def group_by_seed(trainings: Sequence[Training]) -> Groups:
    """Trainings by their name without the seed, what all names begin with left out."""
    groups: Groups = {}
    for training in trainings:
        groups.setdefault(training.group, []).append(training)
    if len(groups) == 1:
        return groups
    return dict(zip(without_shared_words(list(groups)), groups.values()))


def curve_sections(groups: Groups) -> list[Section]:
    """Charts of all that was logged; nothing without a log."""
    trainings = [training for group in groups.values() for training in group]
    keys = list(dict.fromkeys(k for t in trainings for line in t.scalars.train for k in line))
    losses = [key for key in keys if "loss" in key]
    rates = [key for key in keys if key.split(".")[-1] == "lr"]
    speed = [
        _chart(groups, "samples a second", _samples_a_second, "samples / s"),
        _chart(groups, "time of an iteration", _of("time"), "s"),
        _chart(groups, "time waiting for data", _of("data_time"), "s"),
        _chart(groups, "memory of the GPU", _of("memory"), "MB"),
    ]
    other = [k for k in keys if k.startswith(("acc", "decode.acc")) or ".acc" in k]
    sections = [
        ("Loss", _together(groups, "loss by term", losses, "loss")),
        ("Scores over the training", _scores(groups)),
        ("Learning rate", _together(groups, "learning rate", rates, "learning rate")),
        ("Gradients", [_chart(groups, "norm of the gradients", _of("grad_norm"), "norm")]),
        ("Accuracy while training", _together(groups, "accuracy", other, "accuracy")),
        ("Speed and memory", speed),
    ]
    thinned = any(len(t.scalars.train) > _MOST_POINTS for t in trainings)
    note = f"Means of neighbouring lines, {_MOST_POINTS} points at most." if thinned else ""
    shown = [(title, [chart for chart in charts if chart]) for title, charts in sections]
    return [Charts(title, charts, note=note) for title, charts in shown if charts]


def _together(groups: Groups, title: str, keys: Sequence[str], unit: str) -> list[Chart | None]:
    """One training: the whole and its parts; several: a chart a key."""
    if len(groups) > 1:
        return [_chart(groups, key, _of(key), unit) for key in keys]
    charts = []
    whole = [key for key in keys if key == "loss"]
    for name, chosen in (("loss", whole), (title, [k for k in keys if k not in whole])):
        lines = [line for key in chosen for line in _lines(groups, _of(key), key)]
        charts.append(Chart(name, lines, "iteration", unit) if lines else None)
    return charts


def _chart(
    groups: Groups, title: str, get: Callable[[Training], Curve], unit: str, x: str = "iteration"
) -> Chart | None:
    lines = _lines(groups, get, title)
    return Chart(title, lines, x, unit) if lines else None


def _lines(groups: Groups, get: Callable[[Training], Curve], title: str) -> list[Series]:
    found = [
        _line(name if len(groups) > 1 else title, [get(training) for training in group])
        for name, group in groups.items()
    ]
    return [line for line in found if line.x]


def _line(name: str, curves: Sequence[Curve]) -> Series:
    """Mean and deviation over seeds, as far as each that has begun has a value."""
    values = [dict(zip(*curve)) for curve in curves if curve[0]]
    if len(curves) == 1 or not values:
        return Series(name, *thin_out(*curves[0], _MOST_POINTS))
    steps = sorted(set(values[0]).intersection(*values))
    found = [Spread.of([each[step] for each in values]) or Spread(math.nan) for step in steps]
    places, means = thin_out(steps, [s.mean for s in found], _MOST_POINTS)
    deviations = [math.nan if s.deviation is None else s.deviation for s in found]
    return Series(name, places, means, thin_out(steps, deviations, _MOST_POINTS)[1])


def _of(key: str) -> Callable[[Training], Curve]:
    return lambda training: column(training.scalars.train, key)


def _samples_a_second(training: Training) -> Curve:
    batch = training.samples_per_step
    steps, seconds = column(training.scalars.train, "time")
    if batch is None:
        return [], []
    return steps, [batch / s if s > 0 else float("nan") for s in seconds]


def _scores(groups: Groups) -> list[Chart | None]:
    """What is evaluated between epochs."""
    trainings = [training for group in groups.values() for training in group]
    has_epochs = any(training.scalars.by_epoch for training in trainings)
    lines: dict[int, list[Line]] = {}
    for training in trainings:
        metrics = [({"step": v.get("step", 0.0)}, metrics_of(v)) for v in training.scalars.val]
        lines[id(training)] = [{**step, **main_metrics(found)} for step, found in metrics]
    keys = dict.fromkeys(k for ls in lines.values() for line in ls for k in line if k != "step")

    def get(key: str) -> Callable[[Training], Curve]:
        return lambda training: column(lines[id(training)], key)

    x = "epoch" if has_epochs else "iteration"
    if len(groups) > 1:
        return [_chart(groups, key, get(key), "score", x) for key in keys]
    series = [line for key in keys for line in _lines(groups, get(key), key)]
    return [Chart(f"scores by {x}", series, x, "score", with_marks=True)] if series else []
