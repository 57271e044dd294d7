"""MkDocs hooks: README as the front page, and an API reference made from the docstrings.

Named in mkdocs.yml, run by `make docs`. A public module, class or function without a docstring is
a warning, and a warning ends the build.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "gemini_det3d"
# Pages at the top of the checkout, where GitHub looks for them -> their names in the site.
TOP_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
log = logging.getLogger("mkdocs.plugins.docs_site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and the reference to the navigation."""
    for name, page in TOP_PAGES.items():
        text = _links_from_docs((ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    pages = _modules_by_page(griffe.load(PACKAGE, search_paths=[ROOT]))
    for page, modules in pages.items():
        _warn_undocumented(modules)
        blocks = "\n\n".join(f"::: {module.path}" for module in modules)
        files.append(File.generated(config, _uri(page), content=f"# {page}\n\n{blocks}\n"))
    config.nav.append(
        {"Reference": [{page.removeprefix(f"{PACKAGE}."): _uri(page)} for page in pages]}
    )
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links to the pages at the top, which lie two folders above those of docs/."""
    for name, target in TOP_PAGES.items():
        markdown = markdown.replace(f"](../../{name}", f"](../{target}")
    return markdown


def _links_from_docs(text: str) -> str:
    """Links of a page at the top of the checkout, as they read from inside docs/."""
    for name, page in TOP_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text.replace("](docs/", "](")


def _uri(page: str) -> str:
    return f"reference/{page}.md"


def _modules_by_page(package: griffe.Module) -> dict[str, list[griffe.Module]]:
    """Public modules; a page holds those of one folder."""
    pages: dict[str, list[griffe.Module]] = {}
    for module in _public_modules(package):
        page = module.path if module.is_init_module else module.path.rpartition(".")[0]
        pages.setdefault(page, []).append(module)
    return pages


def _public_modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for _, member in sorted(module.members.items()):
        if not member.is_alias and member.is_module and not member.name.startswith("_"):
            yield from _public_modules(member)


def _warn_undocumented(modules: list[griffe.Module]) -> None:
    for module in modules:
        for thing in (module, *_public_things(module)):
            if not thing.has_docstring:
                log.warning("%s has no docstring", thing.path)


def _public_things(parent: griffe.Object) -> Iterator[griffe.Object]:
    """Classes and functions of a module, and methods of its classes."""
    for name, member in parent.members.items():
        if name.startswith("_") or member.is_alias or member.is_module or member.is_attribute:
            continue
        yield member
        if member.is_class:
            yield from _public_things(member)
