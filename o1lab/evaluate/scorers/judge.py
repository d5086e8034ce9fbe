"""A model judges: any endpoint, a prompt with a version, a verdict or a mark in JSON with its reason.

What is judged was written by another model and may speak to the judge. It stands between marks that carry a digest of
the text itself, which whoever wrote the text could not know, and the judge is told that nothing between them instructs.
A judgement that cannot be read is asked for once more; after that the sample is unscored. Nothing is guessed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from o1lab.chains.parse import parse
from o1lab.errors import UsageError
from o1lab.evaluate.scorers.base import AskJudge, Attempt, Options, RegisteredScorer, Score, broken, label_of, scorer
from o1lab.inference.calls import CallKey, Response
from o1lab.inference.prompts import Prompt
from o1lab.jobs.control import RunStopped
from o1lab.text import one_line, visible
from store.errors import StoreError
from store.evaluations import ScoreOutcome

JUDGE = "judge"
JUDGE_VERSION = 1

_AT_ONCE = 256
_READ = 8000  # characters of a judgement that are read, from its end
_TRIES = 200  # braces that may begin an object
_VERDICTS: dict[str, ScoreOutcome] = {
    "correct": "correct", "safe": "correct",
    "incorrect": "incorrect", "wrong": "incorrect", "unsafe": "incorrect",
    "not attempted": "unextracted", "no answer": "unextracted",
    "unknown": "unscored", "cannot tell": "unscored",
}  # fmt: skip
_MARK = re.compile(r"\s*(?P<mark>\d+(?:\.\d+)?)\s*(?:/\s*(?P<of>\d+(?:\.\d+)?)|(?P<percent>%))?\s*")
_BEGINS = re.compile(r'\{\s*"')
_LONE_BACKSLASH = re.compile(r'\\(?!["\\/bfnrtu])')
_AGAIN = (
    "That was not the JSON object that was asked for. Answer again, with one JSON object and nothing else, as "
    "described at the end of the task."
)


class JudgeOptions(Options):
    """``prompt``: the name of the judge's prompt; ``scale``: its highest mark; ``threshold``: from which share of that
    a sample counts as correct; ``longest``: characters of an answer that are shown to the judge, from both ends."""

    prompt: str = "judge-factuality"
    threshold: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=100, gt=0)
    longest: int = Field(default=24_000, ge=100)


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """Who judges, and how they are asked."""

    ask: AskJudge
    model: str
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said: an outcome where it gave a verdict, a value from 0 to 1 where it gave a mark, or both."""

    outcome: ScoreOutcome | None
    value: float | None
    reason: str


def judge_label(options: JudgeOptions, prompt: Prompt, model: str | None) -> str:
    """The label of a judge's scores. The prompt's hash is in it: an edit without a new version makes other scores."""
    notes = [f"{prompt.label} {prompt.hash[:6]}", *([model] if model else [])]
    return label_of(JUDGE, JUDGE_VERSION, notes, options.changed("prompt"))


@scorer(JUDGE, version=JUDGE_VERSION, options=JudgeOptions, order=80)
class JudgeScorer(RegisteredScorer):
    """Asks the judge about each attempt, and once more where its answer cannot be read."""

    def __init__(self, options: JudgeOptions, context: JudgeContext) -> None:
        """Raises UsageError where the prompt does not show the judge what it is to judge."""
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
        # When nothing more may be asked, calls on their way still come to an end: they are paid for.
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        return [score for score in scores if score is not None]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def _score_of(self, attempt: Attempt) -> Score:
        try:
            return await self._judge(attempt)
        except (RunStopped, StoreError, OSError):  # nothing more may be asked, or kept (a JournalError too)
            raise
        except Exception as error:  # of this attempt only: what the others' judgements cost is paid
            return broken(error)

    async def _judge(self, attempt: Attempt) -> Score:
        if not attempt.answer.strip():
            return Score("unextracted", reason="the answer is empty: there is nothing to judge")
        try:
            messages = self._context.prompt.fill(shown_to_judge(attempt, self._options.longest))
        except UsageError as error:
            return Score("unscored", reason=error.message)
        said = ""
        for turn in range(2):
            response = await self._context.ask(CallKey(attempt.item.id, attempt.sample, turn), messages)
            if response.state != "done":
                return Score("unscored", reason=_failure(response))
            said = parse(response.answer).solution_of(response.answer)
            if (judged := read_judgement(said, self._options.scale)) is not None:
                return self._score(judged)
            echo = visible(said[-_READ:]).strip() or "(nothing)"
            messages = [*messages, {"role": "assistant", "content": echo}, {"role": "user", "content": _AGAIN}]
        what = f"'{one_line(said, 120)}'" if said.strip() else "nothing"
        cut = ", and was cut off" if response.finish_reason == "length" else ""
        return Score("unscored", reason=f"the judge gave no verdict that can be read, twice; it said {what}{cut}")

    def _score(self, judged: Judgement) -> Score:
        outcome = judged.outcome
        if outcome is None:
            assert judged.value is not None  # noqa: S101 - a judgement has one of the two
            outcome = "correct" if judged.value >= self._options.threshold else "incorrect"
        return Score(outcome, judged.value, reason=one_line(judged.reason, 1000))


