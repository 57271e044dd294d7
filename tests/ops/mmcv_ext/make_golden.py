"""Store what compiled mmcv answers: ``python tests/ops/mmcv_ext/make_golden.py``.

Needs mmcv 2.1.0 built with its CPU ops. The arrays lie beside this file; a test compares.
"""

from __future__ import annotations

from pathlib import Path

import mmcv._ext as ext
import numpy as np
from compiled_cases import CASES, run

FILE = Path(__file__).with_name("golden.npz")


def main() -> None:
    """Run every case with the compiled module and write one file."""
    if ext.__file__.endswith(".py"):
        raise SystemExit("this mmcv has no compiled module")
    arrays = {
        f"{name}/{key}": value.numpy() for name in CASES for key, value in run(ext, name).items()
    }
    np.savez_compressed(FILE, **arrays)
    print(f"{len(arrays)} arrays, {FILE.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
