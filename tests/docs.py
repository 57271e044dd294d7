"""The code of a documentation page, by its headings."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs"


def code_blocks(page: str) -> dict[str, list[str]]:
    """Python blocks of ``docs/<page>``: heading -> its blocks, in order."""
    blocks: dict[str, list[str]] = {}
    text = (FOLDER / page).read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        blocks[heading] = re.findall(r"^```python\n(.*?)^```", body, re.DOTALL | re.MULTILINE)
    return blocks
