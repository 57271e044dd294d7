"""Numba kernels for the light that a ray brings back: patterns, sun, sky, gloss, haze.

A pattern is a function of the place on a surface. It answers with a share of the material's
second colour and a brightness; fine detail fades where a pixel covers more than a period, so far
surfaces do not flicker. A place is given by its solid's frame: x, y from the middle, z from the
bottom, and ``across``, the horizontal way along a wall.

``materials`` is ``(M, 10)``: colour (0-2), second colour (3-5), pattern (6), period (7), gloss (8),
glow (9). ``light`` is ``(14,)``: direction (0-2), sun (3-5), sky (6-8), horizon (9-11), haze (12),
clouds (13).
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit
from gemini_det3d.worlds.materials import PATTERNS

_CLOTH, _ASPHALT, _TILES, _GRASS, _BRICK, _FACADE, _LEAVES, _CARDBOARD, _STONE, _BARK, _GLAZING = (
    PATTERNS.index(name)
    for name in ("cloth", "asphalt", "tiles", "grass", "brick", "facade", "leaves", "cardboard",
                 "stone", "bark", "glazing")
)  # fmt: skip

# Light that comes from the ground, as a share of the sky's.
_GROUND_SHARE = 0.45
_SHININESS = 250.0
_CLOUD_RED, _CLOUD_GREEN, _CLOUD_BLUE = 1.70, 1.72, 1.75


@jit
def _lattice(x, y, z):
    """A number in [0, 1) for each point of the integer lattice, without a visible order."""
    h = (
        np.uint32(x) * np.uint32(0x9E3779B1)
        ^ np.uint32(y) * np.uint32(0x85EBCA77)
        ^ np.uint32(z) * np.uint32(0xC2B2AE3D)
    )
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h = h ^ (h >> np.uint32(15))
    return np.float64(h & np.uint32(0xFFFFFF)) / 16777216.0


@jit
def noise(x, y, z):
    """Smooth noise in [0, 1) with a grain of size 1."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = np.int64(fx), np.int64(fy), np.int64(fz)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    near = _between(i, j, k, u, v)
    return near + w * (_between(i, j, k + 1, u, v) - near)


@jit
def _between(i, j, k, u, v):
    a, b = _lattice(i, j, k), _lattice(i, j + 1, k)
    a += u * (_lattice(i + 1, j, k) - a)
    b += u * (_lattice(i + 1, j + 1, k) - b)
    return a + v * (b - a)


@jit
def _grain(gx, gy, gz, detail, strength, octaves):
    """Brightness around 1 from noise; each octave is twice as fine and half as strong."""
    total, scale = 0.0, 1.0
    for _ in range(octaves):
        total += (noise(gx * scale, gy * scale, gz * scale) - 0.5) / scale
        scale *= 2.0
    return 1.0 + strength * total * (0.3 + 0.7 * detail)


@jit
def _line(place, period, width):
    """Whether a place lies within ``width`` (share of the period) around a multiple of it."""
    phase = place / period
    return abs(phase - np.round(phase)) < 0.5 * width


@jit
def _asphalt(x, y, half_width, gx, gy, gz, detail):
    """Tarmac along x with a broken middle line and full lines at the edges."""
    middle = abs(y) < 0.08 and x % 6.0 < 3.0
    edge = abs(abs(y) - (half_width - 0.35)) < 0.07
    share = 0.0
    if middle or edge:
        share = 0.75 + 0.25 * noise(gx * 0.7, gy * 0.7, gz * 0.7)
    tracks = 1.0 - 0.08 * np.cos(2 * np.pi * y / 1.7)
    return share, tracks * _grain(gx, gy, gz, detail, 0.35, 3)


@jit
def _tiles(x, y, nz, period, detail):
    """Slabs with joints; upright faces, the kerbs, are plain."""
    if abs(nz) < 0.5:
        return 0.3, 1.0
    joint = _line(x, period, 0.06) or _line(y, period, 0.06)
    tone = noise(np.floor(x / period + 0.5) + 0.5, np.floor(y / period + 0.5) + 0.5, 0.5)
    return 0.8 * detail if joint else 0.0, 0.9 + 0.2 * tone


