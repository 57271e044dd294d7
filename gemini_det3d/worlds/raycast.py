"""Rays x solids -> the nearest hits: how far, which solid, its normal, where on its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds.solids import Solids

# A shadow ray starts this far off the surface, so that it does not hit where it starts.
_LIFT_M = 1e-3


@dataclass(frozen=True)
class Hits:
    """What N rays hit first.

    Attributes:
        distance: ``(N,)`` in lengths of the ray's direction; infinity where nothing is hit.
        solid: ``(N,)`` int64 index, -1 where nothing is hit. Rows of the others are 0 there.
        normal: ``(N, 3)`` outward unit normals, world.
        local: ``(N, 3)`` surface points in the solid's own frame, metres.
        local_normal: ``(N, 3)`` outward unit normals in the solid's own frame.
    """

    distance: np.ndarray
    solid: np.ndarray
    normal: np.ndarray
    local: np.ndarray
    local_normal: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """``(N,)`` bool, whether the ray hits anything."""
        return self.solid >= 0

    def select(self, index: np.ndarray) -> Hits:
        """Some of the rays."""
        # take() is several times faster than a mask or [index].
        return Hits(**{name: value.take(index, axis=0) for name, value in vars(self).items()})


def cast_rays(
    solids: Solids, origins: np.ndarray, directions: np.ndarray, max_distance: float = np.inf
) -> Hits:
    """Find the nearest surface on every ray, from outside: a solid around the origin is not seen.

    Args:
        solids: What may be hit.
        origins: ``(N, 3)``, or ``(3,)`` for rays from one point; world, metres.
        directions: ``(N, 3)`` of any length but 0.
        max_distance: Hits from here on do not count, in lengths of the directions.
    """
    from gemini_det3d.worlds import _raycast_kernels

    directions = np.ascontiguousarray(directions, dtype=np.float64).reshape(-1, 3)
    origins = np.ascontiguousarray(origins, dtype=np.float64).reshape(-1, 3)
    if len(origins) not in (1, len(directions)):
        raise ValueError(f"{len(origins)} origins for {len(directions)} directions")
    count = len(directions)
    hits = Hits(
        distance=np.empty(count),
        solid=np.empty(count, dtype=np.int64),
        normal=np.zeros((count, 3)),
        local=np.zeros((count, 3)),
        local_normal=np.zeros((count, 3)),
    )
    _raycast_kernels.cast(
        origins,
        directions,
        _slowness(directions),
        float(max_distance),
        *_geometry(solids),
        *(hits.distance, hits.solid, hits.normal, hits.local, hits.local_normal),
    )
    return hits


def is_blocked(
    solids: Solids, points: np.ndarray, normals: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Whether something stands between surface points and a light that is infinitely far.

    Args:
        solids: What may stand in the way.
        points: ``(N, 3)`` surface points, world.
        normals: ``(N, 3)`` outward normals there.
        direction: ``(3,)`` towards the light.

    Returns:
        ``(N,)`` bool.
    """
    from gemini_det3d.worlds import _raycast_kernels

    starts = np.ascontiguousarray(points + _LIFT_M * normals)
    out = np.empty(len(starts), dtype=np.bool_)
    direction = np.array(direction, dtype=np.float64).reshape(1, 3)
    _raycast_kernels.blocked(starts, direction, _slowness(direction), *_geometry(solids), out)
    return out


def _slowness(directions: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 1.0 / directions


def _geometry(solids: Solids) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The table of solids, the groups' starts and bounds, as the kernels want them."""
    table = np.column_stack(
        [
            *(solids.center, solids.half_size, solids.radius**2, solids.taper),
            *(solids.rotation.reshape(-1, 9), solids.shape),
        ]
    )
    return table, solids.group_start, solids.group_bounds