def shown_to_judge(attempt: Attempt, longest: int) -> dict[str, str]:
    """What fills the slots of a judge's prompt.

    Control characters are made visible, and of what is too long the middle is left out, said so in its place.
    """
    item, turns = attempt.item, attempt.turns
    answer = _within(attempt.answer, longest)
    if len(turns) > 1:
        told = [line for turn in turns[:-1] for line in (f"[user] {turn.user}", f"[assistant] {turn.answer}")]
        question = "\n\n".join([*told, f"[user] {turns[-1].user}"])
    else:
        question = item.question
    question = _within(question, longest)
    gold = "\n".join(f"- {visible(one)}" for one in item.gold) if len(item.gold) > 1 else visible("".join(item.gold))
    digest = hashlib.sha256(f"{item.id}\x00{question}\x00{answer}".encode()).hexdigest()
    values = {"question": question, "gold": gold or "(none)", "answer": answer, "mark": digest[:12]}
    return {name: visible(str(value)) for name, value in item.meta.items()} | values


def read_judgement(text: str, scale: float) -> Judgement | None:
    """The judgement in a judge's answer, whatever stands around its JSON; None where there is none, or several.

    Keys are ``verdict`` or ``score`` or both, and ``reason``.
    """
    text = text[-_READ:]
    for candidate in (text, _LONE_BACKSLASH.sub(r"\\\\", text)):
        found = [one for value in _objects(candidate) if (one := _judgement(value, scale)) is not None]
        if found:
            return found[-1] if len({(one.outcome, one.value) for one in found}) == 1 else None
    return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in ``text``. What stands within one that is broken is none."""
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
    outcome = _outcome(verdict)
    mark = _mark(values.get("score"), scale)
    if (outcome is None and verdict is not None) or (mark is None and values.get("score") is not None):
        return None
    if outcome is None and mark is None:
        return None
    return Judgement(outcome, mark, reason.strip() if isinstance(reason, str) else "")


def _outcome(verdict: Any) -> ScoreOutcome | None:
    if not isinstance(verdict, str):
        return None
    return _VERDICTS.get(" ".join(re.split(r"[\s_-]+", verdict.strip(" .!*").lower())))


def _mark(value: Any, scale: float) -> float | None:
    """A mark as a share of the highest; None for anything else."""
    if isinstance(value, str):
        if (found := _MARK.fullmatch(value)) is None or len(value) > 40:
            return None
        highest = 100.0 if found["percent"] else float(found["of"] or scale)
        value, scale = float(found["mark"]), highest
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value / scale if 0 <= value <= scale and scale > 0 else None  # NaN is not within either


def _within(text: str, longest: int) -> str:
    """``text``, made visible, and without its middle where it is too long."""
    if len(text) <= longest:
        return visible(text)
    head = longest * 2 // 3
    left_out = f"\n[... {len(text) - longest:,} characters left out here, for their length ...]\n"
    return visible(text[:head]) + left_out + visible(text[-(longest - head) :])


def _failure(response: Response) -> str:
    sentence = response.fault.sentence if response.fault is not None else "its answer broke off"
    return f"the judge failed: {one_line(sentence, 300)}"
