"""The ablation's table, verdict and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemini_det3d.apis.ablation.gates import FrameGates
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.tables import cell, markdown_table
from gemini_det3d.geometry.boxes import box_corners, project_points

# A fall of AP below this many points is called none: a few frames make no finer difference.
_MATTERS = 2.0


@dataclass(frozen=True)
class AblationRow:
    """One condition.

    Attributes:
        name: Of the condition.
        score: AP, percent.
        per_part: By class.
        feature_change: Mean over frames of |f - f_real| / |f_real| of what the head reads.
    """

    name: str
    score: float
    per_part: dict[str, float]
    feature_change: float


def verdicts(rows: Sequence[AblationRow]) -> list[str]:
    """One line for the camera, one for the LiDAR.

    The camera is judged by the shuffled image: its pixels are as rich as real ones, but say
    nothing about the scene, so only what the detector reads about the scene is lost.
    """
    scores = {row.name: row.score for row in rows}
    lines = []
    for sensor, name in (("camera", "image shuffled"), ("LiDAR", "LiDAR absent")):
        loss = scores["real"] - scores[name]
        if loss >= _MATTERS:
            word = "matters"
        elif loss > -_MATTERS:
            word = "does not matter"
        else:
            word = "harms"
        change = f"{scores['real']:.2f} -> {scores[name]:.2f} AP, {-loss:+.2f}"
        lines.append(f"the {sensor} {word}: {name} {change}")
    return lines


def markdown(rows: Sequence[AblationRow], gates: Sequence[dict]) -> str:
    """Tables of conditions and of gates."""
    table = markdown_table(*condition_cells(rows))
    return f"{table}\n\n{markdown_table(*gate_cells(gates), left=2)}" if gates else table


def condition_cells(rows: Sequence[AblationRow]) -> tuple[list[str], list[list[object]]]:
    """Names of the columns and a row for each condition."""
    parts = list(dict.fromkeys(part for row in rows for part in row.per_part))
    shown = parts if len(parts) > 1 else []
    head = ["condition", "AP", "change", *shown, "features change by"]
    cells: list[list[object]] = [
        [
            row.name,
            row.score,
            f"{row.score - rows[0].score:+.2f}",
            *(row.per_part[part] for part in shown),
            cell(row.feature_change, 3),
        ]
        for row in rows
    ]
    return head, cells


def gate_cells(gates: Sequence[dict]) -> tuple[list[str], list[list[object]]]:
    """Names of the columns and rows of the gates' means."""
    head = ["gate by", "of", "tokens", "camera reads LiDAR", "LiDAR reads camera"]
    cells: list[list[object]] = [
        [
            row["by"],
            row["of"],
            row["tokens"],
            *(cell(row[f"{s}_reads"], 3) for s in ("camera", "lidar")),
        ]
        for row in gates
    ]
    return head, cells


def chart(
    path: Path,
    image: np.ndarray | None,
    matrix: np.ndarray | None,
    gates: FrameGates,
    boxes: np.ndarray,
) -> None:
    """Draw the LiDAR's gate over the image and from above.

    Args:
        path: PNG to write.
        image: ``(H, W, 3)`` uint8 RGB, or None without a single image.
        matrix: ``(3, 4)`` point -> pixel, with the image.
        gates: Of the frame.
        boxes: ``(G, 7)`` truth, drawn as outlines from above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8.5 if image is not None else 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if image is not None else 1, 1, squeeze=False)[:, 0]
    style = dict(c=gates.lidar_reads, cmap="viridis", vmin=0, vmax=1, linewidths=0)
    if image is not None and matrix is not None:
        pixels, _ = project_points(gates.positions, matrix)
        panels[0].imshow((image * 0.6).astype(np.uint8))
        panels[0].scatter(pixels[:, 0], pixels[:, 1], s=5, **style)
        panels[0].set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0), xticks=[], yticks=[])
    above = panels[-1]
    marks = above.scatter(-gates.positions[:, 1], gates.positions[:, 0], s=6, **style)
    for corners in box_corners(boxes)[:, [0, 1, 2, 3, 0]]:
        above.plot(-corners[:, 1], corners[:, 0], color="#c0392b", linewidth=1)
    above.set(xlabel="to the right (m)", ylabel="to the front (m)", aspect="equal")
    figure.colorbar(marks, ax=list(panels), shrink=0.6, label="how much the LiDAR reads the camera")
    write_whole(path, lambda file: figure.savefig(file, format="png"))
