"""The command lines of the README, the documentation and each verb's help: they exist, and their options parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from o1lab.config import init_lab
from tests.conftest import ROOT
from tests.support.command_lines import all_options, commands, fenced, indented, inline, parse, unknown

PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in (ROOT / "README.md", *PAGES)}
WRITTEN = [line for text in TEXTS.values() for line in (*indented(text), *fenced(text))]
EXAMPLES = [line for _, command in commands() for line in indented(command.help or "")]
OF_OTHERS = {"--head", "--port", "--address", "--tensor-parallel-size", "--show-dataset-card", "--gpus-per-node"}
"""Options of other programs that the texts mention."""


def test_there_are_examples() -> None:
    assert len(WRITTEN) > 25
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize("line", dict.fromkeys([*WRITTEN, *EXAMPLES]))
def test_it_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_lab(tmp_path)
    for name in ("chains.jsonl", "two-phases.yaml", "recipe.yaml"):
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    parse(line)


@pytest.mark.parametrize("name", TEXTS)
def test_sentences_name_verbs_and_options_that_exist(name: str) -> None:
    text = TEXTS[name]
    wrong = {line: words for line in inline(text) if (words := unknown(line))}
    assert not wrong
    options = set(re.findall(r"`(--[a-z][a-z-]*)[ =`]", text))
    assert not options - all_options() - OF_OTHERS


def test_a_verb_or_an_option_that_does_not_exist_is_found() -> None:
    assert unknown("traces ls --sort -chars") == ["-chars"]
    assert unknown("nonsense ls") == ["nonsense"]
    assert unknown("traces ls 'reflect>=3' --nonsense=3") == ["--nonsense=3"]
    assert unknown("eval SUITE --model M") == []
    assert fenced("```sh\no1lab traces ls \\\n  --limit 3  # three\n```\n") == ["traces ls    --limit 3"]
