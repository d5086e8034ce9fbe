"""Labs for tests of the Evaluate screen: evaluations with folders as runs leave them, and a suite that can be put."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.files import write_json
from o1lab.inference.calls import CallKey, RequestError, Response
from o1lab.paths import Lab
from store import open_store
from tests.support.distill_lab import make_lab
from tests.support.tables_lab import evaluated

BASE, STUDENT = "smollm2-135m", "7f3a/100"
RAW = "<html>\x1b[2J[red]It is a page.[/]</html>"


def lab_with_suite(path: Path, url: str = "http://127.0.0.1:9", number: int = 6, **endpoint: Any) -> Lab:
    """A lab with an endpoint ``teacher`` and a suite ``sums`` of so many items; the pool is empty."""
    lab = make_lab(path, url, 0, **endpoint)
    rows = [
        {"id": f"s{at}", "question": f"What is {100 + at} + {107 + at}?", "answer": str(207 + 2 * at)}
        for at in range(number)
    ]
    (lab.suites / "data").mkdir(parents=True)
    (lab.suites / "data" / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    write_suite(lab, "sums", {"file": "sums.jsonl", "fields": {"gold": "answer"}})
    return lab


def write_suite(lab: Lab, name: str, items: dict[str, Any], **more: Any) -> None:
    suite = {"name": name, "version": 1, "title": f"The {name}", "family": "mathematics", "items": items,
             "scorer": {"name": "exact", "options": {"part": "final"}}, "sampling": {"max_tokens": 64}}  # fmt: skip
    (lab.suites / f"{name}.yaml").write_text(yaml.safe_dump(suite | more), "utf-8")


def add(lab: Lab, identity: str, model: str, outcomes: Sequence[str], status: EvalStatus, **about: Any) -> EvalFolder:
    """An evaluation in the lab with these outcomes (see tests.support.tables_lab), and its folder in this state."""
    suite = about.pop("suite", "aime24")
    store = open_store(lab.database)
    evaluated(store, identity, suite, model, outcomes, **about)
    store.close()
    folder = EvalFolder(lab.evals / identity)
    folder.stop_file.parent.mkdir(parents=True)
    settings = EvaluationSettings(suite=suite, model=model, max_tokens=4096)
    write_json(folder.settings_file, settings.model_dump(mode="json"))
    folder.write_status(status)
    return folder


def three(lab: Lab) -> None:
    """One at work with faults, one finished, one that its budget stopped half-way."""
    add(lab, "ba5e0001", BASE, ["-+", "--", "c-", "x-"] + ["--"] * 11,
        EvalStatus("stopped", requested=60, done=30, stopped_by="budget_usd", message="The budget is spent."),
        role="base", asked_for=30, tokens=900)  # fmt: skip
    add(
        lab,
        "57ade002",
        STUDENT,
        ["++", "+-", "c+", "+x"] + ["+-"] * 20 + ["--"] * 6,
        EvalStatus("finished", requested=60, done=60, cost_usd=1.25, priced=True),
        role="student",
        tokens=2000,
    )
    here = EvalStatus(
        "running", os.getpid(), host=os.uname().nodename, requested=200, done=26, in_flight=8, retries=1,
        cost_usd=0.5, priced=True, faults={"html": 2}, seconds_left=109.0,
    )  # fmt: skip
    live = add(lab, "11fe0003", STUDENT, ["+"] * 20 + ["-"] * 3 + ["?"] + ["!"] * 2, here,
               suite="xstest", role="student", family="safety", scorer="refusal@1", asked_for=200)  # fmt: skip
    fault = RequestError("html", "The server sent a page instead of an answer.", retryable=True)
    line = Response(CallKey("i24", 0), "failed", fault=fault, raw=RAW).line()
    live.journal.write_text(line + "\n", "utf-8")
