"""Does a cloud fit its image without any label? A mirrored image passes every check of matrices.

Where depth jumps between neighbouring points the image has an edge, and where a surface's
reflectance jumps mostly too. Both are laid on a coarse grid and correlated along the rows, at every
shift: a cloud that fits stands out at no shift at all, counted in deviations of the other shifts.
The same is asked of the mirrored image and of turned clouds; what stands out there and not as it is
was the other way round.

Of 17 real pairs (ten KITTI frames, six nuScenes cameras, one SUN RGB-D frame) all stand out by 6.6
or more as they are, and by 6.0 or less in any other way; of 30 pairs of a KITTI image and another
frame's cloud none stands out by more than 3.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gemini_det3d.formats.calibration_check import Fault
from gemini_det3d.formats.turned_cloud import AS_IS, TURNS
from gemini_det3d.geometry.boxes import in_view, project_points

_MIRRORED, _UPSIDE_DOWN = "image mirrored left-right", "image turned by 180 degrees"
# Columns of the grid: finer, and scanners of 32 lines have few neighbours.
_COLUMNS = 208
# Neighbours in a row may be so many cells apart.
_APART = 3
# Jumps in log depth: where one begins, and what counts as one whatever its size.
_SAME_SURFACE, _WHOLE_JUMP = 0.05, 0.3
_TOP_SHARE, _DARK = 0.97, 8.0
_FEW_CELLS = 100
# Shifts, in columns, that count as none, and that tell nothing of others.
_NO_SHIFT, _NEAR_SHIFT = 1, 8
# In deviations: a fit beyond doubt, and one that leaves nothing to ask.
_CLEAR, _FITS = 7.0, 5.0


def fit_of(points: np.ndarray, image: np.ndarray, matrix: np.ndarray) -> dict[str, float]:
    """How clearly a cloud stands out where it falls.

    Args:
        points: ``(N, 4 or more)`` x, y, z (metres) and intensity.
        image: ``(H, W, 3)`` or ``(H, W)``.
        matrix: ``(3, 4)`` or ``(4, 4)``, point -> pixel (times depth).

    Returns:
        For ``AS_IS``, and where that does not stand out for each other way, deviations, 0 where too
        few points with a neighbour fall into the image; empty where that is so in every way, or
        the image is narrower than the grid.
    """
    if image.shape[1] < _COLUMNS:
        return {}
    pixels = _image_edges(np.asarray(image))
    size = (image.shape[1], image.shape[0])
    grids = _cloud_edges(points, matrix, size, len(pixels))
    found = {AS_IS: _stands_out(grids, pixels)}
    if found[AS_IS] >= _FITS:
        return found
    found[_MIRRORED] = _stands_out(grids, pixels[:, ::-1])
    found[_UPSIDE_DOWN] = _stands_out(grids, pixels[::-1, ::-1])
    shown = bool(grids)
    for name, turned in _turned(points):
        others = _cloud_edges(turned, matrix, size, len(pixels))
        found[f"cloud {name}"] = _stands_out(others, pixels)
        shown = shown or bool(others)
    return found if shown else {}


def check_fit(fit: Mapping[str, float]) -> list[Fault]:
    """A warning where a cloud fits its image in another way alone.

    Args:
        fit: Of :func:`fit_of`.
    """
    if len(fit) < 2:
        return []
    best = max((name for name in fit if name != AS_IS), key=lambda name: fit[name])
    if fit[best] < _CLEAR or 2 * fit[AS_IS] > fit[best]:
        return []
    fault = f"edges of cloud and image agree by {fit[AS_IS]:.1f} deviations as they are"
    return [Fault("warning", f"{fault}, but by {fit[best]:.1f} with the {best}")]


def _turned(points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for name, turn in TURNS.items():
        turned = np.array(points, dtype=np.float64)
        turned[:, :3] = turned[:, :3] @ turn.T
        yield name, turned


def _image_edges(image: np.ndarray) -> np.ndarray:
    """Changes of log brightness along the rows of the grid, ``(rows, _COLUMNS)``."""
    grey = image.sum(axis=2, dtype=np.float64) / image.shape[2] if image.ndim == 3 else image
    height, width = grey.shape
    rows = max(1, round(height * _COLUMNS / width))
    starts = [np.arange(n) * size // n for n, size in ((rows, height), (_COLUMNS, width))]
    sums = np.add.reduceat(np.add.reduceat(grey, starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff([*start, size]) for start, size in zip(starts, (height, width))]
    level = np.log(np.maximum(sums / np.outer(*sizes), 0) + _DARK)
    edges = np.zeros_like(level)
    edges[:, 1:-1] = np.abs(level[:, 2:] - level[:, :-2])
    edges = np.minimum(edges, np.quantile(edges, _TOP_SHARE))
    return _standardized(edges, np.ones(edges.shape, bool))


def _cloud_edges(
    points: np.ndarray, matrix: np.ndarray, size: tuple[int, int], rows: int
) -> list[np.ndarray]:
    """Jumps of depth and of reflectance on the grid; empty where there are few points."""
    width, height = size
    pixels, depth = project_points(points[:, :3], matrix)
    seen = in_view(pixels, depth, height, width)
    column, row = (pixels[seen] * [_COLUMNS / width, rows / height]).astype(np.int64).T
    cell = np.minimum(row, rows - 1) * _COLUMNS + np.minimum(column, _COLUMNS - 1)
    nearest = np.full(rows * _COLUMNS, np.inf)
    np.minimum.at(nearest, cell, depth[seen])
    count = np.bincount(cell, minlength=len(nearest))
    total = np.bincount(cell, points[seen, 3].astype(np.float64), minlength=len(nearest))
    shape, is_hit = (rows, _COLUMNS), count > 0
    log_depth = np.log(np.where(is_hit, nearest, 1.0)).reshape(shape)
    bright = (total / np.maximum(count, 1)).reshape(shape)
    jumps, changes, known = _jumps(log_depth, bright, is_hit.reshape(shape))
    if known.sum() < _FEW_CELLS:
        return []
    changes = np.minimum(changes, np.quantile(changes[known], _TOP_SHARE))
    return [_standardized(np.minimum(jumps, _WHOLE_JUMP), known), _standardized(changes, known)]


def _jumps(
    log_depth: np.ndarray, bright: np.ndarray, is_hit: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between neighbours in a row, at the cell between them: of depth, of reflectance, where."""
    jumps, changes = np.zeros(log_depth.shape), np.zeros(log_depth.shape)
    known = np.zeros(log_depth.shape, bool)
    columns = log_depth.shape[1]
    for step in range(1, _APART + 1):
        pair = is_hit[:, :-step] & is_hit[:, step:]
        for between in range(1, step):
            pair &= ~is_hit[:, between : columns - step + between]
        jump = np.abs(log_depth[:, step:] - log_depth[:, :-step]) * pair
        change = np.abs(bright[:, step:] - bright[:, :-step]) * (pair & (jump < _SAME_SURFACE))
        place = slice(step // 2, step // 2 + columns - step)
        np.maximum(jumps[:, place], jump, out=jumps[:, place])
        np.maximum(changes[:, place], change, out=changes[:, place])
        known[:, place] |= pair
    return jumps, changes, known


def _standardized(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Zero mean in each row and deviation 1, over what is known; zeros elsewhere."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    values = (values - (values * known).sum(axis=1, keepdims=True) / count) * known
    return values / max(float(np.sqrt((values**2).sum() / max(known.sum(), 1))), 1e-9)


def _stands_out(grids: Sequence[np.ndarray], pixels: np.ndarray) -> float:
    """Of both kinds of edges together: correlation at no shift, in deviations of far shifts."""
    image = np.fft.rfft(pixels, axis=1)
    shift = np.arange(_COLUMNS)
    shift = np.minimum(shift, _COLUMNS - shift)
    total = 0.0
    for grid in grids:
        product = np.conj(np.fft.rfft(grid, axis=1)) * image
        curve = np.fft.irfft(product.sum(axis=0), n=_COLUMNS)
        far = curve[shift > _NEAR_SHIFT]
        total += float((curve[shift <= _NO_SHIFT].max() - far.mean()) / max(far.std(), 1e-9))
    return total
