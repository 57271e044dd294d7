"""A data set whose samples depend on their keys alone."""

from __future__ import annotations

from typing import Any

from gemini_det3d.engine.exact.bad_samples import read_sample
from gemini_det3d.engine.exact.seeding import SampleKey

_OWN = ("_wrapped", "_notes")


class SeededDataset:
    """A data set that gives a key's sample, the same in any process and in any order.

    Everything else is the data set's own: what hooks read of it, set in it, or ask its class.

    Args:
        dataset: What is wrapped.
        notes: File that is told of bad samples, which are then replaced; None: they are errors.
    """

    def __init__(self, dataset: Any, notes: str | None = None) -> None:
        self._wrapped, self._notes = dataset, notes

    def __len__(self) -> int:
        return len(self._wrapped)

    def __getitem__(self, key: SampleKey | int) -> Any:
        """A sample.

        Args:
            key: Its key, or its index alone: then the generators are left as they are.

        Raises:
            FormatError: Its file cannot be read.
        """
        if not isinstance(key, SampleKey):
            return self._wrapped[key]
        return read_sample(self._wrapped, key, self._notes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_wrapped":  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            super().__setattr__(name, value)
        else:
            setattr(self._wrapped, name, value)

    @property
    def __class__(self) -> type:
        """The data set's, for ``isinstance``; `SeededDataset` passes, too."""
        return type(self._wrapped)

    def __reduce__(self) -> tuple:
        return SeededDataset, (self._wrapped, self._notes)
