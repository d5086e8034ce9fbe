"""How often a student solves the problems of the lab: from its evaluations, and from a suite made to ask them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from o1lab.files import write_text
from o1lab.lens.scoring import model_key
from o1lab.paths import Lab
from o1lab.serve.identity import identify
from o1lab.serve.registry import ModelRef
from store import Store, evaluations, problems, suitability
from store.records import problem_id
from store.sqlite import Database


def count(lab: Lab, store: Store, ref: ModelRef) -> dict[str, tuple[int, int]]:
    """Count the answers of a student to problems in all evaluations of the lab, and store the pass rates.

    An evaluation counts if it asked the same weights. Its items count if they ask the statement of a problem in one way
    only: those with variants, such as a push-back, do not. A cut-off answer is wrong; a
    failed request, and an answer that no scorer has decided on, do not count.

    Returns:
        (right answers, all answers) by problem.
    """
    revision = identify(lab, ref).revision
    found: dict[str, tuple[int, int]] = {}
    seen: set[str] = set()
    for one in reversed(evaluations.all_evaluations(store.db)):  # the earliest first: later ones may reuse its answers
        if one.revision != revision:
            continue
        for question, outcome, key, cached in _samples(store.db, one.id, one.scorer):
            if not (cached and key in seen):
                problem = problem_id(question)
                correct, samples = found.get(problem, (0, 0))
                found[problem] = correct + (outcome == "correct"), samples + 1
            seen.add(key)
    suitability.set_pass_rates(store.db, model_key(lab, ref), found)
    return found


def _samples(db: Database, evaluation: str, scorer: str) -> Iterable[tuple[str, str, str, int]]:
    return db.execute(
        f"""SELECT i.question, {evaluations.OUTCOME}, s.cache_key, s.cached
            FROM {evaluations.JOINED} JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item
            WHERE s.evaluation_id = ? AND {evaluations.OUTCOME} NOT IN ('failed', 'unscored')
            AND i.grp IS NULL AND i.variant IS NULL""",  # noqa: S608 - our own words
        [scorer, evaluation],
    )


def problems_of(db: Database, trace_ids: Sequence[str]) -> list[str]:
    """Return the problems of some traces, each once, in the order of the traces."""
    rows = db.execute(
        "SELECT t.problem_id FROM json_each(?) j JOIN traces t ON t.id = j.value ORDER BY j.key",
        [json.dumps(list(trace_ids))],
    )
    return list(dict.fromkeys(row[0] for row in rows))


def write_suite(lab: Lab, db: Database, wanted: Iterable[str]) -> tuple[Path | None, int]:
    """Write a suite that asks problems of the lab; the same problems give the same suite.

    Args:
        lab: the lab; its folder of suites gets the suite and its items.
        db: its database.
        wanted: the problems.

    Returns:
        The file of the suite, None if no problem has an answer; and the number of problems without one, which are not
        asked.
    """
    found = [problems.resolve(db, one) for one in wanted]
    items = [{"id": one.id, "question": one.statement, "gold": one.answer} for one in found if one.answer]
    if not items:
        return None, len(found)
    lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in items)
    name = f"pass-rate-{hashlib.sha256(lines.encode()).hexdigest()[:8]}"
    data = lab.suite_data / f"{name}.jsonl"
    suite: Mapping[str, object] = {
        "name": name, "version": 1, "title": "Pass rate", "family": "mathematics", "level": "answer",
        "about": "Problems of chosen traces, to see how often a student solves them.",
        "items": {"file": data.name}, "scorer": {"name": "math"},
        "sampling": {"temperature": 0.7, "samples": 4, "max_tokens": 4096},
    }  # fmt: skip
    data.parent.mkdir(parents=True, exist_ok=True)
    write_text(data, lines)
    path = lab.suites / f"{name}.yaml"
    write_text(path, yaml.safe_dump(suite, sort_keys=False))
    return path, len(found) - len(items)
