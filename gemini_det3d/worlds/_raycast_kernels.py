"""Numba kernels of the ray caster; float64, one thread.

A ray is ``origin + t . direction`` with t > 0; directions need no unit length, so t may count
metres or, for a camera, depth; ``slowness`` is 1 / direction, axis by axis. Groups of solids are
skipped by their bounds, for a packet of rays and then for each, single solids by a sphere; what
is left is solved in the solid's own frame.

``solids`` is ``(P, 19)``, one row per solid, so that a kernel takes one array: centre (0-2), half
size (3-5), squared radius (6), taper (7-8), rotation row by row (9-17), shape (18).
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit

_BOX, _ELLIPSOID, _CYLINDER = 0.0, 1.0, 2.0
_MISS = np.inf
# Rays that are tried against the groups' bounds together; neighbours in an image row or a beam.
_PACKET = 32


@jit
def _reach(low, high, from_min, from_max, slow_min, slow_max):
    """Earliest entry into and latest exit from a slab, for intervals of origins and slowness."""
    a, b = low - from_max, high - from_min
    first, second, third, fourth = a * slow_min, a * slow_max, b * slow_min, b * slow_max
    enter = min(min(first, second), min(third, fourth))
    leave = max(max(first, second), max(third, fourth))
    return enter, leave


@jit
def _near_groups(origins, slowness, first, last, bounds, chosen, entry):
    """Groups that rays ``first`` to ``last - 1`` may hit, nearest first; returns their number.

    The rays are taken together: an axis along which they do not all point the same way says
    nothing, and over the others intervals bound where each group may be entered and left.
    """
    from_min, from_max = np.empty(3), np.empty(3)
    slow_min, slow_max = np.empty(3), np.empty(3)
    for axis in range(3):
        from_min[axis], from_max[axis] = _MISS, -_MISS
        slow_min[axis], slow_max[axis] = _MISS, -_MISS
        for i in range(first, last):
            place = origins[i if len(origins) > 1 else 0, axis]
            slow = slowness[i if len(slowness) > 1 else 0, axis]
            from_min[axis], from_max[axis] = min(from_min[axis], place), max(from_max[axis], place)
            slow_min[axis], slow_max[axis] = min(slow_min[axis], slow), max(slow_max[axis], slow)
    count = 0
    for g in range(len(bounds)):
        enter, leave = 0.0, _MISS
        for axis in range(3):
            if slow_min[axis] > 0.0 or slow_max[axis] < 0.0:
                early, late = _reach(bounds[g, axis], bounds[g, axis + 3], from_min[axis],
                                     from_max[axis], slow_min[axis], slow_max[axis])  # fmt: skip
                enter, leave = max(enter, early), min(leave, late)
        if enter > leave:
            continue
        spot = count
        while spot > 0 and entry[spot - 1] > enter:
            entry[spot], chosen[spot] = entry[spot - 1], chosen[spot - 1]
            spot -= 1
        entry[spot], chosen[spot] = enter, g
        count += 1
    return count


@jit
def _is_past_bounds(bounds, g, ox, oy, oz, ix, iy, iz, limit):
    """Whether one ray misses a group's bounds, or enters them beyond ``limit``; i* as above."""
    ax, bx = (bounds[g, 0] - ox) * ix, (bounds[g, 3] - ox) * ix
    ay, by = (bounds[g, 1] - oy) * iy, (bounds[g, 4] - oy) * iy
    az, bz = (bounds[g, 2] - oz) * iz, (bounds[g, 5] - oz) * iz
    enter = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), 0.0))
    leave = min(min(max(ax, bx), max(ay, by)), max(az, bz))
    return enter > leave or enter >= limit


@jit
def _cut(along, room, enter, leave):
    """Keep the part of a ray in one half-space: ``room`` is left, ``along`` is used per length."""
    if along < 0.0:
        return max(enter, room / along), leave
    if along > 0.0:
        return enter, min(leave, room / along)
    return (enter, leave) if room >= 0.0 else (_MISS, -_MISS)


