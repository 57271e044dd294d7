"""A page in a real browser, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gemini_det3d.cli import main

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
ERROR = re.compile(r"CONSOLE.*(?:Uncaught|Error|Refused|violates)", re.I)


def view(out: Path, *arguments: object) -> dict:
    """What the page that `gemini-det3d view` writes shows."""
    assert main(["view", *map(str, arguments), "--out", str(out)]) == 0
    return page_data(out)


def page_data(path: Path) -> dict:
    """What the page's scripts find."""
    text = path.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    )


def dump(page: Path, script: str = "", *flags: str) -> tuple[str, str]:
    """The page as its scripts and this one leave it, and what the browser logged."""
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>")
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-background-networking",
         "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         f"--user-data-dir={page.parent / 'profile'}", "--enable-logging=stderr",
         "--window-size=1200,900", "--virtual-time-budget=20000", *flags, "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr


def title_after(page: Path, script: str, *flags: str) -> str:
    """The document's title that a script sets; the page must run without errors.

    The script finds `set(id, value, event)` and `press(key, {shiftKey: ...})`.
    """
    helpers = """
      const set = (id, value, kind = 'change') => { const e = document.getElementById(id);
        e.value = value; e.dispatchEvent(new Event(kind)); };
      const press = (key, more) => document.body.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, ...more }));
    """
    text, log = dump(page, f"(() => {{{helpers}{script}}})();", *flags)
    assert not ERROR.search(log), ERROR.findall(log)
    return re.search(r"<title>(.*?)</title>", text, re.S)[1]
