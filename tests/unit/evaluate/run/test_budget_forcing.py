"""Budget forcing: thoughts go on after a word, long ones are closed, and what this does to samples and their keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.cli.evaluate.run import _tokens
from o1lab.config import init_lab
from o1lab.errors import RefusedError, UsageError
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.asking import SampleState, run_sample
from o1lab.evaluate.run.budget_forcing import Forcing
from o1lab.evaluate.run.control import read_settings, start
from o1lab.evaluate.run.runner import as_sample
from o1lab.evaluate.run.work_queue import CacheKeys
from o1lab.evaluate.stats.figures import figures, summarise
from o1lab.inference.calls import RequestError
from store import evaluations, open_store
from store.evaluations import Evaluation, ItemRow
from tests.unit.evaluate.run.test_asking import IDENTITY, KEY, SETTINGS, Script, held, said, words

WAITS = Forcing(2, "Wait", None, 100)
CAPPED = Forcing(0, "Wait", 5, 100)


async def run(script: Script, forcing: Forcing) -> SampleState:
    one = held("7 + 5?")
    await run_sample(one, script, forcing=forcing, size=words)
    return one


def begun(script: Script, call: int) -> str:
    """The response that a call goes on with."""
    messages, _ = script.asked[call]
    assert messages[-1]["role"] == "assistant" and messages[-2] == {"role": "user", "content": "7 + 5?"}
    return str(messages[-1]["content"])


async def test_a_thought_that_ends_is_continued_as_often_as_requested() -> None:
    script = Script(
        said("<think>\nIt is 11.\n</think>\n\n11"),
        said(", no: 12.\n</think>\n\nSo 12"),
        said(", it holds.\n</think>\n\n\\boxed{12}"),
    )
    one = await run(script, WAITS)
    assert begun(script, 1) == "<think>\nIt is 11.\nWait"
    assert begun(script, 2) == "<think>\nIt is 11.\nWait, no: 12.\nWait"
    [turn] = one.turns
    assert turn.thought == "It is 11.\nWait, no: 12.\nWait, it holds." and turn.answer == "\\boxed{12}"
    assert (one.state, one.waits, one.forced, len(one.responses)) == ("complete", 2, False, 1)
    assert one.responses[0].estimated, "the tokens of dropped answers are not those of the response"
    assert as_sample(one, None, None).dropped_tokens == len(["11"]) + len(["So", "12"])


async def test_the_tokens_of_dropped_answers_are_their_share_of_what_the_server_counted() -> None:
    script = Script(
        said("<think>\none two three\n</think>\n\nfour", output_tokens=40),
        said(" five six\n</think>\n\nseven eight", output_tokens=80),
        said("\n</think>\n\nnine", output_tokens=30),
    )
    one = await run(script, WAITS)
    sample = as_sample(one, None, None)
    assert (sample.dropped_tokens, one.turns[0].answer) == (40 // 4 + 80 // 2, "nine")
    assert sample.output_tokens == 40 + 80 + 30 - sample.dropped_tokens
    assert not one.responses[0].estimated
    assert one.turns[0].thought == "one two three\nWait five six\nWait"


async def test_what_was_dropped_is_stored_and_in_the_figures_of_the_evaluation(tmp_path: Path) -> None:
    script = Script(said("<think>\na\n</think>\n\nb c", output_tokens=30), said("\n</think>\n\n12"))
    one = await run(script, replace(WAITS, waits=1))
    store = open_store(tmp_path / "lab.db")
    record = Evaluation("e", "e", "s", 1, "h", "mathematics", "m", "base", "r", {}, {}, 1, 2, "math@1")
    evaluations.add(store.db, record, [ItemRow("i", "7 + 5?", ("12",))])
    row = as_sample(one, None, None)
    with store.db.atomic():
        (seq, _) = evaluations.add_samples(store.db, "e", [row, replace(row, sample=1, dropped_tokens=0)])
    assert evaluations.sample(store.db, seq)[1].dropped_tokens == 20
    said_of_it = summarise(store.db, record).as_json()
    assert said_of_it["avg_dropped_tokens"] == 10.0
    assert "; 10 more were generated and dropped (budget forcing)" in _tokens(said_of_it)
    assert figures(store.db, record).as_json()["avg_dropped_tokens"] == 10.0
    store.close()


async def test_a_thought_at_its_limit_is_closed_and_the_model_answers() -> None:
    script = Script(said("<think>\none two three four five", finish_reason="length"), said("\\boxed{12}"))
    one = await run(script, CAPPED)
    assert [limit for _, limit in script.asked] == [5, 95]
    assert begun(script, 1) == "<think>\none two three four five\n</think>\n\n"
    assert (one.turns[0].answer, one.state, one.forced) == ("\\boxed{12}", "complete", True)


async def test_an_answer_cut_by_the_limit_of_the_thought_is_continued() -> None:
    script = Script(said("<think>\none two\n</think>\n\nThe sum", finish_reason="length"), said(" is 12"))
    one = await run(script, CAPPED)
    assert begun(script, 1) == "<think>\none two\n</think>\n\nThe sum"
    assert (one.turns[0].answer, one.state, one.forced) == ("The sum is 12", "complete", False)


async def test_a_response_without_a_known_thought_is_continued_to_its_limit() -> None:
    script = Script(said("We add one and", finish_reason="length"), said(" get \\boxed{12}"))
    one = await run(script, CAPPED)
    assert [limit for _, limit in script.asked] == [5, 96]
    assert begun(script, 1) == "We add one and"
    assert (one.turns[0].answer, one.state, one.forced) == ("We add one and get \\boxed{12}", "complete", False)
    # The chat template opened the thought: its closing mark shows it.
    script = Script(said("one two three four five", finish_reason="length"), said(" six\n</think>\n\n12"))
    one = await run(script, CAPPED)
    assert (one.turns[0].thought, one.turns[0].answer) == ("one two three four five six", "12")


async def test_both_limits_count_the_tokens_of_the_whole_thought() -> None:
    script = Script(
        said("<think>\none two\n</think>\n\n2"),
        said(" three four", finish_reason="length"),
        said("4"),
    )
    one = await run(script, Forcing(3, "Wait", 5, 20))
    assert [limit for _, limit in script.asked] == [5, 3, 20 - 5]
    assert begun(script, 2) == "<think>\none two\nWait three four\n</think>\n\n"
    assert (one.turns[0].answer, one.waits, one.forced) == ("4", 1, True)


@pytest.mark.parametrize(
    "response",
    [said("12"), said("<think>\nhm", state="partial", fault=RequestError("cut_off", "", retryable=True))],
)
async def test_a_response_without_a_thought_or_with_an_error_stays_as_it_is(response: object) -> None:
    script = Script(response)  # type: ignore[arg-type]  # a response
    one = await run(script, replace(WAITS, most=5))
    assert len(script.asked) == 1 and one.responses == [response] and one.waits == 0


async def test_an_error_on_the_way_fails_the_sample_so_that_it_is_asked_again() -> None:
    away = RequestError("server", "Away.", retryable=True)
    script = Script(said("<think>\nhm\n</think>\n\n1"), said("", state="failed", finish_reason="", fault=away))
    one = await run(script, WAITS)
    assert one.state == "failed" and one.responses[0].key == KEY


def test_what_is_forced_is_part_of_the_key_and_other_keys_stay() -> None:
    item = Item("i", "q", ("q",))

    def key(**changes: object) -> str:
        return CacheKeys(IDENTITY, SETTINGS.model_copy(update=changes)).key(item, 0)

    assert key() == key(wait="Hmm"), "without waits the word is not used"
    forced = {key(), key(budget_forcing=1), key(budget_forcing=2), key(budget_forcing=1, wait="Hmm")}
    assert len({*forced, key(max_thought_tokens=9), key(max_thought_tokens=8)}) == 6


def test_a_suite_proposes_it_and_settings_that_leave_no_room_are_refused(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    suites = lab.root / "suites"
    suites.mkdir(exist_ok=True)
    (suites / "sums.yaml").write_text(
        "name: sums\nversion: 1\ntitle: Sums\nfamily: mathematics\nitems: {file: sums.jsonl}\nscorer: {name: math}\n"
        "sampling: {budget_forcing: 2, wait: Hmm, max_thought_tokens: 50}\n"
    )
    (suites / "sums.jsonl").write_text('{"question": "7 + 5?", "answer": "12"}\n')
    found = read_settings(lab, {"suite": "sums", "model": "m"})
    assert found.forcing == Forcing(2, "Hmm", 50, 4096)
    capped = read_settings(lab, {"suite": "sums", "model": "m", "budget_forcing": 0})
    assert capped.forcing == Forcing(0, "Hmm", 50, 4096)
    with pytest.raises(UsageError, match="no room for the answer"):
        read_settings(lab, {"suite": "sums", "model": "m", "max_tokens": 50})
    with (lab.root / "o1lab.toml").open("a") as file:
        file.write('\n[[endpoints]]\nname = "away"\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n')
    with pytest.raises(RefusedError) as refused:
        start(lab, found.model_copy(update={"model": "away"}))
    assert refused.value.code == "no_continuing"
