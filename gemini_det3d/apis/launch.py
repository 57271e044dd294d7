"""Running mmdet3d's own tools/train.py and tools/test.py, unmodified."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from gemini_det3d.apis.config import ConfigError, find_config, mmdet3d_mim


def run_script(name: str, argv: Sequence[str]) -> int:
    """Run one of mmdet3d's scripts in this process.

    Args:
        name: 'train' or 'test'.
        argv: The script's arguments. The first that is not an option is the config: a path, or
            the bare name of one of this plug-in's configs.

    Returns:
        0, or 2 when the config or mmdet3d is not there.
    """
    try:
        script = mmdet3d_mim() / "tools" / f"{name}.py"
        argv = with_config_path(argv)
    except ConfigError as error:
        print(f"gemini-det3d {name}: {error}", file=sys.stderr)
        return 2
    before = sys.argv
    sys.argv = [str(script), *argv]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0) if not isinstance(stop.code, str) else 1
    finally:
        sys.argv = before
    return 0


def with_config_path(argv: Sequence[str]) -> list[str]:
    """Replace the config's name, if the first argument is one, by its path."""
    argv = list(argv)
    if argv and not argv[0].startswith("-"):
        argv[0] = str(find_config(argv[0]))
    return argv