@jit
def _brick(across, z, period, gx, gy, gz, detail):
    course = 0.4 * period
    shifted = across + 0.5 * period * (np.floor(z / course) % 2)
    joint = _line(z, course, 0.2) or _line(shifted, period, 0.08)
    return 0.7 * detail if joint else 0.0, _grain(gx, gy, gz, detail, 0.3, 2)


@jit
def _facade(across, z, nz, period, gx, gy, gz, detail):
    """Rows of windows, one storey per period."""
    if abs(nz) >= 0.5:
        return 0.0, 0.6
    u, v = abs((across / period + 0.5) % 1.0 - 0.5), (z / period) % 1.0
    if u < 0.22 and 0.32 < v < 0.78 and u > 0.015 and abs(v - 0.6) > 0.015:
        pane = noise(np.floor(across / period + 0.5) * 1.37, np.floor(z / period) * 1.37, 0.5)
        return 1.0, 0.6 + 0.8 * pane
    frame = 1.25 if u < 0.26 and 0.28 < v < 0.81 else 1.0
    return 0.0, frame * _grain(gx, gy, gz, detail, 0.12, 2)


@jit
def _glazing(x, y, nx, ny, half_length, half_width):
    """Car windows (first colour) between painted pillars (second colour)."""
    if abs(ny) > abs(nx):
        painted = abs(x + 0.08 * half_length) < 0.05 or abs(x) > 0.82 * half_length
    else:
        painted = abs(y) > 0.86 * half_width
    return 1.0 if painted else 0.0, 1.0


@jit
def _pattern(kind, x, y, z, across, nx, ny, nz, hx, hy, period, footprint, shift):
    """Share of the second colour, and brightness, at one place."""
    detail = 1.0 / (1.0 + (2.0 * footprint / period) ** 2)
    gx, gy, gz = x / period + shift, y / period + 0.618 * shift, z / period + 0.271 * shift
    if kind == _ASPHALT:
        return _asphalt(x, y, hy, gx, gy, gz, detail)
    if kind == _FACADE:
        return _facade(across, z, nz, period, gx, gy, gz, detail)
    if kind == _TILES:
        return _tiles(x, y, nz, period, detail)
    if kind == _GRASS:
        patches = noise(0.23 * x + 3.7, 0.23 * y + 3.7, 0.23 * z + 3.7)
        return 0.8 * patches, _grain(gx, gy, gz, detail, 0.7, 3)
    if kind == _LEAVES:
        gaps = noise(2.3 * gx + 9.1, 2.3 * gy + 9.1, 2.3 * gz + 9.1)
        share = 0.3 + 0.8 * noise(gx, gy, gz) * detail
        return min(share, 1.0), 0.45 + gaps * detail + 0.45 * (1 - detail)
    if kind == _BRICK:
        return _brick(across, z, period, gx, gy, gz, detail)
    if kind == _CARDBOARD:
        flutes = 1.0 + 0.06 * np.sin(2 * np.pi * z / 0.05) * detail
        tape = 0.8 if abs(across) < 0.04 else 0.0
        return tape, flutes * _grain(gx, gy, gz, detail, 0.25, 2)
    if kind == _STONE:
        vein = 1 - 10 * abs(noise(1.7 * gx, 1.7 * gy, 1.7 * gz) - 0.5)
        return 0.5 * detail * max(vein, 0.0), _grain(gx, gy, gz, detail, 0.4, 2)
    if kind == _BARK:
        return 0.6 * noise(3 * gx, 3 * gy, 0.6 * gz), _grain(gx, gy, gz, detail, 0.3, 2)
    if kind == _GLAZING:
        return _glazing(x, y, nx, ny, hx, hy)
    if kind == _CLOTH:
        return 0.0, _grain(gx, gy, gz, detail, 0.35, 2)
    return 0.0, 1.0


