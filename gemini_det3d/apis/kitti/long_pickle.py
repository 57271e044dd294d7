"""A pickle with one long list, written while the list is made, to the byte as if it were there.

``pickle`` keeps every object that it has written, for references to it. Items of the list are
forgotten as soon as they are written; what they have in common (strings, functions, types) stays.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

# How many items the C implementation appends at a time.
_BATCH = 1000
# What belongs to one item alone; an object of these kinds must not be part of two items.
_FORGOTTEN = (list, dict, tuple, bytes, np.generic, np.ndarray)


@dataclass(eq=False)
class LongList:
    """Stands for a list.

    Attributes:
        items: The items; gone through once.
        length: How many.
    """

    items: Iterable[Any]
    length: int


def dump(content: Any, file: BinaryIO) -> None:
    """What ``pickle.dump(content, file, protocol=2)`` writes where each `LongList` is a list.

    Args:
        content: What to write; `LongList` may stand anywhere in it but in another's items.
        file: Open for writing.
    """
    _Pickler(file, protocol=2).dump(content)


class _Pickler(pickle._Pickler):  # the one in Python, which can be taught
    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file: BinaryIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self._count = 0

    def memoize(self, obj: Any) -> None:
        """Number by what was written, and not by what is remembered."""
        self.write(self.put(self._count))
        self.memo[id(obj)] = self._count, obj
        self._count += 1

    def save_long_list(self, long: LongList) -> None:
        """Batches as for any list."""
        self.write(pickle.EMPTY_LIST)
        self.memoize(long)
        for index, item in enumerate(long.items):
            if index % _BATCH == 0 and long.length > 1:
                self.write(pickle.MARK)
            known = len(self.memo)
            self.save(item)
            self._forget(known)
            if long.length == 1:
                self.write(pickle.APPEND)
            elif (index + 1) % _BATCH == 0 or index + 1 == long.length:
                self.write(pickle.APPENDS)

    dispatch[LongList] = save_long_list

    def _forget(self, known: int) -> None:
        """Of what was written after the first ``known`` objects keep what items have in common."""
        new = [self.memo.popitem() for _ in range(len(self.memo) - known)]
        self.memo.update((key, entry) for key, entry in new if not isinstance(entry[1], _FORGOTTEN))
