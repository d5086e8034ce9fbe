"""Files of tagged chains: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.errors import UsageError
from o1lab.ingest.corrected_moves import read_tagged


def test_sentences_have_the_kinds_of_their_tags(tmp_path: Path) -> None:
    row = {
        "thought": "Let me try x. So x is 3.",
        "problem_id": "p",
        "sentences": [{"text": "Let me try x.", "tag": "plan"}, {"text": "So x is 3.", "tags": ["self_checking"]}],
    }
    path = tmp_path / "tagged.jsonl"
    path.write_text(json.dumps(row) + "\n\n")
    [(problem, example)] = read_tagged(path)
    assert problem == "p"
    assert example.kinds == [MoveKind.PLAN, MoveKind.VERIFY]


@pytest.mark.parametrize("line", ["[]", "{}", "{", '{"thought": null, "sentences": []}', "[" * 100_000])
def test_other_lines_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tagged.jsonl"
    path.write_text(line)
    with pytest.raises(UsageError, match="Line 1"):
        read_tagged(path)
