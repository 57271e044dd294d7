"""Taskonomy's folders (Zamir et al., CVPR 2018) and the encodings of the translation protocol.

Each domain is a folder of PNGs that share their stems: ``rgb/point_7_view_2_domain_rgb.png``,
``depth_zbuffer/point_7_view_2_domain_depth_zbuffer.png``. Sub-folders, such as Taskonomy's
buildings, belong to the name of a view (``allensville/point_7_view_2``). Depths and edges are
16-bit and grey; the protocol maps them to 8 bits before anything else, all others are 8-bit.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.images import decode_grey16, read_image
from gemini_det3d.formats.stems import find_file
from gemini_det3d.formats.stems import stem_of as image_stem
from gemini_det3d.formats.text import read_bytes, read_lines

DEPTHS = ("depth_euclidean", "depth_zbuffer")
# What the protocol divides edges by, so that the strongest are white.
EDGE_SCALES = {"edge_texture": 11355.0, "edge_occlusion": 11584.0}
DOMAINS = (
    "rgb", "normal", "reshading", *DEPTHS, "principal_curvature", *EDGE_SCALES,
    "segment_unsup2d", "segment_unsup25d", "segment_semantic",
)  # fmt: skip
# ln(1 + 65535) = 11.09: the deepest value is white.
_LOG_DEPTH_SCALE = 11.1
_DEEPEST = 65535
# Taskonomy stores depth in steps of 1/512 m.
_STEPS_PER_M = 512.0
_DEEP_DOMAINS = (*DEPTHS, *EDGE_SCALES)


def domain_path(root: str | os.PathLike, stem: str, domain: str) -> Path:
    """File of a view in a domain.

    Args:
        root: Root of the data set.
        stem: Of the view, ``point_7_view_2``, with its sub-folder where it has one.
        domain: Folder name.
    """
    return Path(root) / domain / f"{stem}_domain_{domain}.png"


def find_domain(root: str | os.PathLike, stem: str, domain: str) -> Path:
    """The file of a view in a domain: of any image suffix, with or without the domain's name in it.

    A tree without sub-folders may be listed with folders that do not exist in it.

    Returns:
        The file; :func:`domain_path` where there is none.

    Raises:
        FormatError: There are two.
    """
    usual = domain_path(root, stem, domain)
    if usual.is_file():
        return usual
    folder, name = Path(root) / domain, stem.rsplit("/", 1)[-1]
    for candidate in dict.fromkeys((f"{stem}_domain_{domain}", stem, f"{name}_domain_{domain}")):
        found = find_file(folder, candidate)
        if found is not None:
            return found
    return usual


def read_list(path: str | os.PathLike) -> list[str]:
    """Views of a split.

    Args:
        path: Text file, one view per line: a stem, or a file of any domain (``_domain_*`` and what
            follows it, and folders up to the domain's, do not matter).

    Returns:
        Stems, in the file's order.

    Raises:
        FormatError: It cannot be read, is empty, or names a view twice.
    """
    stems = [_view_of(line) for _, line in read_lines(path)]
    if not stems:
        raise FormatError(path, "names no view")
    twice = next((stem for stem, count in Counter(stems).items() if count > 1), None)
    if twice:
        raise FormatError(path, f"names {twice} twice")
    return stems


def _view_of(line: str) -> str:
    """``/data/rgb/allensville/point_7_view_2_domain_rgb.png`` -> ``allensville/point_7_view_2``."""
    *folders, name = line.replace("\\", "/").split("/")
    domains = [place for place, folder in enumerate(folders) if folder in DOMAINS]
    if domains:
        folders = folders[domains[-1] + 1 :]
    elif line.startswith("/"):
        folders = []
    return "/".join([*(f for f in folders if f not in ("", ".")), stem_of(name)])


def stem_of(name: str) -> str:
    """``rgb/point_7_view_2_domain_rgb.png`` -> ``point_7_view_2``."""
    return re.sub(r"_domain_.*$", "", image_stem(name))


def read_domain(path: str | os.PathLike, domain: str) -> np.ndarray:
    """Read an image as the protocol hands it to a network, before the scaling to -1 to 1.

    Args:
        path: PNG file.
        domain: Which decides the encoding; a name that is no domain is read as 8-bit.

    Returns:
        ``(H, W, 3)`` uint8; grey is repeated.

    Raises:
        FormatError: It is missing, no image, cut off, or an 8-bit file of a 16-bit domain.
    """
    if domain not in _DEEP_DOMAINS:
        return read_image(path)
    raw = decode_grey16(read_bytes(path), path)
    grey = encode_depth(raw) if domain in DEPTHS else encode_edge(raw, domain)
    return np.repeat(grey[..., None], 3, axis=2)


def encode_depth(raw: np.ndarray) -> np.ndarray:
    """Logarithm of 16-bit depth, ``ln(1 + x) * 255 / 11.1``, cut to whole numbers.

    Args:
        raw: uint16, any shape; 65535 is sky or hole, and becomes 254.

    Returns:
        uint8, same shape.
    """
    return (np.log1p(raw.astype(np.float64)) * (255.0 / _LOG_DEPTH_SCALE)).astype(np.uint8)


def decode_depth(code: np.ndarray) -> np.ndarray:
    """Metres that an encoded depth stands for.

    Args:
        code: 0 to 255, any shape and dtype.

    Returns:
        float64 metres, same shape.
    """
    return np.expm1(np.asarray(code, dtype=np.float64) * (_LOG_DEPTH_SCALE / 255.0)) / _STEPS_PER_M


def encode_edge(raw: np.ndarray, domain: str) -> np.ndarray:
    """16-bit edge strength by the protocol's scale; stronger than its white is white.

    Args:
        raw: uint16, any shape.
        domain: One of ``EDGE_SCALES``.

    Returns:
        uint8, same shape.
    """
    return np.minimum(raw * (255.0 / EDGE_SCALES[domain]), 255.0).astype(np.uint8)


def depth_to_raw(depth_m: np.ndarray) -> np.ndarray:
    """Metres -> Taskonomy's 16-bit steps of 1/512 m.

    Args:
        depth_m: Any shape; infinity is a hole.

    Returns:
        uint16, same shape; from 128 m on, and in holes, 65535.
    """
    steps = np.round(np.minimum(depth_m, _DEEPEST) * _STEPS_PER_M)
    return np.clip(steps, 0, _DEEPEST).astype(np.uint16)


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write a PNG under its name only when it is complete.

    Args:
        path: File; its folder is made when there is none.
        image: ``(H, W, 3)`` or ``(H, W)`` uint8, or ``(H, W)`` uint16.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    write_whole(path, lambda file: picture.save(file, format="PNG", compress_level=1))
