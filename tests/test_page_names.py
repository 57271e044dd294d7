"""What the pages name exists: modules, files, options, commands, targets and configs."""

from __future__ import annotations

import argparse
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("mmdet3d", exc_type=ImportError)

import mmdet3d

from gemini_det3d.apis.config import config_root, mmdet3d_mim
from gemini_det3d.cli import COMMANDS, SCRIPTS
from gemini_det3d.commands import load_command

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("gemini_det3d", "configs", "tests", "tools", "benchmarks", "projects", "docs")
PAGES = {
    path.name: path.read_text("utf-8").replace("\\\n", " ")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
}
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# Lines that call these have options of theirs.
OTHERS = ("torchrun", "chromium", "--disable-gpu", "pip ", "make demo")
HOST = re.compile(r"mmdet3d::[\w./-]+")
CONFIG = re.compile(r"\b(?:mvxnet|votenet|bev|segformer|translator)_\w*-[\w.-]*\w")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Of a parser and of its subcommands."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(options_of, action.choices.values()))
    return found


@cache
def command_options(name: str) -> set[str]:
    parser = argparse.ArgumentParser()
    load_command(COMMANDS[name][0]).add_arguments(parser)
    return options_of(parser)


def known_options() -> set[str]:
    """Of every command, of mmdet3d's scripts and of what we add to them, and of `make mutate`."""
    tools = Path(mmdet3d.__file__).parent / ".mim" / "tools"
    ours = ("benchmarks/mutation.py", "gemini_det3d/apis/speed_options.py")
    sources = [*(tools / f"{name}.py" for name in SCRIPTS), *(ROOT / name for name in ours)]
    found = {option for path in sources for option in OPTION.findall(path.read_text("utf-8"))}
    return found.union(*(command_options(name) for name in COMMANDS if name not in SCRIPTS))


def is_found(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_dotted_names_are_found():
    names = {n for text in PAGES.values() for n in re.findall(r"\bgemini_det3d(?:\.\w+)+", text)}
    assert len(names) > 10
    assert [name for name in sorted(names) if not is_found(name)] == []


def test_files_are_there():
    """A name may leave out the first folders: `models/metas.py`, `metas.py`."""
    known = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    ends = {"/".join(path.parts[-count:]) for path in known for count in range(1, 7)}
    wrong = [
        f"{page}: {name}"
        for page, text in PAGES.items()
        for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)*)/?`", text)
        if name.split("/")[0] in FOLDERS or re.fullmatch(r"[\w/]+\.(py|js|svg)", name)
        if name not in ends and not (ROOT / name).exists()
    ]
    assert wrong == []


def test_options_are_taken():
    """`gemini-det3d NAME` takes those of its own line; any other line, those of somebody."""
    known, wrong = known_options(), []
    for page, text in PAGES.items():
        for line in text.splitlines():
            if any(word in line for word in OTHERS):
                continue
            called = re.match(r"(?:\$ )?gemini-det3d ([\w-]+)", line)
            takes = known
            if called and called[1] not in SCRIPTS:
                takes = command_options(called[1]) if called[1] in COMMANDS else set()
                line = re.split(r"[#|]", line)[0]
            wrong += [f"{page}: {option}" for option in OPTION.findall(line) if option not in takes]
    assert wrong == []


def test_commands_targets_and_configs_are_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    paths = [p for folder in (config_root(), ROOT / "projects") for p in folder.rglob("*.py")]
    host, wrong = mmdet3d_mim() / "configs", []
    for page, text in PAGES.items():
        called = re.findall(r"(?:^|`)gemini-det3d ([a-z][\w-]*)", text, re.MULTILINE)
        made = re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.MULTILINE)
        hosts = re.findall(r"mmdet3d::([\w./-]+\.py)", text)
        wrong += [f"{page}: {path}" for path in hosts if not (host / path).is_file()]
        names = [name.removesuffix(".py") for name in CONFIG.findall(HOST.sub("", text))]
        named = [n for n in names if not any(p.stem.startswith(n) for p in paths)]
        wrong += [f"{page}: {name}" for name in (*set(called) - set(COMMANDS), *named)]
        wrong += [f"{page}: make {name}" for name in set(made) - set(targets)]
    assert wrong == []
