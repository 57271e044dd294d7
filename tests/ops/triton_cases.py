"""Run by test_points_triton.py in its own process: Triton reads TRITON_INTERPRET when imported."""

from __future__ import annotations

import sys

import torch

from gemini_det3d.ops import _points_torch, _points_triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def rooms(batch: int, count: int, step: float = 0.0) -> torch.Tensor:
    """Points of rooms of a few metres; on a grid of `step` metres many are equally far."""
    points = torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(count)) * 4
    return (points if not step else (points / step).round() * step).to(DEVICE)


def samples_are_those_of_the_loop():
    for points, num in (
        (rooms(3, 5003), 37),  # more than one block, the last one not full
        (rooms(2, 211, step=0.5), 211),  # ties, and points that coincide
        (rooms(1, 1), 3),  # more samples than points
        (rooms(2, 97).half(), 11),
        (rooms(2, 97)[:, ::3], 11),  # any strides
    ):
        wanted = _points_torch.farthest_points(points, num)
        assert torch.equal(_points_triton.farthest_points(points, num), wanted)


def balls_are_those_of_the_loop():
    for points, centers, radius, num, least in (
        (rooms(3, 701), rooms(3, 13), 1.0, 7, 0.0),  # more members than places
        (rooms(2, 701, step=0.5), rooms(2, 11, step=0.5), 1.0, 32, 0.5),  # at the radii exactly
        (rooms(2, 31), rooms(2, 5) + 100, 0.3, 5, 0.0),  # empty balls
        (rooms(1, 1), rooms(1, 3), 9.0, 3, 0.0),
        (rooms(2, 300).half(), rooms(2, 5).half(), 0.7, 16, 0.0),
    ):
        wanted = _points_torch.ball_query(points, centers, radius, num, least)
        assert torch.equal(_points_triton.ball_query(points, centers, radius, num, least), wanted)
    nothing = _points_triton.ball_query(rooms(2, 5), rooms(2, 0), 1.0, 3)
    assert nothing.shape == (2, 0, 3)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        globals()[name]()
        print("passed", name)
