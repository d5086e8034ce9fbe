"""Local naturalness: which sentences a chain has, and what the student sees before each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from o1lab.errors import RefusedError
from o1lab.lens.suitability import CONTEXT, local_loss, steps_of, window

THOUGHT = "One is 3.14. Two!\nThree? 1. Four, a, b.\n\nFive 五。Six"
SENTENCES = ["One is 3.14. ", "Two!\n", "Three? ", "1. Four, a, b.\n\n", "Five 五。", "Six"]


class Words:
    """Scores each word by the number of characters before it in the request, so that a score tells what was seen."""

    def __init__(self, longest: int = 10**6) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.longest = longest

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        self.asked.append(request)
        seen, columns = 0, {"part": [], "start": [], "end": [], "logprob": []}
        for part in ("thought", "solution"):
            text = request[part]
            if len(text) > self.longest:
                raise RefusedError("The chain is too long.")
            for start in [
                at for at in range(len(text)) if not text[at].isspace() and (at == 0 or text[at - 1].isspace())
            ]:
                columns["part"].append(part)
                columns["start"].append(start)
                columns["end"].append(start + len(text[start:].split()[0]))
                columns["logprob"].append(-float(seen + start))
            seen += len(text)
        return columns


def test_sentences_cover_the_response_and_numbers_stay_whole() -> None:
    steps = steps_of(THOUGHT, "So 7. Done")
    texts = [{"thought": THOUGHT, "solution": "So 7. Done"}[one.part][one.start : one.end] for one in steps]
    assert texts == [*SENTENCES[:-1], "Six", "So 7. ", "Done"]
    assert steps_of("", "") == [] and [one.end for one in steps_of("a", "")] == [1]


def test_a_sentence_is_asked_after_the_four_before_it_alone() -> None:
    request = {
        "messages": [{"role": "user", "content": "?"}],
        "thought": THOUGHT,
        "solution": "So 7. Done",
        "cut_off": "",
    }
    steps = steps_of(THOUGHT, "So 7. Done")
    asked, part, start = window(request, steps, 5)
    assert asked["thought"] == "".join(SENTENCES[1:6]) and asked["solution"] == ""
    assert (part, start) == ("thought", len("".join(SENTENCES[1:5]))) and asked["cut_off"] == "thought"
    asked, part, start = window(request, steps, 7)
    assert asked["thought"] == "".join(SENTENCES[3:6]) and asked["solution"] == "So 7. Done"
    assert (part, start, asked["cut_off"]) == ("solution", len("So 7. "), "solution")
    assert asked["messages"] == request["messages"] and len(steps) - 1 > CONTEXT


async def test_the_loss_is_the_mean_of_the_means_of_the_sentences() -> None:
    scorer = Words()
    found = await local_loss(scorer, {"messages": [], "thought": "aaaa. bb cc.\n", "solution": "", "cut_off": ""})
    assert found == pytest.approx((0.0 + (6.0 + 9.0) / 2) / 2), "each sentence has the same weight, however long"
    assert [one["thought"] for one in scorer.asked] == ["aaaa.", "aaaa. bb cc."]
    assert await local_loss(scorer, {"messages": [], "thought": "", "solution": " ", "cut_off": ""}) is None


class Spaced:
    """Scores each word with the white space before it, as byte-level tokens have it, by the number of its letters."""

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {"part": [], "start": [], "end": [], "logprob": []}
        for part in ("thought", "solution"):
            for found in re.finditer(r"\s*\S+|\s+", request[part]):
                values = (part, found.start(), found.end(), -float(len(found[0].strip())))
                for column, value in zip(columns.values(), values, strict=True):
                    column.append(value)
        return columns


@pytest.mark.parametrize("part", ["thought", "solution"])
async def test_a_token_that_begins_with_a_space_counts_in_the_sentence_of_its_word(part: str) -> None:
    request = {"messages": [], "thought": "", "solution": "", "cut_off": "", part: "a bbbb. ccc d.\n\nEeeee. "}
    assert await local_loss(Spaced(), request) == pytest.approx(((1 + 5) / 2 + (3 + 2) / 2 + 6) / 3)


async def test_a_sentence_that_cannot_be_scored_refuses_the_chain() -> None:
    request = {"messages": [], "thought": "aaaa. " * 50, "solution": "", "cut_off": ""}
    with pytest.raises(RefusedError, match="too long"):
        await local_loss(Words(longest=10), request)
