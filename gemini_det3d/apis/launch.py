"""Running mmdet3d's own tools/train.py and tools/test.py, unmodified."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from gemini_det3d import stack
from gemini_det3d.apis.config import ConfigError, mmdet3d_mim
from gemini_det3d.apis.script_options import checked_arguments
from gemini_det3d.apis.speed_options import speed_changes
from gemini_det3d.formats import FormatError
from gemini_det3d.ops.mmcv_ext import health


def run_script(name: str, argv: Sequence[str]) -> int:
    """Run one of mmdet3d's scripts in this process.

    Args:
        name: 'train' or 'test'.
        argv: The script's arguments, the config (a path, or the bare name of one of this plug-in's)
            before or after options; see :mod:`gemini_det3d.apis.script_options`. ``--skip-bad N``
            of ours stands for the config's ``on_bad_sample='skip'`` and ``max_bad_samples=N``,
            ``--allow-missing NAME`` for its CheckedLoadingHook's; ``--tf32`` and ``--compile`` as
            in :mod:`gemini_det3d.apis.speed_options`.

    Returns:
        0, or 2 when config or mmdet3d are not there, packages do not fit together, an option has no
        effect, a file cannot be used or the training cannot go on; one line says so.
    """
    try:
        script = mmdet3d_mim() / "tools" / f"{name}.py"
        stack.require()
        health.require()
        argv = with_speed_options(argv) if name == "train" else argv
        argv = checked_arguments(name, with_allowed_missing(with_skip_option(argv)))
    except (ConfigError, ImportError) as error:
        print(f"gemini-det3d {name}: {error}", file=sys.stderr)
        return 2
    from gemini_det3d.engine.training_errors import TrainingError

    before = sys.argv
    sys.argv = [str(script), *argv]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except (FormatError, ConfigError, TrainingError) as error:
        print(f"gemini-det3d {name}: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0) if not isinstance(stop.code, str) else 1
    finally:
        sys.argv = before
    return 0


def with_speed_options(argv: Sequence[str]) -> list[str]:
    """Replace ``--tf32`` and ``--compile`` by changes of the config.

    Raises:
        ConfigError: This machine cannot do what is asked for.
    """
    rest, changes = speed_changes(argv)
    return _with_changes(rest, changes) if changes else rest


def with_skip_option(argv: Sequence[str]) -> list[str]:
    """Replace ``--skip-bad N`` by changes of the config.

    Raises:
        ConfigError: N is missing or no whole number.
    """
    argv = list(argv)
    if "--skip-bad" not in argv:
        return argv
    place = argv.index("--skip-bad")
    number = argv[place + 1] if place + 1 < len(argv) else ""
    if not number.isdigit():
        raise ConfigError(f"--skip-bad needs a whole number, got {number!r}")
    changes = ["on_bad_sample=skip", f"max_bad_samples={number}"]
    return _with_changes(argv[:place] + argv[place + 2 :], changes)


def with_allowed_missing(argv: Sequence[str]) -> list[str]:
    """Replace every ``--allow-missing NAME`` by a change of the config.

    Raises:
        ConfigError: A name is missing.
    """
    argv, names = list(argv), []
    while "--allow-missing" in argv:
        place = argv.index("--allow-missing")
        name = argv[place + 1] if place + 1 < len(argv) else ""
        if not name or name.startswith("-"):
            raise ConfigError("--allow-missing needs a name, or the start of names")
        names.append(name)
        del argv[place : place + 2]
    if not names:
        return argv
    key = "default_hooks.checked_loading.allow_missing"
    return _with_changes(argv, [f"{key}=[{','.join(names)}]"])


def _with_changes(rest: list[str], changes: list[str]) -> list[str]:
    if "--cfg-options" in rest:  # a second one would replace the first
        place = rest.index("--cfg-options") + 1
        return rest[:place] + changes + rest[place:]
    return [*rest, "--cfg-options", *changes]
