"""Make the project's environment: a virtual environment with the tested set; nothing is compiled.

Run by every make target. Needs only the standard library; quick when nothing is to do, and goes on
where an earlier run was cut off.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
STAMP, LOCK, SCRATCH = ".gemini_det3d_ready", ".gemini_det3d_lock", ".gemini_det3d_tmp"
OLDEST, NEWEST = (3, 10), (3, 13)  # what the pinned packages have wheels for
DISK_GIB = 6.0  # a finished environment holds 3.2 GiB; installing needs room beside it
TOOLS = "test,lint,triton"
# Variable -> (package that it stands for, what is installed where it is empty)
CHOICES = {
    "TORCH": ("torch", "torch"),
    "MMCV": ("mmcv", "mmcv-lite"),
    "SPCONV": ("spconv", "spconv"),
}
COMPILED = "mmcv"


def main() -> int:
    """Set up, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=".venv", type=Path, help="folder of the environment")
    args = parser.parse_args()
    venv = args.venv if args.venv.is_absolute() else ROOT / args.venv
    choice = {name: os.environ.get(name, "").strip() for name in CHOICES}
    stamp, wanted = venv / STAMP, fingerprint(choice)
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0
    problem = what_is_missing(venv, choice)
    if problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with alone(venv), scratch(venv):
            if stamp.is_file() and stamp.read_text() == wanted:  # by the run that was waited for
                return 0
            install(venv, choice)
            stamp.write_text(wanted)
    except subprocess.CalledProcessError as error:
        print(f"setup: failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    say(f"ready in {time.monotonic() - started:.0f} s")
    return 0


def fingerprint(choice: dict[str, str]) -> str:
    """Changes when the pins, the package's requirements or the user's choice change."""
    text = CONSTRAINTS.read_text() + (ROOT / "setup.py").read_text() + repr(sorted(choice.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def what_is_missing(venv: Path, choice: dict[str, str]) -> str | None:
    """One line for the first thing that stands in the way, or None."""
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        return (
            f"Python {version[0]}.{version[1]} is not supported; the pinned packages need 3.10 to "
            f"3.13 (tested on 3.11). Name another one: make PYTHON=python3.11"
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return "Python has no ensurepip (on Debian: apt-get install python3-venv)"
    if choice["MMCV"] == "compiled" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "MMCV=compiled needs a C++ compiler (on Debian: apt-get install g++)"
    free = shutil.disk_usage(venv.parent if venv.parent.is_dir() else ROOT).free / 2**30
    if free < DISK_GIB:
        return f"only {free:.1f} GiB free on the disk of {venv}; {DISK_GIB:.0f} GiB are needed"
    return None


@contextlib.contextmanager
def alone(venv: Path) -> Iterator[None]:
    """Wait for another run on this environment, even one whose parent was killed.

    pip inherits the lock (see :func:`run`), so it is held for as long as any pip works.
    """
    venv.mkdir(parents=True, exist_ok=True)
    with open(venv / LOCK, "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another set-up of {venv} is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(venv: Path) -> Iterator[None]:
    """Temporary files go beside the environment: /tmp may be small, a killed pip leaves much."""
    folder = venv / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install(venv: Path, choice: dict[str, str]) -> None:
    """Create the environment and fill it; what is there already stays."""
    python = venv / "bin" / "python"
    dropped = [
        name
        for folder in venv.glob("lib/python3*/site-packages")
        for name in drop_half_installed(folder)
    ]
    if "pip" in dropped or not works([python, "-m", "pip", "--version"]):
        say(f"making {venv}")
        site = ["--system-site-packages"] if "keep" in choice.values() else []
        run([sys.executable, "-m", "venv", *site, venv])
    remove_other_mmcv(python, choice["MMCV"])
    constraints = writable_constraints(venv, choice)
    say("installing PyTorch, mmdet3d and what they need (1 to 2 minutes and the downloads)")
    pip(python, constraints, "setuptools", "wheel")
    if choice["TORCH"] not in ("", "keep"):  # by itself: its index has nothing else
        pip(python, constraints, *choice["TORCH"].split())
    if choice["MMCV"] == "compiled":
        pip(python, constraints, "ninja", "psutil", "packaging", "numpy", "torch")
        compile_mmcv(python, constraints)
    project = ["--no-build-isolation", "-e", f"{ROOT}[mmdet3d,{TOOLS}]"]
    pip(python, constraints, *project, *requirements(choice))


def requirements(choice: dict[str, str]) -> list[str]:
    """What is installed along with the project, by default or by the user's choice."""
    words: list[str] = []
    for name, (_, default) in CHOICES.items():
        if name == "TORCH" and choice[name] or choice[name] in ("keep", "compiled"):
            continue
        words += (choice[name] or default).split()
    return words


def remove_other_mmcv(python: Path, choice: str) -> None:
    """mmcv and mmcv-lite share a folder: the one that is not wanted goes first."""
    if choice in ("", "compiled"):
        other = "mmcv-lite" if choice else "mmcv"
        run([python, "-m", "pip", "uninstall", "-q", "-y", other], stderr=subprocess.DEVNULL)


def drop_half_installed(folder: Path) -> list[str]:
    """Forget packages whose files are not all there in full, so that pip installs them again.

    pip unpacks in place; after an interruption it takes such a package for installed.

    Args:
        folder: site-packages.

    Returns:
        Names of what was forgotten.
    """
    for leftover in folder.glob("~*"):  # what pip has set aside while it replaces a package
        shutil.rmtree(leftover, ignore_errors=True)
    records = {info: recorded(info / "RECORD") for info in sorted(folder.glob("*.dist-info"))}
    owners = Counter(name for files in records.values() for name in files or ())
    dropped = []
    for info, files in records.items():
        if files is None or not all(
            in_full(folder / name, size if owners[name] == 1 else None)
            for name, size in files.items()
        ):
            shutil.rmtree(info)
            dropped.append(info.name.split("-")[0])
    return dropped


def recorded(record: Path) -> dict[str, int | None] | None:
    """Files of a package and their sizes where they are known; None without a list."""
    if not record.is_file():
        return None
    rows = csv.reader(record.read_text(encoding="utf-8").splitlines())
    return {
        row[0]: int(row[2]) if len(row) > 2 and row[2].isdigit() else None
        for row in rows
        if row and not row[0].endswith(".pyc")
    }


def in_full(path: Path, size: int | None) -> bool:
    """Whether a file is there, of its size where one package alone says it."""
    try:
        return size in (None, path.stat().st_size)
    except OSError:
        return False


def compile_mmcv(python: Path, constraints: Path) -> None:
    """Build mmcv with its compiled module, with progress; pip keeps the result."""
    if works([python, "-c", "import mmcv._ext as m; assert m.__file__[-3:] == '.so'"]):
        return
    say("compiling mmcv's ops, as MMCV=compiled asks: about 12 minutes on two cores, once")
    command = [python, "-m", "pip", "install", "-v", "--no-build-isolation", "-c", constraints]
    environment = dict(os.environ, MMCV_WITH_OPS="1", MAX_JOBS=str(os.cpu_count() or 1))
    show_progress([*command, COMPILED], environment)


def show_progress(command: list, environment: dict[str, str]) -> None:
    """Run a verbose build and show only how far it is; all of its output when it fails."""
    started, lines = time.monotonic(), []
    process = subprocess.Popen(
        list(map(str, command)),
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in process.stdout:
        lines.append(line)
        step = re.match(r"\s*\[(\d+)/(\d+)\]", line)
        if step and (sys.stdout.isatty() or int(step[1]) % 10 == 0 or step[1] == step[2]):
            minutes = (time.monotonic() - started) / 60
            end = "\n" if step[1] == step[2] or not sys.stdout.isatty() else "\r"
            print(f"  file {step[1]} of {step[2]}, {minutes:.1f} min", end=end, flush=True)
    if process.wait():
        print("".join(lines[-60:]), file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)


def writable_constraints(venv: Path, choice: dict[str, str]) -> Path:
    """The pins without those packages that the user chose otherwise."""
    freed = {CHOICES[name][0] for name, value in choice.items() if value not in ("", "compiled")}
    lines = [
        line
        for line in CONSTRAINTS.read_text().splitlines()
        if re.split(r"[=<>~; ]", line, maxsplit=1)[0] not in freed
    ]
    path = venv / "constraints.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def pip(python: Path, constraints: Path, *arguments: str) -> None:
    """Install quietly under the constraints; Python compiles what it imports, the rest never."""
    quiet = ["-q", "--disable-pip-version-check", "--no-warn-script-location", "--no-compile"]
    run([python, "-m", "pip", "install", *quiet, "-c", constraints, *arguments])


def run(command: list, **options) -> None:
    """Run a command, which holds the lock with us; its failure is ours."""
    subprocess.run(list(map(str, command)), check=True, close_fds=False, **options)


def works(command: list) -> bool:
    """Whether a command can be run and succeeds."""
    try:
        return subprocess.run(list(map(str, command)), capture_output=True).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    """One line about what happens now."""
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
