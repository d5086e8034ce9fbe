"""Counting, and telling a loop from long text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from o1lab.chains.measures import count_tokens, ends_in_loop, measure
from o1lab.chains.parse import parse
from o1lab.chains.segmentation.moves import pack, segment, unpack


def prose(words: int) -> str:
    chosen = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(chosen.choices(letters, k=chosen.randint(2, 9))) for _ in range(words))


def test_loops() -> None:
    assert ends_in_loop(prose(300) + "Wait, no. The rectangle covers exactly two squares. " * 6)
    assert ends_in_loop(prose(300) + "0" * 400)
    assert ends_in_loop(prose(300) + ("Wait, let me see. " + prose(100)) * 3)
    assert ends_in_loop("".join(f"So {n} is not prime, as it can be written as such a product. " for n in range(200)))


def test_not_loops() -> None:
    assert not ends_in_loop(prose(3000))
    assert not ends_in_loop("")
    assert not ends_in_loop("ha ha ha")
    assert not ends_in_loop(prose(300) + ("Wait, let me see. " + prose(100)) * 2)


def test_measure() -> None:
    raw = "<think>\nThe problem is short. Wait, is it? 3 + 4 = 7.\n</think>\n\n7"
    parsed = parse(raw)
    assert parsed.thought
    assert parsed.solution
    found = measure(raw, parsed.thought, parsed.solution, complete=parsed.complete)
    assert found.counts == {"understand": 1, "reflect": 1, "compute": 1}
    assert found.moves == tuple(segment(parsed.thought_of(raw)))
    assert unpack(pack(found.moves)) == list(found.moves)
    assert found.answer == "7"
    assert not found.looping
    cut = "<think>\n" + "Wait, no. The rectangle covers exactly two squares. " * 60
    thought = parse(cut).thought
    assert thought
    assert measure(cut, thought, (0, 0), complete=False).looping


def test_a_response_without_a_thought_has_moves_but_no_counts() -> None:
    raw = "The problem is short. Wait, is it? So the answer is \\boxed{7}."
    found = measure(raw, (0, 0), (0, len(raw)), complete=True)
    assert found.counts == {}
    assert found.moves[-1].end == len(raw)
    assert found.answer == "7"


def test_packed_moves_are_checked() -> None:
    assert unpack("") == []
    with pytest.raises(ValueError, match="X9"):
        unpack("U3 X9")


def test_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    assert count_tokens("a b a c", path) == 4
    assert count_tokens("a \ud800 b", path) == 3
    with pytest.raises(FileNotFoundError):
        count_tokens("a", tmp_path / "none.json")
