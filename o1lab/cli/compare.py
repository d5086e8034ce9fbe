"""The commands ``compare``: ask a whole prompt set in the background, list votes, rank contestants, tag prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened
from o1lab.cli.base.progress import counted_json, fault_lines, job_details, result_notes, run_job
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.jobs.verbs import REQUESTS, DetachOption, add_job_verbs, progress_column, start_job
from o1lab.errors import UsageError
from o1lab.format import counted, money
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.chat.rounds.directory import RoundFolder, RoundSettings
    from o1lab.jobs.directory import CountedStatus, JobInfo
    from o1lab.paths import Lab

verbs = Verbs("compare", help="Ask prompt sets in the background, and rank models by the votes given in Compare.")
_SETTINGS = "o1lab.chat.rounds.directory:RoundSettings"


@verbs.command("ask", settings=_SETTINGS, only=REQUESTS)
def ask(
    prompt_set: Annotated[
        str, typer.Argument(
            help="A prompt set of Compare, or a source of problems.", metavar="SET",
            autocompletion=completing("prompt set"),
        )
    ],
    model: Annotated[
        list[str],
        options.model_option(
            "A contestant with its own settings: temperature, top_p, max_tokens, seed, and last system, whose text may "
            "contain commas. Give at least two; a model can be repeated with other settings.",
            "endpoint", "base", "checkpoint", metavar="MODEL[,NAME=VALUE...]",
        ),
    ],
    system: Annotated[
        str | None,
        typer.Option(help="System prompt of all; by default that of the student's run. An empty one sends none."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature of all; 0 is greedy.")] = 0.0,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Nucleus sampling threshold of all.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of output tokens of all.")] = 512,
    seed: Annotated[int, typer.Option(help="Sampling seed of all.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first prompts of the set.")] = None,
    detach: DetachOption = False,
) -> None:  # fmt: skip
    """Ask several contestants every prompt of a set; then vote in Compare, blind and shuffled.

    Each answer is on disk before it counts. `resume` continues after an interruption, and asks nothing twice.

    Example: o1lab compare ask prompts -m solver -m 7f3a/100 --detach

    Example: o1lab compare ask prompts -m 7f3a/100 -m 7f3a/100,temperature=0.7,system="Be brief, please."
    """
    from o1lab.chat.panes import Settings
    from o1lab.chat.rounds import control
    from o1lab.inference.events import Sampling

    lab = current_lab()
    everyone = Settings(system, Sampling(temperature, top_p, max_tokens, seed))
    panes = [pane_of(text, everyone) for text in model]
    with opened() as store:
        prompts = control.prompts_of(store, prompt_set)[:limit]
    requests = {name: value for name, value in options.given().items() if name in REQUESTS}
    folder = control.start(lab, prompt_set, prompts, panes, **requests)
    start_job(lab, JOBS, folder, detach=detach)


def pane_of(text: str, everyone: Any) -> Any:
    """Parse ``MODEL,temperature=0.7,system=TEXT`` into a contestant; what is not given is as for everyone.

    Raises:
        UsageError: a name or a value is not valid.
    """
    from o1lab.chat.rounds.directory import RoundPane
    from o1lab.settings import validate

    head, has_system, system = text.partition(",system=")
    model, *given = head.split(",")
    sampling = everyone.sampling
    values: dict[str, Any] = {
        "model": model, "label": model, "system": system if has_system else everyone.system,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }  # fmt: skip
    for part in given:
        name, equals, value = part.partition("=")
        if not equals or name not in ("temperature", "top_p", "max_tokens", "seed"):
            raise UsageError(
                f"'{part[:60]}' is not a setting of a contestant.",
                "Write temperature=, top_p=, max_tokens= or seed=, and system= at the end.",
            )
        values[name] = value or None
    return validate(RoundPane, values, verb="compare ask")


def _run(lab: Lab, folder: RoundFolder) -> int:
    """Run a round to its end in this process; return the exit status."""
    from o1lab.chat.rounds.runner import RoundRunner

    return run_job(folder, RoundRunner, lambda: _summary(lab, folder.info()), _lines)


def _summary(lab: Lab, info: JobInfo[CountedStatus, RoundSettings]) -> dict[str, Any]:
    settings = info.settings
    return counted_json(info) | {
        "prompt_set": settings.prompt_set if settings is not None else None,
        "contestants": [one.model_dump(exclude={"label"}) for one in settings.panes] if settings is not None else [],
    }


def _lines(item: dict[str, Any]) -> list[str]:
    cost = "" if item["cost_usd"] is None else f", {money(item['cost_usd'])}"
    return [
        f"Round {item['id']} is {item['state']}: {one_line(item['prompt_set'] or '?', 40)}, {item['done']:,} of "
        f"{item['requested']:,} answers, {item['failed']:,} failed",
        f"asked     {_models(item)}",
        f"verdicts  {item['correct']:,} correct, {item['incorrect']:,} incorrect (prompts with a gold answer)",
        f"spent     {item['input_tokens']:,} + {item['output_tokens']:,} tokens{cost}",
    ]


def _models(item: Any) -> str:
    from o1lab.chat.contestants import Contestant, names

    return ", ".join(names(Contestant.of(one["model"], one) for one in item["contestants"]).values())


def _show(lab: Lab, folder: RoundFolder, info: JobInfo[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    from o1lab.chat import ranking
    from store import rounds

    faults = folder.faults()
    with opened() as store:
        complete = len(rounds.complete(store.db, folder.id))
        voted = ranking.read(store.db, round=folder.id)
    found = voted.ranking()
    item = _summary(lab, info) | job_details(folder, info, faults)
    item |= {"votable": complete, "ranking": found.as_json()}
    lines = [*_lines(item), *result_notes(item), *fault_lines(faults)]
    lines += ["", f"{counted(complete, 'prompt')} to vote on, {found.questions:,} voted on"]
    return item, [*lines, *(ranking.ranking_lines(found) if found.votes else []), "", f"folder  {folder.path}"]


def _rows(lab: Lab) -> Sequence[dict[str, Any]]:
    from o1lab.chat.rounds.control import ROUNDS

    return [_summary(lab, info) for info in ROUNDS.infos(lab)]


JOBS = JobCommands(
    "round",
    "o1lab.chat.rounds.control:ROUNDS",
    _rows,
    (
        progress_column("done", "done", "requested"),
        Column("failed", "failed", right=True),
        Column("prompts", lambda item: one_line(item["prompt_set"] or "", 30)),
        Column("contestants", lambda item: one_line(_models(item), 60)),
    ),
    "No round yet. Start one: o1lab compare ask SET -m MODEL -m MODEL",
    _show,
    _summary,
    "Calls in flight are completed first.",
    _SETTINGS,
    REQUESTS,
    _run,
)
add_job_verbs(verbs, JOBS)

BlindOption = Annotated[bool, typer.Option("--blind", help="Only votes given while the names were hidden.")]
RoundOption = Annotated[
    str | None,
    typer.Option(
        "--round", metavar="ID", help="Only votes on the answers of this round.", autocompletion=completing("round")
    ),
]


def _round_id(lab: Lab, named: str | None) -> str | None:
    return None if named is None else JOBS.kind().find(lab, named).id


@verbs.command("rank")
def rank(blind: BlindOption = False, round: RoundOption = None) -> None:
    """Rank the contestants by the votes: Bradley-Terry strengths with intervals, ties, and a tally by prompt tag.

    A model with other settings is another contestant. Only contestants that have met, directly or through others,
    are compared; `groups` counts the groups that have not met.

    Example: o1lab compare rank --blind
    """
    from o1lab.chat import ranking

    identity = _round_id(current_lab(), round)
    with opened() as store:
        found = ranking.read(store.db, blind=blind, round=identity)
    ranked, tags = found.ranking(), found.by_tag()
    tallies = {tag: [_tally(one) for one in each.standings] for tag, each in tags.items()}
    lines = ranking.ranking_lines(ranked)
    if table := ranking.tally_lines(tags):
        lines += ["", *table]
    emit(ranked.as_json() | {"tags": [{"tag": tag, "tally": tally} for tag, tally in tallies.items()]}, text=lines)


def _tally(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("name", "shown", "wins", "losses", "ties", "none")}


def _winner(item: Any) -> str:
    from o1lab.chat.contestants import Contestant, names

    if item["winner_place"] is None:
        return one_line(item["winner"], 40)
    all_ = [Contestant.of(one["model"], one["settings"]) for one in item["contestants"]]
    return one_line(names(all_)[all_[item["winner_place"]]], 40)


@verbs.command("votes", lists=True)
def votes(blind: BlindOption = False, round: RoundOption = None) -> None:
    """List the votes that count, each with its question, tags, and what its candidates were asked with.

    Example: o1lab compare votes --format csv
    """
    from o1lab.chat import ranking

    identity = _round_id(current_lab(), round)
    with opened() as store:
        items = ranking.read(store.db, blind=blind, round=identity).as_json()
    columns = (
        Column("conversation", lambda item: f"{item['conversation'][:8]}/{item['turn']}"),
        Column("annotator", lambda item: one_line(item["annotator"], 20)),
        Column("blind", lambda item: "blind" if item["blind"] else "open"),
        Column("winner", _winner),
        Column("question", lambda item: one_line(item["question"], 60)),
    )
    emit_list(items, columns, empty="No vote yet: in Compare, 1 to 9 vote for an answer, 0 is a tie, - none good.")


@verbs.command("tag-prompt")
def tag_prompt(
    prompt: Annotated[str, typer.Argument(help="The prompt, as it is asked.")],
    tags: Annotated[list[str] | None, typer.Argument(help="Its tags; without any, they are shown.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all tags of the prompt.")] = False,
) -> None:
    """Give a prompt tags, which replace the ones it has. `rank` counts votes for each tag.

    Prompt sets (set:NAME) and sources of problems (source:NAME) are tags automatically.

    Example: o1lab compare tag-prompt "What is 964 + 494?" sums easy
    """
    from o1lab.jobs.about import valid_tags
    from store import prompt_tags

    wanted = valid_tags(tags or [], reserved=prompt_tags.RESERVED)
    with opened() as store:
        if wanted or clear:
            prompt_tags.give(store.db, prompt, wanted)
        found = prompt_tags.of_prompts(store.db, [prompt])[prompt]
    emit({"prompt": prompt, "tags": found}, text=", ".join(found) or "This prompt has no tags.")
