"""Which changes to the code are tried: a seeded sample of those that cosmic-ray knows.

A place in the code is drawn first, then one of the changes there, so that an operator with ten
substitutes does not count ten times. Left out are annotations, which nothing evaluates, decorators,
and what only a GPU runs.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Part(NamedTuple):
    """Code, and the tests that mirror it."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "fusion": Part(
        ("fusion/*.py", *(f"fusion/kernels/{name}.py" for name in (
            "block", "blockwise", "compact", "constants", "division", "library", "parallel",
            "precision", "products", "staging", "traced", "workspace"))),
        tuple(f"fusion/test_{name}.py" for name in (
            "gemini", "valid", "rivals", "ways", "blend", "reliability", "released", "kernels",
            "kernel_cost", "kernel_locality", "parallel", "forms", "modes")),
    ),
    "geometry": Part(("geometry/*.py",), ("geometry", "formats/test_kitti_boxes.py")),
    "formats": Part(("formats/*.py",), ("formats", "evaluation/test_safe_pickle.py",
                    "evaluation/test_kitti_infos.py", "test_untrusted_files.py")),
    "evaluation": Part(("evaluation/functional/*.py",), ("evaluation",)),
    "ops": Part(("ops/*.py", "ops/mmcv_ext/*.py"), ("ops",)),
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: `name` tells it from all others."""

    part: str
    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def name(self) -> str:
        """Also where to find it."""
        return f"{self.path}:{self.line}:{self.column} {self.operator.removeprefix('core/')}"


def draw_sample(part: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants of a part, the same ones for a seed; places first, then what is done there.

    Args:
        part: A key of `PARTS`.
        count: How many; fewer if there are not so many places.
        seed: Of the draw.
    """
    places: dict[tuple, list[Mutant]] = defaultdict(list)
    for pattern in PARTS[part].code:
        for path in sorted((ROOT / "gemini_det3d").glob(pattern)):
            for mutant in _mutants_of(part, path):
                places[mutant[:4]].append(mutant)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(places), min(count, len(places)))
    return [generator.choice(places[place]) for place in chosen]


def _mutants_of(part: str, path: Path) -> Iterator[Mutant]:
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    hidden = list(_annotations(ast.parse(path.read_text(encoding="utf-8"))))
    nodes = list(ast_nodes(get_ast_from_path(path)))
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments() or name == "core/RemoveDecorator":
            continue
        operator = kind()
        positions = (where for node in nodes for where in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if not any(first <= start < last for first, last in hidden):
                place = (str(path.relative_to(ROOT)), *start)
                yield Mutant(part, *place, name, occurrence)


def _annotations(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where: (line, column) pairs."""
    for node in ast.walk(tree):
        for key in ("annotation", "returns"):
            found = getattr(node, key, None)
            if found is not None:
                yield (found.lineno, found.col_offset), (found.end_lineno, found.end_col_offset)


def mutated(mutant: Mutant) -> tuple[str, str]:
    """The module's text, and the changed lines of it as a diff."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    changed = mutate_code(text, get_operator(mutant.operator)(), mutant.occurrence)
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), lineterm="", n=0)
    return changed, "\n".join(line for line in list(lines)[3:])
