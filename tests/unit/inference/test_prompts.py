"""Prompt files: found by name and version, however broken the one beside them is."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.errors import UsageError
from o1lab.inference.prompts import all_prompts, broken_prompts, find_prompt
from o1lab.paths import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = init_lab(tmp_path / "lab", name="prompts")
    (made.root / "prompts").mkdir(exist_ok=True)
    return made


@pytest.mark.parametrize("text", ["no front matter", "---\nname: [\n---\n# user\nx\n", "---\nversion: 2\n---\nx\n"])
def test_a_broken_file_blocks_its_own_name_only(lab: Lab, text: str) -> None:
    broken = lab.root / "prompts" / "long-thought-2.md"
    broken.write_text(text)
    assert find_prompt(lab, "reformat").label == "reformat@1"
    assert find_prompt(lab, "long-thought@1").label == "long-thought@1"
    for wanted in ("long-thought", "long-thought@2"):
        with pytest.raises(UsageError, match="long-thought-2"):
            find_prompt(lab, wanted)
    assert [prompt.label for prompt in all_prompts(lab)] == [prompt.label for prompt in all_prompts(None)]
    assert list(broken_prompts(lab)) == [broken]
    assert broken_prompts(None) == {}


def test_instructions_on_units_and_choices_do_not_contradict_each_other() -> None:
    for name in ("translate-part", "translate-statement"):
        told = " ".join(text for _, text in find_prompt(None, name).sections)
        assert "symbols of units" in told
        assert "written out as words are translated" in told
