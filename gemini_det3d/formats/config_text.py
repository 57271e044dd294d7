"""Configs that mmengine wrote as text, read without running what the text says."""

from __future__ import annotations

import ast
import os
from typing import Any

from gemini_det3d.formats.errors import FormatError


def parse_config_text(text: str, path: str | os.PathLike) -> dict[str, Any]:
    """Entries of a dumped config: assignments of plain values and ``dict(...)``.

    Args:
        text: A ``config.py`` of a work directory, or what a checkpoint's ``meta`` keeps as ``cfg``.
        path: Where it stands, for the error.

    Returns:
        Its entries; an expression of another kind stays its source, as text. Tuples are lists.

    Raises:
        FormatError: It is not Python.
    """
    try:
        return {
            statement.targets[0].id: _value(statement.value)
            for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormatError(path, f"is no config ({error})") from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict) and all(node.keys):
        return {_value(k): _value(v) for k, v in zip(node.keys, node.values) if k is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if not node.args and all(keyword.arg for keyword in node.keywords):
            return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return ast.unparse(node)
