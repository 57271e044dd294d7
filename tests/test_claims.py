"""The suite itself: a test without an assertion claims nothing."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
CLAIMS = {"raises", "warns", "fail", "gradcheck", "gradgradcheck", "opcheck"}


def called(node: ast.AST) -> set[str]:
    """Names of all functions that are called in it."""
    calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    names = (call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
             for call in calls)  # fmt: skip
    return set(names)


def claims(function: ast.AST, helpers: dict[str, ast.AST], seen: frozenset[str]) -> bool:
    """Whether it asserts, or calls a function that does, as far as ``helpers`` knows them."""
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    names = called(function)
    if any(name in CLAIMS or name.startswith(("assert", "_assert")) for name in names):
        return True
    inner = names & helpers.keys() - seen
    return any(claims(helpers[name], helpers, seen | {name}) for name in inner)


def functions_of(path: Path) -> dict[str, ast.AST]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_asserts_something():
    files = [path for path in FOLDER.rglob("*.py") if ".venv" not in path.parts]
    helpers: dict[str, ast.AST] = {}
    for path in files:
        if not path.name.startswith("test_"):
            helpers |= functions_of(path)
    silent = [
        f"{path.relative_to(FOLDER)}::{name}"
        for path in files
        if path.name.startswith("test_")
        for own in [functions_of(path)]
        for name, function in own.items()
        if name.startswith("test_") and not claims(function, helpers | own, frozenset({name}))
    ]
    assert silent == []


def test_a_silent_test_would_be_seen():
    (silent, loud) = ast.parse("def test_a():\n    go()\ndef go():\n    assert 1").body
    assert not claims(silent, {}, frozenset())
    assert claims(silent, {"go": loud}, frozenset())
