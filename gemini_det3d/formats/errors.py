"""The one error that every reader of a user's file raises."""

from __future__ import annotations

import os


class FormatError(ValueError):
    """A file that cannot be used, said in one line: ``<file>: <fault>``.

    Args:
        path: The file at fault. Alone it is a whole message: a torch DataLoader rebuilds a
            worker's error from its traceback, of which the last line, ours, is kept.
        fault: What is wrong with it, with the values seen and, where there is one, the line.
    """

    def __init__(self, path: str | os.PathLike, fault: str | None = None) -> None:
        """Compose the line; the arguments are the class's."""
        if fault is None:
            lines = os.fspath(path).strip().splitlines() or [""]
            message = lines[-1].split(f"{type(self).__name__}: ", 1)[-1]
            path, _, fault = message.partition(": ")
        self.path = os.fspath(path)
        self.fault = " ".join(str(fault).split())
        super().__init__(f"{self.path}: {self.fault}")

    def __reduce__(self) -> tuple:
        """Rebuild from both arguments, so the error survives the way out of a worker process."""
        return type(self), (self.path, self.fault)
