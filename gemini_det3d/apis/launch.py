"""Running mmdet3d's own tools/train.py and tools/test.py, unmodified."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence

from gemini_det3d import stack
from gemini_det3d.apis.config import ConfigError, mmdet3d_mim
from gemini_det3d.apis.script_options import checked_arguments
from gemini_det3d.apis.speed_options import speed_changes
from gemini_det3d.formats import FormatError
from gemini_det3d.ops.mmcv_ext import health

# What mmdet3d's scripts do not say in their help.
_ALLOW = "  --allow-missing NAME  parameter, or start of names, that the checkpoint may lack"
_SKIP = "  --skip-bad N          leave up to N samples out that cannot be read, and report them"
_OURS = {
    "train": f"""
options of gemini-det3d beside them, which stand for changes of the config:
{_SKIP}
{_ALLOW}
  --tf32                products of float32 in TF32 (GPU)
  --fused               the optimiser's steps in one kernel (GPU)
  --compile             the model through torch.compile""",
    "test": f"""
options of gemini-det3d beside them, which stand for changes of the config:
{_SKIP}
{_ALLOW}""",
}


def run_script(name: str, argv: Sequence[str]) -> int:
    """Run one of mmdet3d's scripts in this process.

    Args:
        name: 'train' or 'test'.
        argv: The script's arguments, the config (a path, or the bare name of one of this plug-in's)
            before or after options; see :mod:`gemini_det3d.apis.script_options`. ``--skip-bad N``
            of ours stands for the config's ``on_bad_sample='skip'`` and ``max_bad_samples=N``,
            ``--allow-missing NAME`` for its CheckedLoadingHook's; ``--tf32``, ``--fused`` and
            ``--compile`` as in :mod:`gemini_det3d.apis.speed_options`.

    Returns:
        0, or 2 when config or mmdet3d are not there, packages or parts of the model do not fit
        together, an option has no effect, a file cannot be used or the training cannot go on; one
        line says so.
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
    from gemini_det3d.engine.config_errors import config_fault
    from gemini_det3d.engine.training_errors import TrainingError, naming_ops_without_a_gpu

    before = sys.argv
    sys.argv = [str(script), *argv]
    try:
        with naming_ops_without_a_gpu():
            runpy.run_path(str(script), run_name="__main__")
    except (FormatError, ConfigError, TrainingError) as error:
        print(f"gemini-det3d {name}: {error}", file=sys.stderr)
        return 2
    except OSError:
        raise
    except Exception as error:
        fault = config_fault(error)
        if fault is None:
            raise
        print(f"gemini-det3d {name}: {argv[0]}: {fault}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        if {"-h", "--help"} & set(argv):
            print(_OURS[name])
        return int(stop.code or 0) if not isinstance(stop.code, str) else 1
    finally:
        sys.argv = before
    return 0


def with_speed_options(argv: Sequence[str]) -> list[str]:
    """Replace ``--tf32``, ``--fused`` and ``--compile`` by changes of the config.

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
    rest, numbers = _taken(argv, "--skip-bad", str.isdigit, "needs a whole number")
    if not numbers:
        return rest
    return _with_changes(rest, ["on_bad_sample=skip", f"max_bad_samples={numbers[-1]}"])


def with_allowed_missing(argv: Sequence[str]) -> list[str]:
    """Replace every ``--allow-missing NAME`` by a change of the config.

    Raises:
        ConfigError: A name is missing.
    """
    option, need = "--allow-missing", "needs a name, or the start of names"
    rest, names = _taken(argv, option, lambda word: word[:1] not in ("", "-"), need)
    key = "default_hooks.checked_loading.allow_missing"
    return _with_changes(rest, [f"{key}=[{','.join(names)}]"]) if names else rest


def _taken(
    argv: Sequence[str], option: str, is_value: Callable[[str], bool], need: str
) -> tuple[list[str], list[str]]:
    """The arguments without an option, and the values that it was given, in one word or two."""
    rest, values, words = [], [], list(argv)
    while words:
        word = words.pop(0)
        name, is_one_word, value = word.partition("=")
        if name != option:
            rest.append(word)
            continue
        if not is_one_word:
            value = words.pop(0) if words else ""
        if not is_value(value):
            raise ConfigError(f"{option} {need}, got {value!r}")
        values.append(value)
    return rest, values


def _with_changes(rest: list[str], changes: list[str]) -> list[str]:
    if "--cfg-options" in rest:  # a second one would replace the first
        place = rest.index("--cfg-options") + 1
        return rest[:place] + changes + rest[place:]
    return [*rest, "--cfg-options", *changes]
