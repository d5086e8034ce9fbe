"""The command ``dataset replay``: let a base answer general prompts, and make a replay dataset of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.dataset_output import dataset_item, dataset_line, dropped_text
from o1lab.errors import LabError

if TYPE_CHECKING:
    from o1lab.distill.run_directory import RunFolder
    from o1lab.paths import Lab


verbs = Verbs()


@verbs.command("replay")
def dataset_replay(
    base: Annotated[
        str | None,
        typer.Option(help="The base of the student [default: the lab's base].", autocompletion=completing("base")),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="File of prompts: YAML as in assets/replay, or text with a prompt on each line."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Endpoint that serves the base [default: the embedded server].", autocompletion=completing("endpoint")
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Use the answers of this teacher run (method replay); ask nothing.",
            autocompletion=completing("teacher run"),
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset [default: replay-BASE, numbered].")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers per prompt.")] = 1,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum length of an answer; longer ones are left out.")
    ] = 512,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Sampling temperature [default: 0 with --n 1, else 0.7].")
    ] = None,
) -> None:
    """Let the base of a student answer general prompts, and keep its answers as a replay dataset.

    Mixed into training (`o1lab train --replay 0.3`), they keep what the base could do. The prompts are compared with
    the items of all suites that are on this machine, and refused if they overlap. An interrupted run goes on with
    `o1lab distill resume ID`; then `--run ID` makes the dataset.

    Example: o1lab dataset replay --n 2
    """
    from o1lab.config import load_config
    from o1lab.distill.datasets.replay import ask_base, general_prompts, make_replay, overlaps, refuse_overlaps
    from o1lab.distill.runs import TEACHER_RUNS
    from o1lab.evaluate.suites.loading import tested_questions
    from store import datasets

    lab = current_lab()
    base = _absolute(base or load_config(lab).base)
    with opened() as store:
        tested = tested_questions(lab, store)
        if run is None:
            chosen = general_prompts(prompts)
            refuse_overlaps(overlaps(chosen.texts, tested.questions), "Remove them from the file of prompts.")
            folder = ask_base(lab, store, chosen, endpoint or base, n=n, max_tokens=max_tokens, temperature=temperature)
        else:
            folder = TEACHER_RUNS.find(lab, run)
    if run is None:
        _ask(lab, folder, base)
    with opened() as store:
        made = make_replay(store, folder.id, base, name=name, tested=tested.questions, unchecked=sorted(tested.missing))
        dropped = datasets.drop_counts(store.db, made.name)
    compared, missing = len(tested.questions), ", ".join(sorted(tested.missing)) or "none"
    lines = [
        dataset_line(made),
        *dropped_text(made, dropped),
        f"compared with {compared:,} items of suites; suites that are not on this machine: {missing}",
        f"Next: o1lab train --dataset NAME --base {base} --replay 0.3",
    ]
    more = {"selection": dict(made.selection), "dropped": dropped, "teacher_run": folder.id, "compared_items": compared}
    emit(dataset_item(made) | more, text=lines)


def _absolute(base: str) -> str:
    """Return the name of a base as a run's recipe has it."""
    folder = Path(base).expanduser()
    return str(folder.absolute()) if (folder / "config.json").is_file() else base


def _ask(lab: Lab, folder: RunFolder, base: str) -> None:
    """Run the teacher run in this process.

    Raises:
        LabError: it did not end, or some of its calls failed.
    """
    from o1lab.cli.base.progress import ProgressLine
    from o1lab.distill.runner import TeacherRunner
    from o1lab.jobs.worker import run_here

    again = f"o1lab distill resume {folder.id}, then o1lab dataset replay --base {base} --run {folder.id}"
    say(f"Teacher run {folder.id} asks {base}. To continue after an interruption: {again}")
    with ProgressLine() as line:
        status = run_here(TeacherRunner(lab, folder, watch=line.show))
    if status.state != "finished" or status.failed:
        what = status.message.rstrip(".") or f"{status.failed} of {status.requested} calls failed"
        raise LabError(f"The teacher run {folder.id} is {status.state}: {what}.", f"Continue: {again}", code="replay")
