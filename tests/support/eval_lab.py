"""Labs and a server for tests of evaluations: a suite of sums, a model that adds them, a judge of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from o1lab.config import init_lab
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.paths import Lab
from store import evaluations, sample_list
from store.connection import open_store
from store.evaluations import NewSample
from tests.support.distill_lab import FakeClock
from tests.support.distill_server import DistillServer, Question, question_of

SUITE = {
    "name": "sums", "version": 1, "title": "Sums", "family": "mathematics",
    "items": {"file": "sums.jsonl", "fields": {"id": "id", "question": "question", "gold": "gold"}},
    "prompt": "{{question}}",
    "scorer": {"name": "math"},
    "sampling": {"max_tokens": 64},
}  # fmt: skip


class EvalServer(DistillServer):
    """Adds as :class:`DistillServer` does, every third sum wrong. The model called ``judge`` judges: it says what
    ``verdict`` makes of the sum and the number of times it was asked about it before."""

    def __init__(
        self,
        mode: str = "ok",
        *,
        latency_s: float = 0.0,
        treat: Callable[[Question, int], str] | None = None,
        verdict: Callable[[Question, int], str] | None = None,
        words: Callable[[Question], list[str]] | None = None,
    ) -> None:
        super().__init__(mode, latency_s=latency_s, treat=treat)
        self.verdict = verdict or (lambda _question, _before: json.dumps({"verdict": "correct", "reason": "it is"}))
        self.words = words
        self.judged: list[Question] = []

    def mode_of(self, body: dict[str, Any]) -> str:
        return "ok" if is_judge(body) and self.mode == "ok" else super().mode_of(body)

    def words_for(self, body: dict[str, Any]) -> list[str]:
        question = question_of(body)
        if is_judge(body):
            before = self.judged.count(question)
            self.judged.append(question)
            return [self.verdict(question, before)]
        return self.words(question) if self.words else super().words_for(body)

    def asked_of(self, model: str) -> list[dict[str, Any]]:
        return [body for body in self.requests if body["model"] == model]


def is_judge(body: dict[str, Any]) -> bool:
    return str(body["model"]).startswith("judge")


def make_lab(path: Path, url: str, number: int = 6, **endpoint: Any) -> Lab:
    """A lab with the suite ``sums`` of so many items, and three endpoints: ``teacher``, ``judge`` and ``judge-2``."""
    lab = init_lab(path, name="eval")
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    endpoints = tomlkit.aot()
    for name, model, role in (
        ("teacher", "m", "teacher"),
        ("judge", "judge", "judge"),
        ("judge-2", "judge-2", "judge"),
    ):
        endpoints.append(tomlkit.item({"name": name, "url": url, "model": model, "role": role} | endpoint))
    document["endpoints"] = endpoints
    lab.config.write_text(tomlkit.dumps(document), "utf-8")
    write_items(lab, [(100 + i, 107 + i) for i in range(number)])
    write_suite(lab)
    return lab


def write_items(lab: Lab, sums: Sequence[tuple[int, int]]) -> None:
    data = lab.suites / "data" / "sums.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"sum-{a}", "question": f"What is {a} + {b}?", "gold": str(a + b)} for a, b in sums]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def write_suite(lab: Lab, **changes: Any) -> None:
    lab.suites.mkdir(exist_ok=True)
    (lab.suites / "sums.yaml").write_text(json.dumps(SUITE | changes), "utf-8")  # JSON is YAML


def begin(lab: Lab, **settings: Any) -> EvalFolder:
    values = {"suite": "sums", "model": "teacher", "concurrency": 4}
    return control.start(lab, control.read_settings(lab, values | settings))


async def run(lab: Lab, clock: FakeClock | None = None, **settings: Any) -> tuple[EvalFolder, EvalStatus]:
    """Start an evaluation and drive it to its end."""
    folder = begin(lab, **settings)
    return folder, await EvaluationRunner(lab, folder, clock=clock or FakeClock()).work()


def stored(lab: Lab, folder: EvalFolder) -> dict[tuple[str, int], NewSample]:
    """Every sample of an evaluation as it is in the lab."""
    store = open_store(lab.database)
    rows, _ = sample_list.page(store.db, folder.id, folder.scored_by().label, limit=100_000)
    found = {(row.item, row.sample): evaluations.sample(store.db, row.seq)[1] for row in rows}
    store.close()
    return found


def outcomes(lab: Lab, folder: EvalFolder, scorer: str | None = None) -> dict[str, int]:
    """How many samples came out how, those there are none of left out."""
    store = open_store(lab.database)
    tally = evaluations.tally(store.db, folder.id, scorer or folder.scored_by().label)
    store.close()
    return {name: number for name, number in tally.outcomes.items() if number}
