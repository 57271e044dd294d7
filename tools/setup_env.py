"""Make the project's environment: a virtual environment with the tested set, mmcv built with ops.

Run by every make target. Needs only the standard library; quick when nothing is to do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
STAMP = ".gemini_det3d_ready"
OLDEST, NEWEST = (3, 10), (3, 12)  # what the pinned packages have wheels for
DISK_GIB = 6.0  # a finished environment holds 3.2 GiB; building needs room beside it
OPENMMLAB = [
    "mmengine",
    "mmdet",
    "mmdet3d",
    "matplotlib",
    "opencv-python",
    "opencv-python-headless",
]


def main() -> int:
    """Set up, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=".venv", type=Path, help="folder of the environment")
    args = parser.parse_args()
    venv = args.venv if args.venv.is_absolute() else ROOT / args.venv
    choice = {name: os.environ.get(name, "").strip() for name in ("TORCH", "MMCV", "SPCONV")}
    stamp, wanted = venv / STAMP, fingerprint(choice)
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0
    problem = what_is_missing(venv, choice)
    if problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 1
    try:
        install(venv, choice)
    except subprocess.CalledProcessError as error:
        print(f"setup: failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    stamp.write_text(wanted)
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
            f"3.12 (tested on 3.11). Name another one: make PYTHON=python3.11"
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return "Python has no ensurepip (on Debian: apt-get install python3-venv)"
    if choice["MMCV"] != "keep" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "no C++ compiler, which mmcv's ops need (on Debian: apt-get install g++)"
    free = shutil.disk_usage(venv.parent if venv.parent.is_dir() else ROOT).free / 2**30
    if free < DISK_GIB:
        return f"only {free:.1f} GiB free on the disk of {venv}; {DISK_GIB:.0f} GiB are needed"
    return None


def install(venv: Path, choice: dict[str, str]) -> None:
    """Create the environment and fill it, in the order that mmcv's build needs."""
    keeps = [name for name in ("TORCH", "MMCV", "SPCONV") if choice[name] == "keep"]
    if not (venv / "bin" / "python").exists():
        say(f"making {venv}")
        site = ["--system-site-packages"] if keeps else []
        run([sys.executable, "-m", "venv", *site, venv])
    python = venv / "bin" / "python"
    constraints = writable_constraints(venv, choice)
    say("installing build tools and torch")
    pip(python, constraints, "setuptools", "wheel", "ninja", "psutil", "packaging", "numpy")
    if choice["TORCH"] != "keep":
        pip(python, constraints, *(choice["TORCH"] or "torch").split())
    say("installing mmengine, mmdet, mmdet3d and what they need (2 minutes)")
    pip(python, constraints, *OPENMMLAB)
    if choice["SPCONV"] != "keep":
        pip(python, constraints, *(choice["SPCONV"] or "spconv").split())
    install_mmcv(python, constraints, choice["MMCV"])
    say("installing gemini_det3d")
    pip(python, constraints, "--no-build-isolation", "-e", f"{ROOT}[test,lint,triton]")


def install_mmcv(python: Path, constraints: Path, choice: str) -> None:
    """Install mmcv with its ops; compile it where no wheel is at hand, with progress."""
    probe = [python, "-c", "import mmcv.ops"]
    if subprocess.run(probe, capture_output=True).returncode == 0 or choice == "keep":
        return
    requirement = choice.split() if choice else ["mmcv"]
    cached = run_text([python, "-m", "pip", "cache", "list", "mmcv"])
    if "mmcv" not in cached:
        say(
            "compiling mmcv's ops, because no wheel of it fits this torch: about 12 minutes on two "
            "cores, once; pip keeps the result"
        )
    command = [python, "-m", "pip", "install", "-v", "--no-build-isolation", "-c", constraints]
    environment = dict(os.environ, MMCV_WITH_OPS="1", MAX_JOBS=str(os.cpu_count() or 1))
    show_progress([*command, *requirement], environment)


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
        if step:
            minutes = (time.monotonic() - started) / 60
            end = "\n" if step[1] == step[2] or not sys.stdout.isatty() else "\r"
            if sys.stdout.isatty() or int(step[1]) % 10 == 0 or step[1] == step[2]:
                print(f"  file {step[1]} of {step[2]}, {minutes:.1f} min", end=end, flush=True)
    if process.wait():
        print("".join(lines[-60:]), file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)


def writable_constraints(venv: Path, choice: dict[str, str]) -> Path:
    """The pins without those packages that the user chose otherwise."""
    chosen = {"TORCH": "torch", "MMCV": "mmcv", "SPCONV": "spconv"}
    freed = {package for name, package in chosen.items() if choice[name]}
    lines = [
        line
        for line in CONSTRAINTS.read_text().splitlines()
        if re.split(r"[=<>~ ]", line, maxsplit=1)[0] not in freed
    ]
    path = venv / "constraints.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def pip(python: Path, constraints: Path, *arguments: str) -> None:
    """Install quietly under the constraints."""
    quiet = ["-q", "--disable-pip-version-check", "--no-warn-script-location"]
    run([python, "-m", "pip", "install", *quiet, "-c", constraints, *arguments])


def run(command: list) -> None:
    """Run a command; its failure is ours."""
    subprocess.run(list(map(str, command)), check=True)


def run_text(command: list) -> str:
    """Output of a command, empty when it fails."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True).stdout


def say(text: str) -> None:
    """One line about what happens now."""
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
