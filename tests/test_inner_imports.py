"""What functions import of this package is there: no command fails late for a name that moved."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import gemini_det3d

ROOT = Path(gemini_det3d.__file__).parent


def imported_names() -> set[tuple[str, str]]:
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level:
                if str(node.module).split(".")[0] == "gemini_det3d":
                    found |= {(str(node.module), alias.name) for alias in node.names}
    return found


def test_every_name_that_is_imported_from_the_package_exists():
    missing = []
    for module, name in sorted(imported_names()):
        try:
            has_name = hasattr(import_module(module), name) or find_spec(f"{module}.{name}")
        except ImportError as error:  # of a package that is not installed
            has_name = (error.name or "").split(".")[0] not in ("", "gemini_det3d")
        except SyntaxError:  # Triton before 3, which the operator leaves aside
            has_name = module.startswith("gemini_det3d.fusion.kernels.")
        if not has_name:
            missing.append(f"{module} has no {name}")
    assert len(imported_names()) > 300 and not missing, missing
