"""How much each stream reads of the other, token by token, gathered by class and by distance.

A gate of GeminiFusion lies between 0 (a token keeps to itself) and 1 (it reads only its twin);
see `GeminiFusion.gates`. Tokens are points or cells of the bird's-eye view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.geometry.boxes import as_box_sees

DISTANCES_M = (0.0, 10.0, 20.0, 30.0, 50.0, float("inf"))
BACKGROUND = "background"
_SAME_POINT_M = 1e-3


@dataclass(frozen=True)
class FrameGates:
    """Gates of one frame, of the last operator that knows where its tokens are.

    Attributes:
        positions: ``(N, 3)`` metres, the tokens that both sensors see.
        camera_reads: ``(N,)`` mean over heads: how much the camera's stream reads of the LiDAR's.
        lidar_reads: ``(N,)`` the other way round.
        cell_m: Sides of the cells, along x and y, that tokens of a map stand for; None: tokens are
            points.
    """

    positions: np.ndarray
    camera_reads: np.ndarray
    lidar_reads: np.ndarray
    cell_m: tuple[float, float] | None = None

    def at_points(self, points: np.ndarray) -> np.ndarray:
        """How much each point reads of the camera: its own gate, or that of its cell.

        Args:
            points: ``(N, 3 or more)`` metres, among which the tokens are.

        Returns:
            ``(N,)``; NaN where it has no token, so that it reads nothing.
        """
        from scipy.spatial import cKDTree

        gates = np.full(len(points), np.nan)
        if len(points) and len(self.positions):
            axes = 3 if self.cell_m is None else 2
            scale = np.ones(axes) if self.cell_m is None else 2 / np.array(self.cell_m)
            order = 2.0 if self.cell_m is None else np.inf  # a cell reaches to 1 from its middle
            reach = _SAME_POINT_M if self.cell_m is None else 1 + 1e-6
            tree = cKDTree(self.positions[:, :axes] * scale)
            places = np.asarray(points[:, :axes], dtype=np.float64) * scale
            distance, nearest = tree.query(places, p=order, distance_upper_bound=reach)
            found = np.isfinite(distance)
            gates[found] = self.lidar_reads[nearest[found]]
        return gates


class GateRecorder:
    """Listens to the GeminiFusion operators of a detector during one forward of one frame.

    Args:
        model: Any detector; without the operator nothing is recorded.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._points: Tensor | None = None
        self._grid: tuple[int, int] | None = None
        self._calls: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._handles: list = []

    def __enter__(self) -> GateRecorder:
        from gemini_det3d.models import GeminiDynamicVFE, MapFusionNeck, PointFusionNeck

        for module in self._model.modules():
            if isinstance(module, GeminiFusion):
                listener: Any = self._hear_operator
            elif isinstance(module, GeminiDynamicVFE):
                listener = self._hear_points
            elif isinstance(module, PointFusionNeck):
                listener = self._hear_neck
            elif isinstance(module, MapFusionNeck):
                listener = self._hear_map
            else:
                continue
            self._handles.append(module.register_forward_pre_hook(listener))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self) -> FrameGates | None:
        """Gates of the forward just done; None where no operator ran or its tokens are unknown."""
        calls, self._calls = self._calls, []
        places = self._positions()
        for camera, lidar, valid in reversed(calls):
            if places is not None and camera.numel() == len(places):
                seen = torch.ones_like(camera).bool() if valid is None else valid
                seen = seen.reshape(-1).cpu().numpy()
                values = (t.reshape(-1).cpu().double().numpy()[seen] for t in (camera, lidar))
                return FrameGates(places[seen], *values, cell_m=self._cell_size())
        return None

    def _hear_points(self, module: nn.Module, args: tuple) -> None:
        features, coors = args[:2]
        self._points, self._grid = features[(coors >= 0).all(dim=1), :3], None

    def _hear_neck(self, module: nn.Module, args: tuple) -> None:
        if len(args) > 2:  # outside of a voxel encoder, which knows its tokens itself
            points = torch.cat([each[:, :3] for each in args[1]])
            if self._points is None or len(self._points) != len(args[2]):
                self._points, self._grid = points, None

    def _hear_map(self, module: nn.Module, args: tuple) -> None:
        self._grid = tuple(args[0][0].shape[-2:])

    def _hear_operator(self, module: GeminiFusion, args: tuple) -> None:
        first, second, valid, counts = (*args, None, None)[:4]
        if first.numel():
            with torch.no_grad():
                gates = [gate.mean(dim=-1) for gate in module.gates(first, second, valid, counts)]
            self._calls.append((*gates, None if valid is None else valid.expand(gates[0].shape)))

    def _positions(self) -> np.ndarray | None:
        if self._grid is not None:
            limits = self._model.data_preprocessor.voxel_layer.point_cloud_range
            return cell_centers(self._grid, limits)
        return None if self._points is None else self._points.cpu().double().numpy()

    def _cell_size(self) -> tuple[float, float] | None:
        if self._grid is None:
            return None
        limits = self._model.data_preprocessor.voxel_layer.point_cloud_range
        rows, columns = self._grid
        return (limits[3] - limits[0]) / columns, (limits[4] - limits[1]) / rows