@jit
def _sky(light, vx, vy, vz):
    """Pale at the horizon, deeper above, with clouds and the sun's halo."""
    height = min(max(vz, 0.0), 1.0)
    deep = 1.0 - np.exp(-3.5 * height)
    # Clouds lie on a plane overhead, so they shrink towards the horizon.
    px, py = 1.3 * vx / (height + 0.12), 1.3 * vy / (height + 0.12)
    cover, scale = 0.0, 1.0
    for octave in range(4):
        shift = 7.3 * octave
        cover += noise(px * scale + shift, py * scale + shift, shift) / (1.875 * scale)
        scale *= 2.0
    density = min(max((cover - 0.75 + 0.5 * light[13]) * 4, 0.0), 1.0)
    density *= 0.9 * min(8 * height, 1.0)
    toward_sun = max(vx * light[0] + vy * light[1] + vz * light[2], 0.0)
    halo = 0.6 * toward_sun**200
    red = light[9] + (0.50 * light[6] - light[9]) * deep
    green = light[10] + (0.85 * light[7] - light[10]) * deep
    blue = light[11] + (1.60 * light[8] - light[11]) * deep
    return (
        red + (_CLOUD_RED - red) * density + halo * light[3],
        green + (_CLOUD_GREEN - green) * density + halo * light[4],
        blue + (_CLOUD_BLUE - blue) * density + halo * light[5],
    )


@jit
def _gloss(light, vx, vy, vz, nx, ny, nz, slant, is_lit):
    """What a polished surface adds: Fresnel's share of its surroundings, Blinn's highlight."""
    fresnel = 0.06 + 0.94 * (1.0 - slant) ** 5
    up = vz + 2 * slant * nz
    weight = min(max(6 * up + 0.5, 0.0), 1.0)
    up = min(max(up, 0.0), 1.0)
    peak = 0.0
    if is_lit:
        hx, hy, hz = light[0] - vx, light[1] - vy, light[2] - vz
        length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
        peak = max((hx * nx + hy * ny + hz * nz) / length, 0.0) ** _SHININESS
    return fresnel, up, weight, peak


@jit
def shade(directions, distance, solid, normal, local, local_normal, lit, pixel_angle,
          material_of, half_size, materials, light, out):  # fmt: skip
    """Light along N rays; ``lit`` is the share of the sun that reaches each hit."""
    for i in range(len(directions)):
        vx, vy, vz = directions[i, 0], directions[i, 1], directions[i, 2]
        length = np.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx / length, vy / length, vz / length
        p = solid[i]
        if p < 0:
            out[i, 0], out[i, 1], out[i, 2] = _sky(light, vx, vy, vz)
            continue
        distance_m = distance[i] * length
        wx, wy, wz = normal[i, 0], normal[i, 1], normal[i, 2]
        slant = min(max(-(vx * wx + vy * wy + vz * wz), 0.05), 1.0)
        x, y, z = local[i, 0], local[i, 1], local[i, 2] + half_size[p, 2]
        nx, ny, nz = local_normal[i, 0], local_normal[i, 1], local_normal[i, 2]
        m = material_of[p]
        # A pixel is stretched on a slanted surface; the mean of both sides blurs a texture. An
        # uneven stride keeps equal solids from sharing one pattern.
        share, bright = _pattern(
            materials[m, 6], x, y, z, y if abs(nx) > abs(ny) else x, nx, ny, nz,
            half_size[p, 0], half_size[p, 1], materials[m, 7],
            distance_m * pixel_angle / np.sqrt(slant), 17.317 * p)  # fmt: skip
        fresnel, up, weight, peak = 0.0, 0.0, 0.0, 0.0
        if materials[m, 8] > 0:
            fresnel, up, weight, peak = _gloss(light, vx, vy, vz, wx, wy, wz, slant, lit[i] > 0)
        above = _GROUND_SHARE + (1 - _GROUND_SHARE) * (0.5 + 0.5 * wz)
        clear = np.exp(-distance_m / light[12])
        for c in range(3):
            sun, sky, horizon = light[3 + c], light[6 + c], light[9 + c]
            albedo = (materials[m, c] * (1 - share) + materials[m, 3 + c] * share) * bright
            color = albedo * (lit[i] * sun + above * sky + materials[m, 9])
            around = 0.3 * sky + weight * (horizon + up * (2 * sky - horizon) - 0.3 * sky)
            color += materials[m, 8] * (fresnel * around + peak * sun)
            out[i, c] = color * clear + horizon * (1 - clear)
