"""Would the tests notice? A seeded sample of changes to the code, each run against its own tests.

cosmic-ray says where a module can be changed and writes the change; here the sample is drawn and
the tests are run, in forks of a process that has PyTorch and mmdet3d loaded already. A place in the
code is drawn first, then one of the changes there, so that an operator with ten substitutes does
not count ten times. Left out are annotations, which nothing evaluates, decorators, and what only a
GPU runs. A mutant is killed by a failing test, an error or a time-out, and by the tests that mirror
its folder alone: what others would notice is not counted.

``python -m benchmarks.mutation --out mutants.jsonl``; started again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_LOADED_BEFORE = ("pytest", "hypothesis", "numba", "torch", "scipy.spatial", "mmengine.runner",
                  "mmcv.ops", "mmdet.models", "mmdet3d.models", "mmdet3d.datasets",
                  "mmdet3d.evaluation")  # fmt: skip
_GRACE_S = 30.0  # a mutant may take three times as long as the code, and this


class Part(NamedTuple):
    """Code, and the tests that mirror it."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "fusion": Part(
        ("fusion/*.py", "fusion/kernels/blockwise.py", "fusion/kernels/compact.py",
         "fusion/kernels/products.py", "fusion/kernels/traced.py", "fusion/kernels/library.py",
         "fusion/kernels/precision.py"),
        tuple(f"fusion/test_{name}.py" for name in (
            "gemini", "valid", "rivals", "ways", "blend", "reliability", "released", "kernels",
            "forms", "modes")),
    ),
    "geometry": Part(("geometry/*.py",), ("geometry", "formats/test_kitti_boxes.py")),
    "formats": Part(("formats/*.py",), ("formats", "evaluation/test_safe_pickle.py",
                    "evaluation/test_kitti_infos.py", "test_untrusted_files.py")),
    "evaluation": Part(("evaluation/functional/*.py",), ("evaluation",)),
    "ops": Part(("ops/*.py", "ops/mmcv_ext/*.py"), ("ops",)),
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: `name` tells it from all others."""

    part: str
    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def name(self) -> str:
        """Also where to find it."""
        return f"{self.path}:{self.line}:{self.column} {self.operator.removeprefix('core/')}"


def draw_sample(part: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants of a part, the same ones for a seed; places first, then what is done there.

    Args:
        part: A key of `PARTS`.
        count: How many; fewer if there are not so many places.
        seed: Of the draw.
    """
    places: dict[tuple, list[Mutant]] = defaultdict(list)
    for pattern in PARTS[part].code:
        for path in sorted((ROOT / "gemini_det3d").glob(pattern)):
            for mutant in _mutants_of(part, path):
                places[mutant[:4]].append(mutant)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(places), min(count, len(places)))
    return [generator.choice(places[place]) for place in chosen]


def _mutants_of(part: str, path: Path) -> Iterator[Mutant]:
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    hidden = list(_annotations(ast.parse(path.read_text(encoding="utf-8"))))
    nodes = list(ast_nodes(get_ast_from_path(path)))
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments() or name == "core/RemoveDecorator":
            continue
        operator = kind()
        positions = (where for node in nodes for where in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if not any(first <= start < last for first, last in hidden):
                place = (str(path.relative_to(ROOT)), *start)
                yield Mutant(part, *place, name, occurrence)


def _annotations(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where: (line, column) pairs."""
    for node in ast.walk(tree):
        for key in ("annotation", "returns"):
            found = getattr(node, key, None)
            if found is not None:
                yield (found.lineno, found.col_offset), (found.end_lineno, found.end_col_offset)


def mutated(mutant: Mutant) -> tuple[str, str]:
    """The module's text, and the changed lines of it as a diff."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    changed = mutate_code(text, get_operator(mutant.operator)(), mutant.occurrence)
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), lineterm="", n=0)
    return changed, "\n".join(line for line in list(lines)[3:])