class GateTable:
    """Sums of gates by class and by distance."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], np.ndarray] = {}

    def add(self, gates: FrameGates, boxes: np.ndarray, names: Sequence[str]) -> None:
        """Add a frame.

        Args:
            gates: Its gates.
            boxes: ``(G, 7)`` truth.
            names: G class names.
        """
        owner = np.full(len(gates.positions), BACKGROUND, dtype=object)
        for box, name in zip(boxes, names):
            owner[in_footprint(gates.positions, box)] = name
        distance = np.linalg.norm(gates.positions[:, :2], axis=1)
        for name in np.unique(owner):
            self._count("class", str(name), gates, owner == name)
        for low, high in zip(DISTANCES_M, DISTANCES_M[1:]):
            label = (
                f"{low:.0f} m and more" if high == float("inf") else f"{low:.0f} to {high:.0f} m"
            )
            self._count("distance", label, gates, (distance >= low) & (distance < high))

    def rows(self) -> list[dict]:
        """``by``, ``of``, ``tokens``, ``camera_reads``, ``lidar_reads`` of every group.

        Classes by their names, then the background, then distances, the nearest first.
        """
        return [
            {
                "by": by,
                "of": name,
                "tokens": int(count),
                "camera_reads": camera / count,
                "lidar_reads": lidar / count,
            }
            for (by, name), (count, camera, lidar) in sorted(self._sums.items(), key=_place)
        ]

    def _count(self, by: str, name: str, gates: FrameGates, chosen: np.ndarray) -> None:
        if chosen.any():
            sums = (chosen.sum(), gates.camera_reads[chosen].sum(), gates.lidar_reads[chosen].sum())
            before = self._sums.setdefault((by, name), np.zeros(3))
            before += sums


def _place(group: tuple[tuple[str, str], np.ndarray]) -> tuple:
    """Where a group stands in the table."""
    by, name = group[0]
    near = float(name.split()[0]) if by == "distance" else 0.0
    return by, near, name == BACKGROUND, name


def cell_centers(grid: tuple[int, int], limits: Sequence[float]) -> np.ndarray:
    """``(H W, 3)`` centres of the cells of a map, row by row; rows along y, columns along x."""
    rows, columns = grid
    x = limits[0] + (np.arange(columns) + 0.5) * (limits[3] - limits[0]) / columns
    y = limits[1] + (np.arange(rows) + 0.5) * (limits[4] - limits[1]) / rows
    yy, xx = np.meshgrid(y, x, indexing="ij")
    return np.column_stack([xx.ravel(), yy.ravel(), np.full(rows * columns, limits[2])])


def in_footprint(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which positions ``(N, 3)`` stand on the ground of a box ``(7,)``."""
    places = np.abs(as_box_sees(positions, box)[:, :2])
    return (places <= box[3:5] / 2).all(axis=1)
