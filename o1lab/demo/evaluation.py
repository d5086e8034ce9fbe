"""One model on the held-out problems, over the protocol: who answers how many, how surely, at what length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from o1lab.chains.answers import extract_answer
from o1lab.chains.verify import VerifierPool
from o1lab.chat.client import ChatClient
from o1lab.chat.events import Answer, Sampling
from o1lab.demo.problems import Sum
from o1lab.errors import LabError
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, open_model

# Long enough for every chain of the solver; an answer that is cut off here counts as wrong.
MAX_TOKENS = 256
AT_ONCE = 60  # the server decodes what is there together


@dataclass(frozen=True)
class Score:
    """How one model did on n problems. ``ci95``: Wilson's interval; tokens as the server counts them."""

    role: str
    model: str
    correct: int
    n: int
    accuracy: float
    ci95: tuple[float, float]
    avg_output_tokens: float | None
    cut_off: int

    def as_json(self) -> dict[str, object]:
        return {
            "role": self.role,
            "model": self.model,
            "correct": self.correct,
            "n": self.n,
            "accuracy": round(self.accuracy, 4),
            "ci95": [round(end, 4) for end in self.ci95],
            "avg_output_tokens": None if self.avg_output_tokens is None else round(self.avg_output_tokens, 1),
        }


async def ask_all(
    model: ModelRef,
    questions: Sequence[str],
    manager: ServerManager,
    *,
    max_tokens: int = MAX_TOKENS,
    on_answer: Callable[[int], None] = lambda _done: None,
) -> list[Answer]:
    """The model's answers at temperature 0, in the order of the questions, ``AT_ONCE`` at a time.

    Args:
        on_answer: called with how many are done, after each.

    Raises:
        LabError: the model cannot be opened, or one of the requests failed.
    """
    target = await open_model(model, manager)
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    seats, done = asyncio.Semaphore(AT_ONCE), 0

    async def ask(question: str) -> Answer:
        nonlocal done
        answer = Answer()
        async with seats:
            async for event in client.stream(target, [{"role": "user", "content": question}], sampling):
                answer.apply(event)
        if answer.error is not None:
            raise LabError(f"{model.id} failed: {answer.error.sentence}", answer.error.hint, code="evaluation")
        done += 1
        on_answer(done)
        return answer

    async with ChatClient() as client:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(question)) for question in questions]
        except* LabError as failed:
            raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


def score(role: str, model: str, problems: Sequence[Sum], answers: Sequence[Answer]) -> Score:
    """Judge each final answer against the sum. An answer that was cut off has none and counts as wrong."""
    with VerifierPool() as verifier:
        correct = sum(
            _right(verifier, one, answer) for one, answer in zip(problems, answers, strict=True) if not _cut_off(answer)
        )
    counts = [answer.done.completion_tokens for answer in answers if answer.done is not None]
    known = [count for count in counts if count is not None]
    return Score(
        role=role,
        model=model,
        correct=correct,
        n=len(problems),
        accuracy=correct / len(problems),
        ci95=wilson(correct, len(problems)),
        avg_output_tokens=sum(known) / len(known) if len(known) == len(answers) else None,
        cut_off=sum(map(_cut_off, answers)),
    )


def _right(verifier: VerifierPool, one: Sum, answer: Answer) -> bool:
    found = extract_answer(answer.answer, answer.thought)
    return found is not None and verifier.verify(one.answer, found.text).status == "correct"


def _cut_off(answer: Answer) -> bool:
    return answer.done is None or answer.done.finish_reason != "stop"


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion at 95 %."""
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
