"""The command ``models push``: upload an adapter or a whole model to the hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.busy import paused
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import confirm, current_lab, emit, lab_if_any, opened, say, wants_json
from o1lab.errors import UsageError
from o1lab.format import byte_size

if TYPE_CHECKING:
    from o1lab.models.pushing import Plan
    from o1lab.serve.registry import ModelRef

verbs = Verbs()


@verbs.command("push")
def push(
    model: Annotated[
        str,
        typer.Argument(
            help="A run (its last checkpoint), RUN/STEP, a model of the lab, or a folder.",
            autocompletion=completing("checkpoint"),
        ),
    ],
    repo: Annotated[str, typer.Argument(help="The repository on the hub, OWNER/NAME; it is created.")],
    public: Annotated[bool, typer.Option("--public", help="Let everyone read it; by default it is private.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Add a commit to a repository that has files.")] = False,
    base: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="The name of the base on the hub, if it cannot be determined.")
    ] = "",
    message: Annotated[str, typer.Option(help="The message of the commit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be uploaded; upload nothing.")] = False,
) -> None:
    """Upload an adapter or a whole model to the Hugging Face Hub, with a model card.

    The files are listed before anything is sent: weights, settings, tokenizer, template, and the card. Logs, optimisers
    and other files stay here. Settings that name a folder of this machine are changed to names, and a file that still
    has such a path, or something that looks like a key, is refused. The token is that of HF_TOKEN or `hf auth login`.
    An interrupted upload continues when the command is run again.

    Example: o1lab models push 7f3a my-name/sums-student --dry-run
    """
    from o1lab.models.pushing import push as upload

    planned, title = _planned(model, base)
    for line in _lines(planned, repo, public=public):
        say(line)
    facts = {
        "model": model,
        "repo": repo,
        "private": not public,
        "base": planned.base or None,
        "files": [{"name": one.name, "bytes": one.size} for one in planned.files],
        "left_out": list(planned.left_out),
        "bytes": planned.size,
    }
    if dry_run:
        emit(facts | {"url": None, "commit": None}, text="Nothing was uploaded (--dry-run).")
        return
    if not yes:
        confirm(
            f"Upload {len(planned.files)} files ({byte_size(planned.size)}) to {repo}?",
            what=f"Uploading to {repo}",
            no="Nothing was uploaded.",
        )
    bars = sys.stderr.isatty() and not wants_json()
    with paused():  # the hub's library shows the bytes of large files
        done = upload(
            planned, repo, public=public, update=update, message=message or f"Upload {title}", progress=say, bars=bars
        )
    facts |= {"repo": done.repo, "private": done.private, "url": done.url, "commit": done.commit}
    emit(facts, text=f"Uploaded to {done.url} ({'private' if done.private else 'public'}, commit {done.commit[:12]}).")


def _planned(model: str, base: str) -> tuple[Plan, str]:
    """Return what is uploaded of a model, and its title."""
    from o1lab.models.description import described
    from o1lab.models.imported import leads_outside
    from o1lab.models.prompts import PromptOptions
    from o1lab.models.pushing import plan
    from o1lab.serve.registry import find_model, run_base
    from o1lab.transparency.report.cards import plain_card

    lab = lab_if_any()
    path = Path(model).expanduser()
    if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
        folder, ref = path.absolute(), None
        prompt, about = PromptOptions.of_checkpoint(folder), described(folder)
        named_base = about.base
        title = folder.name
    else:
        ref = find_model(current_lab(), model)
        if ref.source not in ("checkpoint", "imported") or ref.base is None:
            raise UsageError(f"{model} is not a model of this lab that can be uploaded.", "o1lab models ls lists them.")
        folder = ref.adapter or Path(ref.base)
        prompt, title = ref.prompt, f"checkpoint {ref.id}" if ref.run_id else ref.id
        named_base = ref.base
        if ref.adapter is None:  # its base is its own folder
            named_base = (run_base(current_lab().runs / ref.run_id) or "") if ref.run_id is not None else ""

    def card(name: str) -> str:
        if ref is not None and ref.run_id is not None:
            return _card_of_run(ref, name)
        written = folder / "README.md"
        is_own = written.is_file() and not leads_outside(written)
        return written.read_text("utf-8") if is_own else plain_card(title, name)

    private = [] if lab is None else [lab.root.absolute()]
    return plan(folder, card=card, prompt=prompt, base=named_base, named=base, private_paths=private), title


def _card_of_run(ref: ModelRef, base: str) -> str:
    from o1lab.transparency.lab_facts import collect
    from o1lab.transparency.report.cards import model_card, prompt_section

    with opened() as store:
        card = model_card(collect(current_lab(), store, ref.run_id), alone=True, base=base)
    return card + prompt_section(ref.prompt.system_prompt)


def _lines(planned: Plan, repo: str, *, public: bool) -> list[str]:
    width = max(len(one.name) for one in planned.files)
    lines = [f"To {repo}, {'which EVERYONE can read' if public else 'private'}:"]
    lines += [f"  {one.name:<{width}}  {byte_size(one.size):>9}" for one in planned.files]
    lines += [f"Stays here: {', '.join(planned.left_out)}."] if planned.left_out else []
    lines += [f"Links to files outside the folder: {', '.join(planned.links)}."] if planned.links else []
    return [*lines, *(f"Changed: {note}." for note in planned.notes)]
