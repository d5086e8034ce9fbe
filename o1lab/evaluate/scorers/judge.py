"""Scores by a judge model: any endpoint, with a versioned prompt and a JSON verdict or mark with a reason.

The judged text was written by another model and may contain instructions to the judge. It is placed between markers
with a digest of the text, which its author could not know, and the prompt says that nothing between the markers is an
instruction. If a judgement cannot be parsed, the judge is asked once more; after that the sample is unscored. No
verdict is guessed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from o1lab.errors import UsageError
from o1lab.evaluate.scorers.base import AskJudge, Attempt, Options, RegisteredScorer, Score, broken, label_of, scorer
from o1lab.evaluate.scorers.refusal import refusal_score
from o1lab.evaluate.scorers.refusal_rules import RefusalKind
from o1lab.inference.calls import CallKey, Response
from o1lab.inference.prompts import Prompt
from o1lab.inference.thoughts import split
from o1lab.jobs.control import RunStopped
from o1lab.text import one_line, visible
from store.errors import StoreError
from store.evaluations import ScoreOutcome

JUDGE = "judge"
JUDGE_VERSION = 1

_AT_ONCE = 256
_READ = 8000  # characters at the end of a judgement that are parsed
_TRIES = 200  # opening braces to try
_VERDICTS: dict[str, ScoreOutcome] = {
    "correct": "correct", "safe": "correct",
    "incorrect": "incorrect", "wrong": "incorrect", "unsafe": "incorrect",
    "not attempted": "unextracted", "no answer": "unextracted",
    "unknown": "unscored", "cannot tell": "unscored",
}  # fmt: skip
_REFUSALS: dict[str, RefusalKind] = {"complied": "complied", "refused": "refused", "partial": "partial"}
_MARK = re.compile(r"\s*(?P<mark>\d+(?:\.\d+)?)\s*(?:/\s*(?P<of>\d+(?:\.\d+)?)|(?P<percent>%))?\s*")
_BEGINS = re.compile(r'\{\s*"')
_LONE_BACKSLASH = re.compile(r'\\(?!["\\/bfnrtu])')
_AGAIN = (
    "That was not the JSON object that was asked for. Answer again, with one JSON object and nothing else, as "
    "described at the end of the task."
)


class JudgeOptions(Options):
    """Options of the judge.

    Attributes:
        prompt: the name of the judge's prompt.
        threshold: the lowest share of the highest mark that counts as correct.
        scale: the highest mark.
        longest: the maximum number of characters of an answer that the judge sees, from both ends.
    """

    prompt: str = "judge-factuality"
    threshold: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=100, gt=0)
    longest: int = Field(default=24_000, ge=100)


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """The judge model, its prompt, and how to call it."""

    ask: AskJudge
    model: str
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Judgement:
    """A parsed judgement: an outcome (from a verdict), a value from 0 to 1 (from a mark), or both.

    ``refusal`` is a verdict on what the answer does; the item's gold then says whether that is right.
    """

    outcome: ScoreOutcome | None
    value: float | None
    reason: str
    refusal: RefusalKind | None = None


def judge_label(options: JudgeOptions, prompt: Prompt, model: str | None) -> str:
    """Return the label of a judge's scores. It contains the prompt's hash, so an edited prompt is a different judge."""
    notes = [f"{prompt.label} {prompt.hash[:6]}", *([model] if model else [])]
    return label_of(JUDGE, JUDGE_VERSION, notes, options.changed("prompt"))


@scorer(JUDGE, version=JUDGE_VERSION, options=JudgeOptions, order=80)
class JudgeScorer(RegisteredScorer):
    """Asks the judge about each attempt, and once more if its answer cannot be parsed.

    Raises:
        UsageError: the prompt has no slot for the answer or the markers.
    """

    def __init__(self, options: JudgeOptions, context: JudgeContext) -> None:
        self._options = options
        self._context = context
        if lacking := {"answer", "mark"} - context.prompt.slots:
            raise UsageError(
                f"The prompt {context.prompt.label} cannot judge: it has no {{{{{min(lacking)}}}}}.",
                f"A judge's prompt puts {{{{answer}}}} between lines with {{{{mark}}}}: see {context.prompt.path}.",
            )

    @property
    def label(self) -> str:
        return judge_label(self._options, self._context.prompt, self._context.model)

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        scores: list[Score | None] = [None] * len(attempts)
        waiting = iter(enumerate(attempts))

        async def work() -> None:
            for at, attempt in waiting:
                scores[at] = await self._score_of(attempt)

        workers = (work() for _ in range(min(_AT_ONCE, len(attempts))))
        # When the run stops, calls in flight are still awaited: they are paid for.
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        return [score for score in scores if score is not None]

    async def _score_of(self, attempt: Attempt) -> Score:
        try:
            return await self._judge(attempt)
        except (RunStopped, StoreError, OSError):  # the run stops or nothing can be stored (JournalError too)
            raise
        except Exception as error:  # affects this attempt only: the other judgements are paid for
            return broken(error)

    async def _judge(self, attempt: Attempt) -> Score:
        if not attempt.answer.strip():
            return Score("unextracted", reason="the answer is empty: there is nothing to judge")
        try:
            messages = self._context.prompt.fill(shown_to_judge(attempt, self._options.longest))
        except UsageError as error:
            return Score("unscored", reason=error.message)
        verdict = ""
        for turn in range(2):
            response = await self._context.ask(CallKey(attempt.item.id, attempt.sample, turn), messages)
            if response.state != "done":
                return Score("unscored", reason=_failure(response))
            verdict = split(response)[1].strip()
            if (judged := read_judgement(verdict, self._options.scale)) is not None:
                return self._score(attempt, judged)
            echo = visible(verdict[-_READ:]).strip() or "(nothing)"
            messages = [*messages, {"role": "assistant", "content": echo}, {"role": "user", "content": _AGAIN}]
        what = f"'{one_line(verdict, 120)}'" if verdict.strip() else "empty"
        cut = ", and was cut off" if not response.whole else ""
        return Score("unscored", reason=f"the judge gave no readable verdict, twice; its answer was {what}{cut}")

    def _score(self, attempt: Attempt, judged: Judgement) -> Score:
        if judged.refusal is not None:
            return refusal_score(attempt.item, judged.refusal, one_line(judged.reason, 1000))
        outcome = judged.outcome
        if outcome is None:
            assert judged.value is not None  # noqa: S101 - a judgement has an outcome, a value or a kind of refusal
            outcome = "correct" if judged.value >= self._options.threshold else "incorrect"
        return Score(outcome, judged.value, reason=one_line(judged.reason, 1000))


def shown_to_judge(attempt: Attempt, longest: int) -> dict[str, str]:
    """Return the values for the slots of a judge's prompt.

    Control characters are made visible. The middle of a text that is too long is replaced by a note.

    Args:
        attempt: the sample to judge. With several turns the conversation so far is the question.
        longest: the maximum number of characters of the question and of the answer.
    """
    item, turns = attempt.item, attempt.turns
    answer = _within(attempt.answer, longest)
    if len(turns) > 1:
        earlier = [line for turn in turns[:-1] for line in (f"[user] {turn.user}", f"[assistant] {turn.answer}")]
        question = "\n\n".join([*earlier, f"[user] {turns[-1].user}"])
    else:
        question = item.question
    question = _within(question, longest)
    gold = "\n".join(f"- {visible(one)}" for one in item.gold) if len(item.gold) > 1 else visible("".join(item.gold))
    digest = hashlib.sha256(f"{item.id}\x00{question}\x00{answer}".encode()).hexdigest()
    values = {"question": question, "gold": gold or "(none)", "answer": answer, "mark": digest[:12]}
    return {name: visible(str(value)) for name, value in item.meta.items()} | values


def read_judgement(text: str, scale: float) -> Judgement | None:
    """Parse the judgement in a judge's answer; None if it contains none, or contradictory ones.

    The answer contains a JSON object with ``verdict`` or ``score`` or both, and ``reason``; other text is ignored.
    """
    text = text[-_READ:]
    for candidate in (text, _LONE_BACKSLASH.sub(r"\\\\", text)):
        found = [one for value in _objects(candidate) if (one := _judgement(value, scale)) is not None]
        if found:
            return found[-1] if len({(one.outcome, one.value, one.refusal) for one in found}) == 1 else None
    return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in ``text``, without those inside an object that is broken."""
    decoder = json.JSONDecoder(strict=False)
    at, broken = text.find("{"), -1
    for _ in range(_TRIES):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            if broken < 0 and _BEGINS.match(text, at):
                broken = at
            at = text.find("{", at + 1)
            continue
        within = broken >= 0 and text.count("{", broken, at) > text.count("}", broken, at)
        if not within:
            broken = -1
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _judgement(value: Mapping[str, Any], scale: float) -> Judgement | None:
    values = {str(name).strip().lower(): one for name, one in value.items()}
    verdict, reason = values.get("verdict"), values.get("reason")
    word = " ".join(re.split(r"[\s_-]+", verdict.strip(" .!*").lower())) if isinstance(verdict, str) else ""
    outcome, refusal = _VERDICTS.get(word), _REFUSALS.get(word)
    mark = _mark(values.get("score"), scale)
    unread = outcome is None and refusal is None
    if (unread and verdict is not None) or (mark is None and values.get("score") is not None):
        return None
    if unread and mark is None:
        return None
    return Judgement(outcome, mark, reason.strip() if isinstance(reason, str) else "", refusal)


def _mark(value: Any, scale: float) -> float | None:
    """Return a mark as a share of the highest mark; None for anything else."""
    if isinstance(value, str):
        if (found := _MARK.fullmatch(value)) is None or len(value) > 40:
            return None
        highest = 100.0 if found["percent"] else float(found["of"] or scale)
        value, scale = float(found["mark"]), highest
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value / scale if 0 <= value <= scale and scale > 0 else None  # NaN fails the comparison


def _within(text: str, longest: int) -> str:
    """Return ``text`` made visible, with its middle replaced by a note if it is too long."""
    if len(text) <= longest:
        return visible(text)
    head = longest * 2 // 3
    left_out = f"\n[... {len(text) - longest:,} characters left out here, for their length ...]\n"
    return visible(text[:head]) + left_out + visible(text[-(longest - head) :])


def _failure(response: Response) -> str:
    sentence = response.fault.sentence if response.fault is not None else "its answer broke off"
    return f"the judge failed: {one_line(sentence, 300)}"