class Bench:
    """Copies of the checkout, in which mutants are tested side by side.

    Args:
        jobs: How many.
        folder: Where they go.
    """

    def __init__(self, jobs: int, folder: Path) -> None:
        self.free = [folder / str(number) for number in range(jobs)]
        self.running: dict[int, tuple[Path, Mutant | None, float, float]] = {}
        parts = ("gemini_det3d", "tests", "configs", "benchmarks", "docs", "tools", "projects")
        for copy in self.free:
            for name in parts:
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, copy / name, ignore=ignore)
            for path in ROOT.glob("*.*"):
                if path.is_file():
                    shutil.copy2(path, copy)

    def start(self, part: str, mutant: Mutant | None, limit_s: float) -> None:
        """Fork a process that runs a part's tests on a mutant, or on the code as it is."""
        copy, now = self.free.pop(), time.monotonic()
        if mutant is not None:
            (copy / mutant.path).write_text(mutated(mutant)[0], encoding="utf-8")
        pid = os.fork()
        if pid == 0:
            _run_tests(copy, part, mutant)
        self.running[pid] = copy, mutant, now, now + limit_s

    def wait(self) -> tuple[Mutant | None, int | None, float]:
        """The next one to end: what, pytest's exit code (None: out of time), seconds."""
        while True:
            for pid, (copy, mutant, started, deadline) in list(self.running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                late = time.monotonic() > deadline
                if not done and not late:
                    continue
                if not done:
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                del self.running[pid]
                self._restore(copy, mutant)
                code = os.waitstatus_to_exitcode(status) if done else None
                return mutant, code, time.monotonic() - started
            time.sleep(0.05)

    def _restore(self, copy: Path, mutant: Mutant | None) -> None:
        if mutant is not None:
            shutil.copy2(ROOT / mutant.path, copy / mutant.path)  # with its time: numba looks at it
        self.free.append(copy)


def _run_tests(copy: Path, part: str, mutant: Mutant | None) -> None:
    """In the fork: never returns."""
    code = 1
    try:
        os.setpgrp()
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        for name in [m for m in sys.modules if m.split(".")[0] == "benchmarks"]:
            del sys.modules[name]
        log = os.open(copy / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        if mutant is not None and ("numba" in mutant.path or "kernels" in mutant.path):
            # Machine code on the disk belongs to the file of its caller: it would be found again.
            os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=copy)
            importlib.import_module("numba").config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
        tests = [f"tests/{name}" for name in PARTS[part].tests]
        if mutant is not None:
            tests = [*_likeliest(copy, mutant), *tests]
        code = int(importlib.import_module("pytest").main(
            ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]))  # fmt: skip
        sys.stdout.flush()
    finally:
        os._exit(code)


def _likeliest(copy: Path, mutant: Mutant) -> list[str]:
    """Test files that have the module's name; they are run first."""
    name = Path(mutant.path).stem.strip("_")
    folder = copy / "tests" / Path(*Path(mutant.path).parts[1:2])
    return [str(path.relative_to(copy)) for path in sorted(folder.rglob(f"test_{name}*.py"))]


def measure(parts: list[str], count: int, seed: int, jobs: int, out: Path, minutes: float) -> None:
    """Run what is not in ``out`` yet, and add a line for each; see `main`."""
    done = {entry["name"]: entry for entry in _read(out)}
    end = time.monotonic() + 60 * minutes
    for name in _LOADED_BEFORE:
        importlib.import_module(name)
    assert "gemini_det3d" not in sys.modules
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(jobs, Path(folder))
        for part in parts:
            left = [m for m in draw_sample(part, count, seed) if m.name not in done]
            if not left or time.monotonic() > end:
                continue
            base_s = done.get(part, {}).get("seconds") or _measure_code(bench, part, out)
            print(f"{part}: {len(left)} mutants, tests take {base_s:.0f} s", flush=True)
            while bench.running or (left and time.monotonic() < end):
                while bench.free and left and time.monotonic() < end:
                    bench.start(part, left.pop(), 3 * base_s + _GRACE_S)
                mutant, code, seconds = bench.wait()
                assert mutant is not None
                outcome = "survived" if code == 0 else "out of time" if code is None else "killed"
                _note(out, mutant.name, part, outcome, seconds, mutated(mutant)[1])


def _measure_code(bench: Bench, part: str, out: Path) -> float:
    """Seconds that the tests take on the code as it is.

    Raises:
        SystemExit: They fail.
    """
    bench.start(part, None, 3600.0)
    _, code, seconds = bench.wait()
    if code != 0:
        log = (bench.free[-1] / "log").read_text()
        raise SystemExit(f"{part}: its tests fail as it is\n{log[-2000:]}")
    _note(out, part, part, "as it is", seconds, "")
    return seconds


def _note(out: Path, name: str, part: str, outcome: str, seconds: float, diff: str) -> None:
    entry = dict(name=name, part=part, outcome=outcome, seconds=round(seconds, 1), diff=diff)
    with open(out, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    print(f"{outcome:12}{seconds:6.1f} s  {name}", flush=True)


def _read(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def write_table(out: Path) -> str:
    """Scores by part, and the survivors."""
    entries = [entry for entry in _read(out) if entry["outcome"] != "as it is"]
    lines = ["| part | mutants | killed | score |", "|---|---|---|---|"]
    for part in [*PARTS, "all"]:
        own = [e for e in entries if part in (e["part"], "all")]
        killed = sum(e["outcome"] != "survived" for e in own)
        if own:
            lines.append(f"| {part} | {len(own)} | {killed} | {killed / len(own):.0%} |")
    survivors = [e for e in entries if e["outcome"] == "survived"]
    return "\n".join([*lines, "", *(f"{e['name']}\n{e['diff']}\n" for e in survivors)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--count", type=int, default=30, help="mutants of each part (30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=60.0, help="start no more after these")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/mutants.jsonl"))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.touch()
    measure(args.parts, args.count, args.seed, args.jobs, args.out, args.minutes)
    print(write_table(args.out))


if __name__ == "__main__":
    main()
