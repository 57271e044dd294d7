"""The one error that every reader of a user's file raises."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any


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


def first_line(error: BaseException, most: int = 120) -> str:
    """The first line of an error's own words, at most so long; its kind where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:most]


# What Python raises where a container holds something else than expected.
OTHER_FORM = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError)
"""Errors of nested containers of another form than expected."""


def naming_its_file(method: Callable) -> Callable:
    """Decorate a method that reads nested containers of a file: another form is a FormatError.

    In place of a check of every level of a pickle. The object has the file's name in ``path``.

    Args:
        method: What may meet a value of another kind.

    Returns:
        The method; it raises FormatError where it would raise what Python does of such a value.
    """

    @wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except FormatError:
            raise
        except OTHER_FORM as error:
            where = f"frame {args[0]} " if args and isinstance(args[0], (int, str)) else ""
            reason = f"{type(error).__name__}: {error}"
            raise FormatError(
                self.path, f"{where}has another form than expected ({reason})"
            ) from error

    return checked
