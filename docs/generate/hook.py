"""The hook of mkdocs: adds the pages that are written from the program, and the files that the site shares with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
SHARED = {"architecture.md": "ARCHITECTURE.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages that are files of the repository."""


sys.path.insert(0, str(ROOT))  # mkdocs runs this file by itself


def written() -> dict[str, Callable[[], str]]:
    """Return the functions that write pages, by the path of the page."""
    from docs.generate import commands, files, filters, form_tour, keys, parts, settings

    return {
        "how-to/train-form.md": form_tour.page,
        "reference/commands.md": commands.page,
        "reference/keys.md": keys.page,
        "reference/recipe.md": settings.recipe,
        "reference/teacher-run.md": settings.teacher_run,
        "reference/evaluation.md": settings.evaluation,
        "reference/filters.md": filters.page,
        "reference/suites.md": parts.suites,
        "reference/parts.md": parts.registered,
        "reference/json.md": commands.json_output,
        "reference/files.md": files.page,
        "reference/o1lab-toml.md": settings.o1lab_toml,
    }


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Put the keys of the app into the pages that mention them."""
    if page.file.src_uri in {*written(), *SHARED}:
        return markdown
    from docs.generate.keys import UnknownKeyError, with_keys

    try:
        return with_keys(markdown)
    except UnknownKeyError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages before mkdocs reads the navigation."""
    for path, page in written().items():
        files.append(File.generated(config, path, content=page()))
    for path, name in SHARED.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / name)))
    for picture in sorted((ROOT / "assets" / "screenshots").glob("*.svg")):
        files.append(File.generated(config, f"screenshots/{picture.name}", abs_src_path=str(picture)))
    return files
