"""The replay rows of the demo: the base answers general prompts, which are never items of a suite."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.distill.datasets.replay import ask_base, general_prompts, make_replay, overlaps, refuse_overlaps
from o1lab.distill.run_directory import TeacherRunStatus
from o1lab.distill.runner import TeacherRunner
from o1lab.errors import LabError
from o1lab.evaluate.suites.loading import tested_questions
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.replay import replay_datasets
from store.records import Dataset

SHARE = 0.25
STEPS = 110  # with this share, as many of the solver's chains are seen as in the plain run
ANSWER_TOKENS = 96


async def answer_prompts(
    lab: Lab,
    base: str,
    manager: ServerManager,
    *,
    limit: int | None = None,
    on_answer: Callable[[int, int], None] = lambda _done, _of: None,
) -> Dataset:
    """Let the base answer the general prompts, and return the dataset of its answers; earlier answers are reused.

    Args:
        lab: the lab.
        base: the base.
        manager: runs the servers.
        limit: ask only the first ``limit`` prompts.
        on_answer: called with (done, requested) during the run.

    Raises:
        RefusedError: a prompt is an item of a suite.
        LabError: the base did not answer every prompt.
    """
    prompts = general_prompts()
    wanted = len(prompts.texts) if limit is None else limit
    with opened_lab(lab) as store:
        for known in replay_datasets(store.db, base):
            if int(known.selection.get("looked", 0)) >= wanted:
                return known
        tested = tested_questions(lab, store)
        refuse_overlaps(overlaps(prompts.texts, tested.questions))
        folder = ask_base(lab, store, prompts, base, max_tokens=ANSWER_TOKENS, limit=limit)

    def watch(status: TeacherRunStatus) -> None:
        on_answer(status.done, status.requested)

    status = await TeacherRunner(lab, folder, manager=manager, watch=watch).work()
    if status.state != "finished" or status.failed:
        raise LabError(
            f"{base} did not answer the general prompts: {status.message or f'{status.failed} of its calls failed'}",
            status.hint or f"See `o1lab distill show {folder.id}`.",
            code="replay",
        )
    with opened_lab(lab) as store:
        return make_replay(store, folder.id, base, tested=tested.questions, unchecked=sorted(tested.missing))


def with_replay(recipe: Recipe, rows: int, answers: Dataset, steps: int | None = None) -> Recipe:
    """Return the recipe of the student with replay.

    Args:
        recipe: the recipe of the plain student.
        rows: the rows of its dataset.
        answers: the replay dataset; with few answers, the share is lower.
        steps: training steps; STEPS if None.
    """
    most = int(100 * answers.rows / (answers.rows + rows)) / 100
    values = {"replay": min(SHARE, most), "replay_dataset": answers.name, "steps": STEPS if steps is None else steps}
    return recipe.model_copy(update=values)