@jit
def _hit_box(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    """Entry into ``|x| <= hx``, ``|y| <= hy``, ``|z| <= hz`` from outside."""
    enter, leave = _slab(ox, dx, hx, -_MISS, _MISS)
    enter, leave = _slab(oy, dy, hy, enter, leave)
    enter, leave = _slab(oz, dz, hz, enter, leave)
    return enter if 0.0 < enter <= leave else _MISS


@jit
def _slab(o, d, h, enter, leave):
    if d == 0.0:
        return (enter, leave) if abs(o) <= h else (_MISS, -_MISS)
    slow = 1.0 / d
    middle, reach = -o * slow, h * abs(slow)
    return max(enter, middle - reach), min(leave, middle + reach)


@jit
def _hit_tapered_box(ox, oy, oz, dx, dy, dz, hx, hy, hz, tx, ty):
    """Entry into ``|z| <= hz``, ``|x| + kx z <= cx``, ``|y| + ky z <= cy`` from outside."""
    kx, cx = hx * tx / (2.0 * hz), hx * (1.0 - 0.5 * tx)
    ky, cy = hy * ty / (2.0 * hz), hy * (1.0 - 0.5 * ty)
    enter, leave = _cut(dz, hz - oz, -_MISS, _MISS)
    enter, leave = _cut(-dz, hz + oz, enter, leave)
    enter, leave = _cut(dx + kx * dz, cx - ox - kx * oz, enter, leave)
    enter, leave = _cut(kx * dz - dx, cx + ox - kx * oz, enter, leave)
    enter, leave = _cut(dy + ky * dz, cy - oy - ky * oz, enter, leave)
    enter, leave = _cut(ky * dz - dy, cy + oy - ky * oz, enter, leave)
    return enter if 0.0 < enter <= leave else _MISS


@jit
def _hit_ellipsoid(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    px, py, pz = ox / hx, oy / hy, oz / hz
    qx, qy, qz = dx / hx, dy / hy, dz / hz
    a = qx * qx + qy * qy + qz * qz
    b = px * qx + py * qy + pz * qz
    c = px * px + py * py + pz * pz - 1.0
    root = b * b - a * c
    if root < 0.0:
        return _MISS
    enter = (-b - np.sqrt(root)) / a
    return enter if enter > 0.0 else _MISS


@jit
def _hit_cylinder(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    px, py, qx, qy = ox / hx, oy / hy, dx / hx, dy / hy
    a = qx * qx + qy * qy
    b = px * qx + py * qy
    c = px * px + py * py - 1.0
    enter, leave = -_MISS, _MISS
    if a > 0.0:
        root = b * b - a * c
        if root < 0.0:
            return _MISS
        root = np.sqrt(root)
        enter, leave = (-b - root) / a, (-b + root) / a
    elif c > 0.0:
        return _MISS
    if dz != 0.0:
        first, second = (-hz - oz) / dz, (hz - oz) / dz
        enter, leave = max(enter, min(first, second)), min(leave, max(first, second))
    elif abs(oz) > hz:
        return _MISS
    return enter if 0.0 < enter <= leave else _MISS


@jit
def _into_frame(solids, p, x, y, z):
    """World axes -> the axes of solid ``p``."""
    return (
        solids[p, 9] * x + solids[p, 12] * y + solids[p, 15] * z,
        solids[p, 10] * x + solids[p, 13] * y + solids[p, 16] * z,
        solids[p, 11] * x + solids[p, 14] * y + solids[p, 17] * z,
    )


@jit
def _out_of_frame(solids, p, x, y, z):
    """The axes of solid ``p`` -> world axes."""
    return (
        solids[p, 9] * x + solids[p, 10] * y + solids[p, 11] * z,
        solids[p, 12] * x + solids[p, 13] * y + solids[p, 14] * z,
        solids[p, 15] * x + solids[p, 16] * y + solids[p, 17] * z,
    )


@jit
def _hit_solid(solids, p, ox, oy, oz, dx, dy, dz, square):
    """Distance to solid ``p`` from outside; ``square`` is the direction's squared length."""
    ex, ey, ez = ox - solids[p, 0], oy - solids[p, 1], oz - solids[p, 2]
    along = ex * dx + ey * dy + ez * dz
    if (ex * ex + ey * ey + ez * ez - solids[p, 6]) * square > along * along:
        return _MISS
    lx, ly, lz = _into_frame(solids, p, ex, ey, ez)
    mx, my, mz = _into_frame(solids, p, dx, dy, dz)
    hx, hy, hz = solids[p, 3], solids[p, 4], solids[p, 5]
    if solids[p, 18] == _ELLIPSOID:
        return _hit_ellipsoid(lx, ly, lz, mx, my, mz, hx, hy, hz)
    if solids[p, 18] == _CYLINDER:
        return _hit_cylinder(lx, ly, lz, mx, my, mz, hx, hy, hz)
    tx, ty = solids[p, 7], solids[p, 8]
    if tx == 0.0 and ty == 0.0:
        return _hit_box(lx, ly, lz, mx, my, mz, hx, hy, hz)
    return _hit_tapered_box(lx, ly, lz, mx, my, mz, hx, hy, hz, tx, ty)


@jit
def _local_normal(solids, p, x, y, z):
    """Outward unit normal at a surface point of solid ``p``, both in the solid's frame."""
    hx, hy, hz, tx, ty = solids[p, 3], solids[p, 4], solids[p, 5], solids[p, 7], solids[p, 8]
    if solids[p, 18] == _ELLIPSOID:
        nx, ny, nz = x / (hx * hx), y / (hy * hy), z / (hz * hz)
    elif solids[p, 18] == _BOX:
        kx, cx = hx * tx / (2.0 * hz), hx * (1.0 - 0.5 * tx)
        ky, cy = hy * ty / (2.0 * hz), hy * (1.0 - 0.5 * ty)
        lack_x = (cx - abs(x) - kx * z) / np.sqrt(1.0 + kx * kx)
        lack_y = (cy - abs(y) - ky * z) / np.sqrt(1.0 + ky * ky)
        lack_z = hz - abs(z)
        nx, ny, nz = 0.0, 0.0, 0.0
        if lack_z <= lack_x and lack_z <= lack_y:
            nz = 1.0 if z > 0 else -1.0
        elif lack_x <= lack_y:
            nx, nz = 1.0 if x > 0 else -1.0, kx
        else:
            ny, nz = 1.0 if y > 0 else -1.0, ky
    else:
        lack_side = (1.0 - np.sqrt((x / hx) ** 2 + (y / hy) ** 2)) * min(hx, hy)
        nx, ny, nz = x / (hx * hx), y / (hy * hy), 0.0
        if hz - abs(z) <= lack_side:
            nx, ny, nz = 0.0, 0.0, 1.0 if z > 0 else -1.0
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    return nx / length, ny / length, nz / length


@jit
def cast(origins, directions, slowness, limit, solids, start, bounds,
         distance, solid, normal, local, local_normal):  # fmt: skip
    """Nearest hit of N rays; fills the last five arrays (infinity and -1 where none)."""
    chosen, entry = np.empty(len(bounds), np.int64), np.empty(len(bounds))
    count = 0
    for i in range(len(directions)):
        if i % _PACKET == 0:
            last = min(i + _PACKET, len(directions))
            count = _near_groups(origins, slowness, i, last, bounds, chosen, entry)
        o = i if len(origins) > 1 else 0
        ox, oy, oz = origins[o, 0], origins[o, 1], origins[o, 2]
        dx, dy, dz = directions[i, 0], directions[i, 1], directions[i, 2]
        ix, iy, iz = slowness[i, 0], slowness[i, 1], slowness[i, 2]
        square = dx * dx + dy * dy + dz * dz
        best, found = limit, -1
        for k in range(count):
            if entry[k] >= best:
                break
            g = chosen[k]
            if _is_past_bounds(bounds, g, ox, oy, oz, ix, iy, iz, best):
                continue
            for p in range(start[g], start[g + 1]):
                t = _hit_solid(solids, p, ox, oy, oz, dx, dy, dz, square)
                if t < best:
                    best, found = t, p
        solid[i] = found
        if found < 0:
            distance[i] = _MISS
            continue
        distance[i] = best
        ex = ox + best * dx - solids[found, 0]
        ey = oy + best * dy - solids[found, 1]
        ez = oz + best * dz - solids[found, 2]
        lx, ly, lz = _into_frame(solids, found, ex, ey, ez)
        nx, ny, nz = _local_normal(solids, found, lx, ly, lz)
        local[i, 0], local[i, 1], local[i, 2] = lx, ly, lz
        local_normal[i, 0], local_normal[i, 1], local_normal[i, 2] = nx, ny, nz
        wx, wy, wz = _out_of_frame(solids, found, nx, ny, nz)
        normal[i, 0], normal[i, 1], normal[i, 2] = wx, wy, wz


@jit
def blocked(origins, direction, slowness, solids, start, bounds, out):
    """Whether anything lies on each of N parallel rays, however far."""
    dx, dy, dz = direction[0, 0], direction[0, 1], direction[0, 2]
    ix, iy, iz = slowness[0, 0], slowness[0, 1], slowness[0, 2]
    square = dx * dx + dy * dy + dz * dz
    chosen, entry = np.empty(len(bounds), np.int64), np.empty(len(bounds))
    count, last_blocker = 0, -1
    for i in range(len(origins)):
        if i % _PACKET == 0:
            last = min(i + _PACKET, len(origins))
            count = _near_groups(origins, slowness, i, last, bounds, chosen, entry)
        ox, oy, oz = origins[i, 0], origins[i, 1], origins[i, 2]
        # Neighbours tend to lie in the shadow of the same solid: ask that one first.
        out[i] = False
        if last_blocker >= 0:
            out[i] = _hit_solid(solids, last_blocker, ox, oy, oz, dx, dy, dz, square) < _MISS
        for k in range(count):
            if out[i]:
                break
            g = chosen[k]
            if _is_past_bounds(bounds, g, ox, oy, oz, ix, iy, iz, _MISS):
                continue
            for p in range(start[g], start[g + 1]):
                t = _hit_solid(solids, p, ox, oy, oz, dx, dy, dz, square)
                if t < _MISS:
                    out[i], last_blocker = True, p
                    break
