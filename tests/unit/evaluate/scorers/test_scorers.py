"""The scorers that go by rules: what they take for the answer, what they call right, and what they refuse to guess."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.verify import VERIFIER_VERSION, VerifierPool
from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.items import Item
from o1lab.evaluate.scorers import SCORERS, ScorerSpec, make_scorer, scorer_label
from o1lab.evaluate.scorers.base import BATCH, LONGEST_KEPT, Attempt, Score, Scorer
from o1lab.evaluate.scorers.choice import chosen_of
from o1lab.evaluate.scorers.match import contains, tokens
from o1lab.evaluate.scorers.math import MathOptions, MathScorer
from store.evaluations import Turn

PLAIN = [name for name in SCORERS.names() if name not in ("judge", "refusal-model")]  # the others need a model


def attempt(answer: str, *gold: str, thought: str = "", name: str = "1", **meta: object) -> Attempt:
    return Attempt(Item(name, "?", ("?",), gold, meta=meta), 0, (Turn("?", thought, answer),))


def scorer(name: str, **options: object) -> Scorer:
    return make_scorer(ScorerSpec(name=name, options=options))


def score(name: str, answer: str, *gold: str, options: dict[str, object] | None = None, **meta: object) -> Score:
    async def one() -> Score:
        async with scorer(name, **(options or {})) as made:
            return (await made.score([attempt(answer, *gold, **meta)]))[0]

    return asyncio.run(one())


@pytest.fixture(scope="module")
def maths() -> Iterator[MathScorer]:
    made = MathScorer(MathOptions(), workers=1)
    yield made
    asyncio.run(made.__aexit__())


# Names and labels


def test_labels_name_the_version_and_every_option_that_was_changed() -> None:
    for name in PLAIN:
        assert scorer_label(ScorerSpec(name=name), None, None) == f"{name}@{SCORERS.get(name).version}"
    spec = ScorerSpec(name="match", options={"mode": "contains", "longest": 30, "part": "whole"})
    assert scorer_label(spec, None, None) == "match@2(mode=contains, longest=30)" == make_scorer(spec).label
    assert (
        scorer_label(ScorerSpec(name="math", options={"thought": False}), None, None)
        == f"math@{VERIFIER_VERSION}(thought=false)"
    )


def test_what_is_not_there_is_a_fault_of_usage() -> None:
    with pytest.raises(UsageError, match="no scorer 'rouge'") as unknown:
        make_scorer(ScorerSpec(name="rouge"))
    assert "exact" in unknown.value.hint
    with pytest.raises(UsageError, match="'exact' has an invalid option 'case'"):
        make_scorer(ScorerSpec(name="exact", options={"case": True}))
    with pytest.raises(UsageError, match="mode"):
        scorer_label(ScorerSpec(name="match", options={"mode": "fuzzy"}), None, None)
    with pytest.raises(NotFoundError, match="judge-mine"):
        scorer_label(ScorerSpec(name="judge", options={"prompt": "judge-mine"}), None, "m")


@pytest.mark.parametrize("name", ["math", "exact", "match", "choice"])
def test_an_item_without_gold_is_unscored_not_wrong(name: str) -> None:
    assert score(name, "42").outcome == "unscored"
    assert score(name, "42", " ").reason == "the item has no gold answer"


@pytest.mark.parametrize("name", ["math", "exact", "match", "choice", "refusal", "claims"])
def test_an_empty_answer_holds_none(name: str) -> None:
    assert score(name, " \n", "refuse" if name == "refusal" else "A").outcome == "unextracted"


def test_only_people_give_human_scores() -> None:
    found = score("human", "Anything", "gold")
    assert found.outcome == "unscored"
    assert found.value is None
    assert "rate" in found.reason


# Mathematics


@pytest.mark.parametrize(
    ("answer", "gold", "outcome"),
    [
        ("So it is \\boxed{1458}.", ("1458",), "correct"),
        ("So it is \\boxed{\\frac{1}{2}}.", ("0.5",), "correct"),
        ("So it is \\boxed{2x+1}.", ("1+2x",), "correct"),
        ("So it is \\boxed{7}.", ("8", "7"), "correct"),
        ("So it is \\boxed{9}.", ("8", "7"), "incorrect"),
        ("The answer is 13.", ("12",), "incorrect"),
        ("First 3, then 12", ("12",), "correct"),
        ("I do not know.", ("12",), "unextracted"),
        ("\\boxed{}", ("12",), "unextracted"),
    ],
)
def test_maths(maths: MathScorer, answer: str, gold: tuple[str, ...], outcome: str) -> None:
    assert maths.score_attempt(attempt(answer, *gold)).outcome == outcome


def test_math_reasons_name_the_answer_and_how_it_was_found(maths: MathScorer) -> None:
    assert maths.score_attempt(attempt("\\boxed{12}", "12")) == Score("correct", answer="12", reason="the same text")
    assert maths.score_attempt(attempt("Answer: 13", "12")).reason == "another number (stated, not boxed)"
    assert maths.score_attempt(attempt("3 and 12", "12")).reason == "the same text (its last number)"


def test_which_answers_count_is_an_option() -> None:
    answers = {"any": "It comes to 12", "stated": "The answer is: 12", "boxed": "\\boxed{12}"}
    order = ["any", "stated", "boxed"]
    for strict, accept in enumerate(order):
        for loose, how in enumerate(order):
            found = MathScorer(MathOptions.model_validate({"accept": accept})).score_attempt(
                attempt(answers[how], "12")
            )
            assert found.outcome == ("correct" if loose >= strict else "unextracted")
    hidden = attempt("That is it.", "12", thought="so \\boxed{12}")
    assert MathScorer(MathOptions()).score_attempt(hidden).outcome == "correct"
    assert MathScorer(MathOptions(thought=False)).score_attempt(hidden).outcome == "unextracted"


def test_one_gold_answer_that_cannot_be_compared_leaves_it_open(maths: MathScorer) -> None:
    assert maths.score_attempt(attempt("\\boxed{7}", "8", "x" * 5000)).outcome == "unscored"


@pytest.mark.parametrize("answer", ["10^(10^10)", "99999999!"])
def test_what_would_never_end_is_unscored_with_its_reason(answer: str) -> None:
    made = MathScorer(MathOptions(), workers=1)
    made._pool = VerifierPool(1, limit_s=0.3)
    found = made.score_attempt(attempt(f"\\boxed{{{answer}}}", "12^3"))
    asyncio.run(made.__aexit__())
    assert found.outcome == "unscored"
    assert found.reason


async def test_maths_leaves_the_event_loop_alone_and_compares_what_is_the_same_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, threads, asked = MathScorer(MathOptions()), set[str](), list[object]()
    whole = VerifierPool.verify

    def verify(pool: VerifierPool, gold: str | None, answer: str | None) -> object:
        threads.add(threading.current_thread().name)
        asked.append((gold, answer))
        return whole(pool, gold, answer)

    monkeypatch.setattr(VerifierPool, "verify", verify)
    attempts = [attempt(f"\\boxed{{{number % 3}}}", "1", name=str(number)) for number in range(BATCH + 9)]
    scores = await made.score(attempts)
    assert [one.outcome == "correct" for one in scores] == [number % 3 == 1 for number in range(BATCH + 9)]
    assert threading.current_thread().name not in threads
    assert len(asked) == 6  # three answers in each of two batches


# Exact and normalised


@pytest.mark.parametrize(
    ("answer", "gold", "part", "outcome"),
    [
        (" Paris\n", "Paris", "whole", "correct"),
        ("paris", "Paris", "whole", "incorrect"),
        ("Paris\nbecause", "Paris", "first_line", "correct"),
        ("Hm.\nParis", "Paris", "last_line", "correct"),
        ("I think the answer is: Paris.", "Paris", "final", "correct"),
        ("I think of Paris 7", "7", "final", "unextracted"),
    ],
)
def test_exact(answer: str, gold: str, part: str, outcome: str) -> None:
    assert score("exact", answer, gold, options={"part": part}).outcome == outcome


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("The Beatles!", "beatles"),
        ("  a   café ", "Cafe"),
        ("\uff21\uff22\uff23\uff11\uff12", "abc12"),
        ("「北京」。", "北京"),
        ("北 京 市", "北京市"),
        ("O’Brien", "OBrien"),
        ("1,234,567", "1234567"),
        ("\u22125", "-5"),
        ("3.14", "3.14."),
        ("STRASSE", "Straße"),
        ("twenty-one", "Twenty One"),
        ("The", "the"),
        ("C++", "c++"),
        ("!", "!"),
    ],
)
def test_what_does_not_count_in_a_match(answer: str, gold: str) -> None:
    assert score("match", answer, gold).outcome == "correct"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("5", "-5"), ("314", "3.14"), ("10²", "102"), ("C", "C++"), ("½", "12"), ("!", "?"), ("20.0", "20"), ("", "x y")],
)
def test_what_counts_in_a_match(answer: str, gold: str) -> None:
    assert score("match", answer, gold).outcome in ("incorrect", "unextracted")


@pytest.mark.parametrize(
    ("answer", "gold", "outcome"),
    [
        ("It was sold to Knoedler & Co. in 1906.", "Knoedler", "correct"),
        ("That was in 2020.", "20", "incorrect"),
        ("他出生于1958年，在北京。", "1958", "correct"),
        ("他出生于1958年，在北京。", "南京", "incorrect"),
        ("New old York", "New York", "incorrect"),
        ("It was the new York.", "New York", "correct"),
    ],
)
def test_containing_goes_by_whole_tokens(answer: str, gold: str, outcome: str) -> None:
    assert score("match", answer, gold, options={"mode": "contains"}).outcome == outcome


def test_aliases_and_answers_that_list_everything() -> None:
    found = score("match", "It was Willy.", "Wilhelm", "Willy", options={"mode": "contains"})
    assert (found.outcome, found.reason) == ("correct", "contains 'Willy'")
    assert score("match", "Wilhelm", "Anna", "Wilhelm").reason == "the same as 'Wilhelm'"
    assert score("match", "Otto", "Anna", "Wilhelm").reason == "none of the 2 gold answers"
    options = {"mode": "contains", "longest": 5}
    assert score("match", "one two three four five Anna", "Anna", options=options).outcome == "incorrect"
    assert score("match", "one two three four Anna", "Anna", options=options).outcome == "correct"


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_tokens_of_a_part_are_at_their_place_in_the_whole(before: str, inner: str, after: str) -> None:
    whole = tokens(f"{before} | {inner} | {after}")
    wanted = tokens(inner)
    # Articles alone are kept where there is nothing else, and left out of a longer text.
    assert not wanted or contains(whole, wanted) or set(wanted) <= {"a", "an", "the"}
    assert tokens(inner.upper()) == tokens(inner.upper().casefold())


# Choice

_PLANETS = ["Mars", "Venus", "Mars and Venus", "neither"]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("B. Venus", "B"),
        ("（C）", "C"),
        ("答案是B。", "B"),
        ("Venus", "B"),
        ("Mars and Venus", "C"),
        ("It is venus, I am sure.", "B"),
        ("It is Mars and Venus.", "C"),
        ("The answer is (D).", "D"),
        ("The answer is B because it shines.", "B"),
        ("\\boxed{C}", "C"),
        ("I thought of (A) first.\nFinal answer: **B**", "B"),
        ("It is not (A), it is (B).", "B"),
        ("I would choose option C here.", "C"),
        ("我选B，因为它更亮。", "B"),
        ("A planet? Venus.", "B"),
        ("Neither of them.", "D"),
        ("(A) or (B), who knows", None),
        ("Choose a planet that you like.", None),
        ("Jupiter", None),
        ("", None),
    ],
)
def test_the_option_an_answer_settles_on(answer: str, letter: str | None) -> None:
    assert chosen_of(answer, dict(zip("ABCD", _PLANETS, strict=True)))[0] == letter


@pytest.mark.parametrize(
    ("gold", "choices", "answer", "outcome"),
    [
        ("B", ["x1", "x2"], "(B)", "correct"),
        (" (A)", ["x1", "x2"], "(B)", "incorrect"),
        ("x2", ["x1", "x2"], "B", "correct"),
        ("yes", ["yes", "no"], "Yes, 7411 is a prime number.", "correct"),
        ("yes", ["yes", "no"], "No. 7411 = 7 × 1058.7", "incorrect"),
        ("yes", {"A": "yes", "B": "no"}, "A", "correct"),
        ("C", None, "Answer: C", "correct"),
        ("x9", ["x1", "x2"], "(B)", "unscored"),
        ("B", ["", ""], "(C)", "unextracted"),
    ],
)
def test_choice(gold: str, choices: object, answer: str, outcome: str) -> None:
    assert score("choice", answer, gold, choices=choices).outcome == outcome


def test_a_suite_may_give_the_choices_of_all_items() -> None:
    found = score("choice", "No.", "yes", options={"choices": ["yes", "no"]})
    assert (found.outcome, found.answer) == ("incorrect", "B: no")


# Claims of a search


# Hostile text

_HOSTILE = {
    "words": "word " * 400_000,  # two megabytes; whatever is worse than linear shows with the others, too
    "no space": "a" * 200_000,
    "spaces": " " * 200_000 + "x",
    "braces": "{" * 1_000_000,
    "boxes": "\\boxed{" * 30_000,
    "escapes": "\x1b]0;title\x07\x1b[2J" * 10_000,
    "numbers": "1,234." * 30_000,
    "brackets": "(" * 100_000 + "A)" * 10_000,
    "options": "option " * 25_000,
    "chinese": "我搜索" * 60_000,
    "claims": "I found " * 25_000,
    "surrogates": "\ud800" * 50_000,
    "accents": "e" + "\u0301" * 100_000,
}


@pytest.mark.parametrize("kind", _HOSTILE)
def test_hostile_text_comes_to_an_end(kind: str, maths: MathScorer) -> None:
    one = attempt(_HOSTILE[kind], "A", choices=["x", "y"])
    found = [maths.score_attempt(one)]
    for name in ("exact", "match", "choice", "claims"):
        made = scorer(name)
        found.append(made.score_attempt(one))  # type: ignore[attr-defined]  # all four go by rules
    for each in found:
        assert each.outcome in ("correct", "incorrect", "unextracted", "unscored")
        assert len(each.answer or "") <= LONGEST_KEPT
        assert len(each.reason) < 500


async def test_the_event_loop_is_not_blocked_by_scoring() -> None:
    attempts = [attempt(f"The answer is {number}.", "7", name=str(number)) for number in range(20 * BATCH)]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    started = time.perf_counter()
    scores = await scorer("match", mode="contains").score(attempts)
    ticking.cancel()
    assert sum(one.outcome == "correct" for one in scores) == 1
    assert ticks > 20, f"{ticks} turns in {time.perf_counter() - started:.1f} s"


async def test_what_others_do_in_threads_does_not_wait_behind_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def slow(_self: object, attempts: list[Attempt]) -> list[Score]:
        assert released.wait(60)
        return [Score("correct")] * len(attempts)

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # as a machine of one core might have it
    made = scorer("exact")
    monkeypatch.setattr(type(made), "score_batch", slow)
    scoring = asyncio.create_task(made.score([attempt("4", "4")]))
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(20):
            await asyncio.to_thread(released.set)
    finally:
        released.set()
    assert await scoring == [Score("correct")]
