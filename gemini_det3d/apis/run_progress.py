"""How far several runs are, in one bar."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from gemini_det3d.apis.runs import Run


class Progress:
    """One bar for all runs, in epochs; a run moves it by the share of itself that is done."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._lock = threading.Lock()
        self._done = dict.fromkeys((run.folder for run in runs), 0.0)
        form = "{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]"
        self._bar = tqdm(total=sum(run.epochs for run in runs), bar_format=form)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def move(self, run: Run, share: float, note: str = "") -> None:
        """Say how much of a run is done, 0 to 1."""
        with self._lock:
            self._done[run.folder] = share * run.epochs
            self._bar.n = sum(self._done.values())
            if note:
                self._bar.set_postfix_str(f"{run.name}: {note}", refresh=False)
            self._bar.refresh()
