"""What points read from images: where each falls, whether the camera sees it, what stands there.

Shapes: B frames, N points of all frames, L pyramid levels, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gemini_det3d.geometry import in_view, project, sample_maps, send
from gemini_det3d.models.metas import PROJECTION_KEY, ImageGeometry, image_geometry
from gemini_det3d.models.sensor_metas import sensor_mask


@dataclass(frozen=True)
class PointPixels:
    """Where each point falls in its frame's image.

    Attributes:
        pixels: ``(N, 2)`` in the padded image.
        padded_size: ``(height, width)`` of it.
        valid: ``(N,)`` bool, whether the camera sees the point; None: every one.
        seen: ``(S,)`` rows where ``valid`` holds; None: every row.
        counts: Points of each frame; they add up to N.
    """

    pixels: Tensor
    padded_size: tuple[int, int]
    valid: Tensor | None
    seen: Tensor | None
    counts: tuple[int, ...]

    @property
    def of_frame(self) -> Tensor:
        """The frame of each point: ``(N,)`` int64."""
        counts = torch.tensor(self.counts)
        return send(torch.repeat_interleave(counts), self.pixels.device)


@dataclass(frozen=True)
class PointSamples:
    """What the image says at each point.

    Attributes:
        features: ``(N, C)``, zeros where the point is outside the padded image.
        valid: ``(N,)`` bool, whether the camera sees the point; None: every one.
        seen: ``(S,)`` rows where ``valid`` holds; None: every row.
        counts: Points of each frame; they add up to N.
        is_projected: ``features`` are ``(S, out_channels)``, of the seen points alone, and went
            through the neck's linear layer.
    """

    features: Tensor
    valid: Tensor | None
    seen: Tensor | None
    counts: tuple[int, ...]
    is_projected: bool = False


@dataclass(frozen=True)
class ImageSampler:
    """How points read images; one object serves every neck that looks in the same way.

    Args:
        img_levels: Which levels of the pyramid to read.
        coord_type: Frame of the points: 'LIDAR', 'DEPTH' or 'CAMERA'.
        mode: 'bilinear' or 'nearest'.
        padding_mode: What lies outside the padded image: 'zeros', 'border' or 'reflection'.
        align_corners: As in :func:`torch.nn.functional.grid_sample`.
        outside_image: 'invalid': a point that the camera does not see reads nothing; 'zeros': it
            reads zeros, or, behind the camera, mirrored pixels, as in the released code.
        meta_defaults: Values for metadata entries that the pipeline is known not to write.
        pixel_offset: Added to the pixels that the calibration gives; see
            :mod:`gemini_det3d.geometry`.
        reads: 'auto': on a CPU a neck may make its maps only where points touch them. 'maps':
            whole maps, as on a GPU.

    Raises:
        ValueError: ``coord_type``, ``outside_image`` or ``reads`` is none of the above.
    """

    img_levels: tuple[int, ...]
    coord_type: str = "LIDAR"
    mode: str = "bilinear"
    padding_mode: str = "zeros"
    align_corners: bool = True
    outside_image: str = "invalid"
    meta_defaults: Mapping[str, Any] = field(default_factory=dict)
    pixel_offset: tuple[float, float] = (0.0, 0.0)
    reads: str = "auto"

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        if self.outside_image not in ("invalid", "zeros"):
            raise ValueError(
                f"outside_image must be 'invalid' or 'zeros', got {self.outside_image!r}"
            )
        if self.reads not in ("auto", "maps"):
            raise ValueError(f"reads must be 'auto' or 'maps', got {self.reads!r}")
        if self.coord_type not in PROJECTION_KEY:
            raise ValueError(
                f"coord_type must be one of {sorted(PROJECTION_KEY)}, got {self.coord_type!r}"
            )

    def levels(self, img_feats: Sequence[Tensor]) -> list[Tensor]:
        """The levels of the pyramid that are read.

        Raises:
            ValueError: It has no such level.
        """
        count = len(img_feats)
        if not all(-count <= level < count for level in self.img_levels):
            raise ValueError(
                f"img_levels={list(self.img_levels)}, and there are {count} image maps"
            )
        return [img_feats[level] for level in self.img_levels]

    def __call__(
        self,
        laterals: Sequence[Sequence[Tensor]],
        points: Sequence[Tensor],
        metas: Sequence[Mapping[str, Any]],
    ) -> list[PointSamples]:
        """Read the image once for several necks.

        Points are projected once; at each level the necks' maps lie side by side, so each point is
        looked up once for all of them.

        Args:
            laterals: Of each neck the L maps ``(B, C, h, w)`` that it reads.
            points: B tensors ``(N_b, 3 or more)``, augmented points, metres.
            metas: Metadata of the B frames.
        """
        there = self.locate(points, metas)
        pixels, counts = there.pixels.split(there.counts), there.counts
        maps = [torch.cat(level, dim=1) if len(level) > 1 else level[0] for level in zip(*laterals)]
        how = self.mode, self.padding_mode, self.align_corners
        sampled = sample_maps(maps, pixels, there.padded_size, *how)
        return [
            PointSamples(columns, there.valid, there.seen, counts)
            for columns in _columns_of(sampled, laterals)
        ]

    def locate(self, points: Sequence[Tensor], metas: Sequence[Mapping[str, Any]]) -> PointPixels:
        """Where points fall, and which of them the camera sees; arguments as of a call.

        What the frames' metadata say goes to the device in one piece.

        Raises:
            ValueError: Not as many clouds as frames, or none.
        """
        if len(points) != len(metas) or len(metas) == 0:
            raise ValueError(f"points are {len(points)} clouds, img_metas of {len(metas)} frames")
        exists = sensor_mask(metas, "camera")[:, 0]
        geometries = [
            image_geometry(meta, self.coord_type, self.meta_defaults, self.pixel_offset)
            if there else None for meta, there in zip(metas, exists)
        ]  # fmt: skip
        rows = [[*_row(geometry), geometry is not None, len(cloud)]
                for geometry, cloud in zip(geometries, points)]  # fmt: skip
        padded_size = next((g.padded_size for g in geometries if g is not None), (1, 1))
        xyz = torch.cat([cloud[:, :3] for cloud in points])
        frames = send(rows, xyz.device)
        of_point = torch.repeat_interleave(frames[:, -1].long(), output_size=len(xyz))
        matrix, height, width, there, _ = frames[of_point].split([12, 1, 1, 1, 1], dim=1)
        pixels, depth = project(xyz[:, None], matrix.view(-1, 3, 4))
        pixels, depth = pixels[:, 0], depth[:, 0]
        valid = None if exists.all() else there[:, 0] > 0
        if self.outside_image == "invalid":
            in_sight = in_view(pixels, depth, height[:, 0], width[:, 0])
            valid = in_sight if valid is None else in_sight & valid
        seen = None if valid is None else valid.nonzero()[:, 0]
        if seen is not None and len(seen) == len(xyz):
            valid = seen = None
        counts = tuple(map(len, points))
        return PointPixels(pixels, padded_size, valid, seen, counts)


def _row(geometry: ImageGeometry | None) -> list[float]:
    """Matrix, height and width; of a camera that is not there a pixel that all points fall on."""
    if geometry is None:
        return [*[0.0] * 11, 1.0, 1.0, 1.0]
    return [*geometry.matrix.numpy().flat, *geometry.size]


def _columns_of(sampled: Tensor, laterals: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Undo the side-by-side: columns are ordered level by level, neck by neck inside a level."""
    if len(laterals) == 1:
        return [sampled]
    widths = [neck[level].shape[1] for level in range(len(laterals[0])) for neck in laterals]
    pieces = sampled.split(widths, dim=1)
    return [torch.cat(pieces[i :: len(laterals)], dim=1) for i in range(len(laterals))]
