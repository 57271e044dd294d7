"""Damaged files through whole commands, in this process: an exit code and one line, soon."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmdet3d", exc_type=ImportError)

from tests.fuzz.commands import COMMANDS, faults_of, restructured_infos
from tests.fuzz.inputs import make_inputs, make_slow_inputs
from tests.fuzz.mutations import mutated

OTHERS = [b"\x89PNG\r\n\0", b"PK\x03\x04", b"1 2 3\n"]
FILES = [(name, file) for name, command in COMMANDS.items() for file in command.files]
# They build a model or a page in each run, or a runner: then there are few runs in the quick suite.
SLOW = ("infer", "draw", "translate", "check-alignment", "eval-robustness",
        *(name for name in COMMANDS if name.startswith("view")))  # fmt: skip
SLOWEST = ("train", "test", "train --resume", "prepare kitti and convert")
QUICK = [(name, file) for name, file in FILES
         if name not in SLOWEST or file == "trained.py"]  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, warm_programs) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


def contents(path: Path, number: int, seed: int) -> list[tuple[str, bytes]]:
    """Damaged versions; of an info file half of them well-formed, with another content."""
    if path.suffix != ".pkl":
        return list(mutated(path.read_bytes(), OTHERS, number, seed))
    damaged = mutated(path.read_bytes(), OTHERS[:1], number // 2, seed)
    return [*damaged, *restructured_infos(path, number - number // 2, seed)]


@pytest.mark.parametrize("name, file", QUICK)
def test_damaged_file_ends_a_command_with_a_code_and_one_line(
    inputs: Path, name: str, file: str
) -> None:
    is_slow = name in (*SLOW, *SLOWEST)
    damaged = contents(inputs / file, 12, seed=FILES.index((name, file)))
    damaged = damaged[-2:-1] if is_slow else damaged
    assert faults_of(name, inputs, file, damaged, inputs / "out") == []


@pytest.mark.slow
@pytest.mark.parametrize("name, file", FILES)
def test_many_damaged_files_end_a_command_with_a_code_and_one_line(
    inputs: Path, name: str, file: str
) -> None:
    make_slow_inputs(inputs)
    damaged = contents(inputs / file, 12 if name in (*SLOW, *SLOWEST) else 60, seed=1)
    assert faults_of(name, inputs, file, damaged, inputs / "out") == []
