"""A process that has the libraries loaded, and becomes any Python program that is asked for.

``python tests/warm.py FOLDER`` writes ``FOLDER/python``, which is called like Python and hands its
arguments, folder, variables and open files to this process; a fork of it runs the program. Loaded
is what other projects wrote, not the plug-in, so a program here registers and patches what it would
in a process of its own. Ends when its input does.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import random
import runpy
import select
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path

LOADED = ("torch", "numba", "mmengine.runner", "mmcv.ops", "mmdet.models", "mmdet3d.datasets",
          "mmdet3d.models", "mmdet3d.evaluation", "mmdet3d.visualization")  # fmt: skip
# What is no script, ``-c`` or ``-m`` goes to Python itself; signals go on to the program.
CALLED_LIKE_PYTHON = """#!/bin/sh
exec '{python}' -IS "$0.client" "$@"
"""
CLIENT = """
import array, json, os, signal, socket, sys
words = sys.argv[1:]
if not words or words[0].startswith("-") and words[0] not in ("-c", "-m"):
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = json.dumps(dict(argv=words, cwd=os.getcwd(), environment=dict(os.environ))).encode()
files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
server.sendmsg([len(asked).to_bytes(8, "big")], files)
server.sendall(asked)
answers = server.makefile()
program = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(program, number))
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def serve(folder: Path) -> None:
    """Answer all who call ``FOLDER/python``, side by side."""
    address = str(folder / "socket")
    waiting = socket.socket(socket.AF_UNIX)
    waiting.bind(address)
    waiting.listen(64)
    names = dict(python=sys.executable, address=address)
    (folder / "python.client").write_text(CLIENT.format(**names))
    (folder / "python.new").write_text(CALLED_LIKE_PYTHON.format(**names))
    (folder / "python.new").chmod(0o755)
    (folder / "python.new").rename(folder / "python")  # from now on it can be called
    for name in LOADED:
        importlib.import_module(name)
    assert not {"gemini_det3d.plugin", "gemini_det3d.fusion"} & set(sys.modules)
    sys.modules["mmengine.config.config"].FormatCode = as_it_comes
    gc.collect()
    gc.freeze()  # forks share what is never looked through
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in (ready := select.select([waiting, sys.stdin], [], [])[0]):
        assert ready
        asker, _ = waiting.accept()
        if os.fork() == 0:
            waiting.close()
            try:
                answer(asker)
            finally:
                os._exit(1)
        asker.close()
    shutil.rmtree(folder)


def as_it_comes(text: str, **options: object) -> tuple[str, bool]:
    """In place of yapf, which takes seconds for each config that a runner keeps."""
    return text, True


def answer(asker: socket.socket) -> None:
    """Run one program and tell its process id and exit code; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = array.array("i")
    length, found, _, _ = asker.recvmsg(8, socket.CMSG_SPACE(3 * files.itemsize))
    files.frombytes(found[0][2])
    asked = json.loads(asker.makefile("rb").read(int.from_bytes(length, "big")))
    program = os.fork()
    if program == 0:
        asker.close()
        for handle, own in enumerate(files):
            os.dup2(own, handle)
            os.close(own)
        become(**asked)
    for own in files:
        os.close(own)
    asker.sendall(f"{program}\n".encode())
    ended = os.waitpid(program, os.WNOHANG)
    while not ended[0]:
        # The one who asked says nothing more: what can be read is its end.
        if select.select([asker], [], [], 0.005)[0]:
            os.kill(program, signal.SIGKILL)
            ended = os.waitpid(program, 0)
        else:
            ended = os.waitpid(program, os.WNOHANG)
    try:
        asker.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())
    except OSError:
        pass
    os._exit(0)


def become(argv: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Run a program as Python would, and end."""
    code = 1
    try:
        os.chdir(cwd)
        # Triton looks at this when it is loaded, which PyTorch before 2.6 does by itself.
        if "TRITON_INTERPRET" in environment and "triton" in sys.modules:
            os.execve(sys.executable, [sys.executable, *argv], environment)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdout.reconfigure(line_buffering=True)
        random.seed()
        importlib.import_module("numpy").random.seed()
        if "OMP_NUM_THREADS" in environment:
            importlib.import_module("torch").set_num_threads(int(environment["OMP_NUM_THREADS"]))
        paths = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:1] = paths  # in place of this file's folder
        kind, *rest = argv
        if kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            sys.path.insert(0, "")
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            sys.argv = rest
            sys.path.insert(0, cwd)
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv
            sys.path.insert(0, os.path.dirname(os.path.abspath(kind)))
            runpy.run_path(kind, run_name="__main__")
        code = 0
    except SystemExit as error:
        if not isinstance(error.code, (int, type(None))):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
