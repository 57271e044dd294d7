"""A process that has the libraries loaded, and forks a program's process for each line it reads.

Started by `programs.run_warm`. Loaded is what other projects wrote, not the plug-in, so a program
here registers and patches what it would in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import traceback

LOADED = ("torch", "numba", "mmengine.runner", "mmcv.ops", "mmdet.models", "mmdet3d.datasets",
          "mmdet3d.models", "mmdet3d.evaluation", "mmdet3d.visualization")  # fmt: skip


def run(argv: list[str], cwd: str, environment: dict[str, str], output: str) -> None:
    """Become a program: never returns."""
    code = 1
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        kind, *rest = argv
        if kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv
            sys.path.insert(0, os.path.dirname(kind))
            runpy.run_path(kind, run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print on import is no answer
    for name in LOADED:
        importlib.import_module(name)
    assert "gemini_det3d.plugin" not in sys.modules
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


if __name__ == "__main__":
    main()
