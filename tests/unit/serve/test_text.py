"""Text of an answer as its tokens come: whole characters only, stop strings left out, thoughts counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from o1lab.serve.engine.answer_text import AnswerText
from o1lab.serve.solver_model import words


def byte_tokenizer() -> Tokenizer:
    """Every byte is a token: the hardest case for whole characters."""
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


TOKENIZER = byte_tokenizer()
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def pieces(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], AnswerText]:
    growing = AnswerText(TOKENIZER, stops)
    made = []
    for token in TOKENIZER.encode(text).ids:
        made.append(growing.push(token))
        if growing.stopped:
            return made, growing
    return [*made, growing.flush()], growing


@given(TEXTS)
def test_no_character_is_ever_split(text: str) -> None:
    made, growing = pieces(text)
    assert "".join(made) == text
    assert growing.tokens == len(text.encode())
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in made)


@given(TEXTS, st.lists(st.text("ab#\n", min_size=1, max_size=4), max_size=3))
def test_nothing_of_a_stop_string_is_sent(text: str, stops: list[str]) -> None:
    made, growing = pieces(text, tuple(stops))
    sent = "".join(made)
    met = [text.find(stop) for stop in stops if stop in text]
    assert growing.stopped == bool(met)
    assert text.startswith(sent)
    assert not any(stop in sent for stop in stops)
    if not met:
        assert sent == text


def test_half_a_character_at_the_end_becomes_a_replacement() -> None:
    growing = AnswerText(TOKENIZER)
    ids = TOKENIZER.encode("a✓").ids
    made = [growing.push(token) for token in ids[:-1]]
    assert made == ["a", "", ""]
    assert growing.flush() == "\ufffd"


@pytest.mark.parametrize(("text", "count"), [("<think>a</think>b", 16), ("no thought", 0)])
def test_thought_tokens_end_with_the_closing_mark(text: str, count: int) -> None:
    _, growing = pieces(text)
    assert growing.thought_tokens == count


@given(st.text(max_size=80))
def test_words_join_to_the_text(text: str) -> None:
    assert "".join(words(text)) == text or not text.strip()
