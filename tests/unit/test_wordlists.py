"""Word lists: read when first used, of the version that their users have, and part of the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from o1lab.distill.filters import RULES
from o1lab.evaluate.scorers import SCORERS
from o1lab.paths import assets_dir
from o1lab.wordlists import WordList, word_list
from tests.conftest import ROOT


def test_words_patterns_and_fragments() -> None:
    listed = WordList(
        {
            "version": 2,
            "fragments": {"pet": "(?:cat|dog)s?"},
            "few": "one two\n  three",
            "seen": [r"\bmy «pet»\b", "bird"],
        }
    )
    assert listed.version == 2
    assert listed.words("few") == {"one", "two", "three"}
    assert listed.pattern("seen") == re.compile(r"\bmy (?:cat|dog)s?\b|bird", re.IGNORECASE)
    assert [one.search("My Dogs") is not None for one in listed.patterns("seen")] == [True, False]


@pytest.mark.parametrize("path", sorted((ROOT / "assets" / "words").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_can_be_read_and_its_expressions_compiled(path: Path) -> None:
    listed = word_list(path.stem)
    for key, value in listed._values.items():
        if isinstance(value, list):
            assert listed.pattern(key)
        elif isinstance(value, str):
            assert listed.words(key)


def test_a_list_has_the_version_of_what_uses_it() -> None:
    assert word_list("refusal").version == SCORERS.get("refusal").version
    assert word_list("wording").version == RULES.get("proof").version


def test_importing_what_uses_lists_reads_none() -> None:
    code = (
        "import o1lab.chains.language, o1lab.distill.filters.pool, o1lab.evaluate.scorers.refusal\n"
        "from o1lab.distill.filters import RULES\nfrom o1lab.wordlists import word_list\n"
        "assert RULES.all()\nassert word_list.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_wheel_takes_the_lists_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    folders = {f"assets/{path.name}" for path in assets_dir().iterdir() if path.is_dir() and path.name != "screenshots"}
    assert folders <= included.keys()
