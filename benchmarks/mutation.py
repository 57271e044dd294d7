"""Would the tests notice? A seeded sample of changes to the code, each run against its own tests.

`mutants` draws the sample; here the tests are run, in forks of a process that has PyTorch and
mmdet3d loaded already. A mutant is killed by a failing test, an error or a time-out, and by the
tests that mirror its folder alone: what others would notice is not counted.

``python -m benchmarks.mutation --out mutants.jsonl``; started again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.mutants import PARTS, ROOT, Mutant, draw_sample, mutated

_LOADED_BEFORE = ("pytest", "hypothesis", "numba", "torch", "scipy.spatial", "mmengine.runner",
                  "mmcv.ops", "mmdet.models", "mmdet3d.models", "mmdet3d.datasets",
                  "mmdet3d.evaluation")  # fmt: skip
_GRACE_S = 30.0  # a mutant may take three times as long as the code, and this


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
