"""The frame lists of a KITTI tree (``ImageSets/*.txt``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gemini_det3d.apis.findings import Finding
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_lines, write_text

# Split -> part of the tree that holds its frames.
SPLITS = {"train": "training", "val": "training", "test": "testing"}


@dataclass
class Splits:
    """Frames of each split, in file order.

    Attributes:
        frames: Split -> names of frames, without repetitions.
        findings: Faults of the lists themselves.
    """

    frames: dict[str, list[str]]
    findings: list[Finding] = field(default_factory=list)

    def tasks(self) -> list[tuple[str, str]]:
        """Every frame once: (part, frame), sorted."""
        return sorted({(SPLITS[s], frame) for s, frames in self.frames.items() for frame in frames})

    def without(self, bad: set[tuple[str, str]]) -> Splits:
        """The same lists without some frames, named as (part, frame)."""
        kept = {
            split: [frame for frame in frames if (SPLITS[split], frame) not in bad]
            for split, frames in self.frames.items()
        }
        return Splits(kept, self.findings)

    def write(self, folder: Path) -> None:
        """Write ``train.txt``, ``val.txt``, ``trainval.txt`` and ``test.txt``."""
        both = sorted({*self.frames["train"], *self.frames["val"]})
        for split, frames in {**self.frames, "trainval": both}.items():
            write_text(folder / f"{split}.txt", "".join(frame + "\n" for frame in frames))


def read_splits(root: Path, num_digits: int = 6) -> Splits:
    """Read the lists of a tree.

    Returns:
        The frames of train, val and test. ``trainval`` is not read: as for mmdet3d it is train
        and val together. A missing test list holds no frames.

    Raises:
        FormatError: There are no training frames at all, so nothing could be checked.
    """
    splits = Splits({split: [] for split in SPLITS})
    for split in SPLITS:
        _read_split(root, split, num_digits, splits)
    if not splits.frames["train"] and not splits.frames["val"]:
        first = next((f for f in splits.findings if f.level == "error"), None)
        if first is not None:
            raise FormatError(root / first.file, first.fault)
        raise FormatError(root / "ImageSets" / "train.txt", "names no frames")
    common = set(splits.frames["train"]) & set(splits.frames["val"])
    if common:
        fault = f"{len(common)} frames are in train.txt too; their scores say nothing about others"
        splits.findings.append(Finding("warning", "ImageSets/val.txt", fault))
    return splits


def _read_split(root: Path, split: str, num_digits: int, splits: Splits) -> None:
    file = f"ImageSets/{split}.txt"
    path = root / file
    if not path.exists():
        level = "warning" if split == "test" else "error"
        fault = "no such file; it lists the frames of the split, one a line"
        splits.findings.append(Finding(level, file, fault))
        return
    seen: set[str] = set()
    for number, line in read_lines(path):
        frame = line.strip()
        is_number = frame.isascii() and frame.isdigit()
        if not is_number or len(frame) != num_digits:
            hint = f" (where all have {len(frame)}: --id-digits {len(frame)})" if is_number else ""
            fault = f"line {number}: {frame!r} is no frame of {num_digits} digits{hint}"
            splits.findings.append(Finding("error", file, fault))
        elif frame in seen:
            fault = f"line {number}: {frame} is listed twice"
            splits.findings.append(Finding("warning", file, fault))
        else:
            seen.add(frame)
            splits.frames[split].append(frame)
