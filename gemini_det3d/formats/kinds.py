"""What a file is in place of the one that was expected: its first bytes say so."""

from __future__ import annotations

_UNPACK = "; unpack it first"
ARCHIVES = {
    b"\x1f\x8b": f"a gzip archive{_UNPACK}",
    b"PK\x03\x04": f"a ZIP archive{_UNPACK}",
    b"BZh": f"a bzip2 archive{_UNPACK}",
    b"\xfd7zXZ": f"an xz archive{_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive{_UNPACK}",
    b"Rar!": f"a RAR archive{_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a Zstandard archive{_UNPACK}",
}
"""Marks of archives, and what to do."""
KINDS = {
    **ARCHIVES,
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"<": "a page of the web",
    b"\x93NUMPY": "an array of NumPy",
    b"\x89HDF": "an HDF5 file (Keras, TensorFlow, MATLAB 7.3)",
    b"MATLAB": "a MATLAB file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}
"""Marks at the beginning of files that are often given for others."""
_TAR_MARK, _TAR_PLACE = b"ustar", 257
MOST_BYTES = _TAR_PLACE + len(_TAR_MARK)
"""So many of a file's first bytes tell."""


def seeming_kind(data: bytes, expected: str | None = None) -> str:
    """What a file's first bytes say that it is; empty where they say nothing.

    Args:
        data: The file, or its first `MOST_BYTES`.
        expected: Word in the names of the kinds that were expected, which say nothing.
    """
    if data[_TAR_PLACE:MOST_BYTES] == _TAR_MARK:
        return f"a tar archive{_UNPACK}"
    kind = next((kind for mark, kind in KINDS.items() if data.startswith(mark)), "")
    return "" if expected and expected in kind else kind
