"""The sections on decisions and verdicts of annotators, moves and languages of models, and adapted items."""

from __future__ import annotations

from collections.abc import Iterator

from o1lab.evaluate.items import adapted_by
from o1lab.evaluate.rating.decisions import decision_agreement
from o1lab.evaluate.rating.steps import ALPHA_SOURCE, step_agreement
from o1lab.evaluate.report import render
from o1lab.evaluate.report.language import language_table
from o1lab.evaluate.report.profile import profile_table
from o1lab.format import percent_within
from o1lab.markdown import inline, table
from o1lab.transparency.lab_facts import LabFacts
from o1lab.transparency.report.page import deeper
from store import policy


def decided(facts: LabFacts) -> Iterator[str]:
    """Yield what annotators decided on the training chains, how they agree, and which decisions count."""
    yield "## Decisions of annotators\n\n"
    found = decision_agreement(facts.store.db, facts.training_traces)
    if not found.votes:
        yield "No annotator has decided on a training chain.\n\n"
        return
    item = found.as_json()
    for one in facts.datasets:
        if one.decided:
            yield f"Dataset {inline(one.name)}: {inline(policy.sentence(one.decided), 400)}\n\n"
    yield (
        f"{item['traces']:,} training chains have a decision or rating, {item['shared']:,} of them decisions of "
        f"several annotators; {len(found.disputed):,} are disputed and {found.adjudicated:,} adjudicated now.\n\n"
    )
    rows = [
        [one["annotator"], *(one[key] for key in ("accept", "reject", "skip", "rated"))] for one in item["annotators"]
    ]
    yield table(("annotator", "accepted", "rejected", "skipped", "rated"), rows) + "\n"
    pairs = [(f"{pair.one} and {pair.other}", pair.traces, pair.kappa.text("trace")) for pair in found.pairs]
    if pairs:
        yield table(("annotators", "chains in common", "Cohen's kappa"), pairs) + "\n"
    if len(rows) > 1:
        yield f"Krippendorff's alpha of decisions: {inline(found.alpha.text('trace'))}; of ratings: "
        yield f"{inline(found.rating_alpha.text('trace'))}.\n\n"


def steps(facts: LabFacts) -> Iterator[str]:
    """Yield the verdicts on the steps of the training chains, and how their annotators agree."""
    yield "## First wrong steps\n\n"
    found = step_agreement(facts.store.db, facts.training_traces)
    if not found.verdicts:
        yield "No annotator or judge has given a verdict on the steps of a training chain.\n\n"
        return
    item = found.as_json()
    yield f"{item['total']:,} training chains have a verdict on their steps.\n\n"
    names = {one["annotator"]: f"judge {one['annotator']}" if one["judge"] else one["annotator"]
             for one in item["annotators"]}  # fmt: skip
    rows = [(names[one["annotator"]], one["traces"], one["marked"], one["right"]) for one in item["annotators"]]
    yield table(("annotator", "chains", "with a wrong step", "without"), rows) + "\n"
    pairs = [
        (
            " and ".join(names[name] for name in pair["annotators"]), pair["traces"],
            percent_within(pair["exact"], pair["exact_ci95"]),
            percent_within(pair["within_one"], pair["within_one_ci95"]),
        )
        for pair in item["pairs"]
    ]  # fmt: skip
    if pairs:
        yield table(("annotators", "chains in common", "the same step", "within one step"), pairs) + "\n"
    yield f"Krippendorff's alpha: {inline(found.alpha.text('trace'))} ({ALPHA_SOURCE}).\n\n"


def behaviour(facts: LabFacts) -> Iterator[str]:
    """Yield the moves per 1,000 tokens of the student, of what it can be compared with, and of its training chains."""
    yield "## Behaviour\n\n"
    if not facts.of_student:
        yield f"Run {inline(facts.run.id)} was not evaluated.\n\n"
        return
    dataset = facts.stages[-1].dataset
    made = profile_table(facts.store.db, facts.compared, dataset=None if dataset is None else dataset.name)
    yield deeper(render.markdown(made), 1) + "\n"


def language(facts: LabFacts) -> Iterator[str]:
    """Yield in which language the student and what it can be compared with think and answer."""
    yield "## Language of thoughts and answers\n\n"
    if not facts.of_student:
        yield f"Run {inline(facts.run.id)} was not evaluated.\n\n"
        return
    yield deeper(render.markdown(language_table(facts.compared)), 1) + "\n"


def adapted(facts: LabFacts) -> Iterator[str]:
    """Yield the number of items of each suite that people adapted."""
    yield "## Adapted items\n\n"
    rows = []
    for one in {one.evaluation.suite_label: one for one in facts.of_student}.values():
        counts = adapted_by(row.meta for row in one.items.values())
        if counts:
            by = ", ".join(f"{name} {number:,}" for name, number in counts.items())
            rows.append((one.evaluation.suite_label, len(one.items), sum(counts.values()), by))
    if not rows:
        yield "No item of these evaluations says that a person adapted it (`edited_from`, `edited_by`).\n\n"
        return
    yield table(("suite", "items", "adapted", "by"), rows) + "\n"
