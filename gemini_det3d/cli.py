"""The console command ``gemini-det3d``: one subcommand per tool."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from gemini_det3d import __version__
from gemini_det3d.commands import load_command

# Subcommand -> (module in gemini_det3d.commands, help). They are imported when they are called, so
# `gemini-det3d --help` needs nothing but Python.
COMMANDS = {
    "doctor": ("doctor", "say what works on this machine, by running it, and how to mend the rest"),
    "prepare": ("prepare", "check a data set and write mmdet3d's info files"),
    "make-scenes": ("make_scenes", "write a synthetic street world in KITTI's layout"),
    "make-rooms": ("make_rooms", "write synthetic rooms in SUN RGB-D's layout"),
    "make-views": ("make_views", "write views of a synthetic world in Taskonomy's layout"),
    "train": ("launch", "run mmdet3d's own tools/train.py with a config of this plug-in"),
    "test": ("launch", "run mmdet3d's own tools/test.py with a config of this plug-in"),
    "infer": ("infer", "detect objects in an image and a point cloud, without info files"),
    "translate": ("translate", "translate a pair of images, or two folders, into pictures"),
    "draw": ("draw", "pictures of what a trained detector finds in its test set, and the truth"),
    "view": ("view", "one HTML page of clouds, images, labels and detections, without a server"),
    "report": ("report", "a page about trainings: curves, tables, configs, to reload meanwhile"),
    "eval-kitti": ("eval_kitti", "KITTI's AP from result files and labels"),
    "eval-sunrgbd": ("eval_sunrgbd", "AP at 0.25 and 0.5 of boxes in rooms, from result files"),
    "benchmark": ("benchmark", "measure the operator and the evaluation on this machine"),
    "convert-infos": ("convert_infos", "info files of mmdet3d as JSON, which cannot hold code"),
    "convert-checkpoint": ("convert_checkpoint", "released and ImageNet checkpoints into ours"),
    "eval-sensors": ("eval_sensors", "a segmentor with sensors missing or noisy"),
    "eval-robustness": ("eval_robustness", "a detector or segmentor under corrupted sensors"),
    "demo-segmentation": ("demo_segmentation", "the same for segmentation with four modalities"),
    "compare": ("compare", "train and test variants alike; one table of AP and costs"),
    "ablate": ("ablate", "what a trained detector loses without camera or LiDAR, and its gates"),
    "check-alignment": ("check_alignment", "check that augmented points and boxes fit the image"),
    "demo": ("demo", "scenes, training, test, table and pictures, in about ten minutes"),
    "demo-indoor": ("demo_indoor", "rooms, points alone against points and colour"),
    "demo-translation": ("demo_translation", "two translation tasks, operators against each other"),
}
SCRIPTS = ("train", "test")  # hand their arguments on to mmdet3d's own


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, dispatch, and turn a user's mistake into one line.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        Exit code: the tool's own, or 2 for wrong input.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"gemini_det3d {__version__}")
        return 0
    _silence_old_imports()
    name = argv.pop(0)
    if name not in COMMANDS:
        from gemini_det3d.apis.config import close_names

        hint = close_names(name, list(COMMANDS)) + "; see gemini-det3d --help"
        print(f"gemini-det3d: no command {name!r}{hint}", file=sys.stderr)
        return 2
    return _run(name, argv)


def _silence_old_imports() -> None:
    """mmengine imports pkg_resources, and setuptools warns of it in every process."""
    message = "pkg_resources is deprecated"
    warnings.filterwarnings("ignore", message=message, category=UserWarning)
    known = os.environ.get("PYTHONWARNINGS", "")
    if message not in known:
        ours = f"ignore:{message}:UserWarning"
        os.environ["PYTHONWARNINGS"] = f"{known},{ours}" if known else ours


def _run(name: str, argv: list[str]) -> int:
    from gemini_det3d.formats.inputs import keep_arguments

    if name in SCRIPTS:
        from gemini_det3d.apis.launch import run_script

        return _in_one_line(name, lambda: run_script(name, argv))
    command = load_command(COMMANDS[name][0])
    parser = argparse.ArgumentParser(
        prog=f"gemini-det3d {name}",
        description=COMMANDS[name][1],
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    args = parser.parse_args(argv)

    def run() -> int:
        keep_arguments(vars(args))
        with _terminated_as_interrupted():
            return command.run(args)

    return _in_one_line(name, run)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM (``kill``, ``timeout``, a cluster) acts as Ctrl-C: what was started ends, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_one_line(name: str, run: Callable[[], int]) -> int:
    """Exit code of a command; what a user or a machine did wrong is told in one line."""
    from gemini_det3d.apis.config import ConfigError
    from gemini_det3d.formats import FormatError

    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Nobody reads on; what Python still holds for them must not fail again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"gemini-det3d {name}: the reader of its output has gone", file=sys.stderr)
        return 2
    except (FormatError, ConfigError) as error:
        return _refused(name, str(error))
    except ImportError as error:  # a package that is not there, or not of these versions
        from gemini_det3d.stack import stack_fault

        fault = stack_fault(error)
        if fault is None:
            return _refused(name, " ".join(str(error).split()))
        return _refused(name, f"{fault} (gemini-det3d doctor says more)")
    except OSError as error:  # a disk, a permission, a device: nothing that a traceback explains
        return _refused(name, _one_line(error))
    except KeyboardInterrupt:
        print(f"gemini-det3d {name}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        fault = _config_fault(error)
        if fault is None:
            with _naming_device_faults():
                raise
        return _refused(name, fault)


def _config_fault(error: Exception) -> str | None:
    """What could not be built from a config; None for any other error."""
    if "mmengine" not in sys.modules:
        return None
    from gemini_det3d.engine.config_errors import config_fault

    return config_fault(error)


def _naming_device_faults() -> AbstractContextManager:
    """What to do about a GPU's error, below its frames; nothing where torch is not in use."""
    if "torch" not in sys.modules:
        return nullcontext()
    from gemini_det3d.formats.device_faults import naming_device_faults

    return naming_device_faults()


def _refused(name: str, reason: str) -> int:
    _end_progress_bars()
    print(f"gemini-det3d {name}: {reason}", file=sys.stderr)
    return 2


def _end_progress_bars() -> None:
    """What was begun in a frame that has failed ends its line."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()


def _one_line(error: OSError) -> str:
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: gemini-det3d COMMAND [ARGUMENTS]",
            "",
            "GeminiFusion for mmdetection3d. Commands (each has --help):",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
