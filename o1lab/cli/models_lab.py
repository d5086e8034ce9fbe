"""The commands ``models ls``, ``models import`` and ``models rm``: the models that a lab knows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import confirm, current_lab, emit, lab_if_any, say
from o1lab.errors import NotFoundError
from o1lab.format import byte_size
from o1lab.text import one_line

verbs = Verbs()

_COLUMNS = (
    Column("name", "name"),
    Column("kind", "kind"),
    Column("base", lambda item: one_line(item["base"] or "", 32), optional=True),
    Column("size", lambda item: "" if item["bytes"] is None else byte_size(item["bytes"]), right=True),
    Column("about", lambda item: one_line(item["problem"] or item["about"], 80), optional=True),
)


@verbs.command("ls", lists=True)
def ls(
    kind: Annotated[
        Literal["endpoint", "program", "base", "checkpoint", "imported", "merged", "server"] | None,
        typer.Option(help="Only models of this kind."),
    ] = None,
) -> None:
    """List the models that can be named: bases, checkpoints of runs, imported and merged models, endpoints, servers.

    The names are those that `o1lab chat -m`, `serve`, `eval --model` and the app take. Without a lab, only the bases on
    this machine are listed.

    Example: o1lab models ls --kind imported
    """
    from o1lab.serve.known import known_models

    lab = lab_if_any()
    found = [asdict(one) for one in known_models(lab) if kind in (None, one.kind)]
    notes = [] if lab is not None else ["No lab was found, so only the bases on this machine are listed."]
    emit_list(found, _COLUMNS, empty=f"There is no model of the kind {kind}." if kind else "", notes=notes)


@verbs.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="The folder of an adapter or of a whole model, or ORG/NAME on the hub.")
    ],
    name: Annotated[str, typer.Option(help="Name of the model [default: the last part of SOURCE].")] = "",
    base: Annotated[
        str,
        typer.Option(
            help="The base of an adapter [default: the one that it names].", autocompletion=completing("base")
        ),
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the hub [default: its main branch].")] = "",
) -> None:
    """Import a LoRA adapter or a whole model as a student of the lab.

    The files are copied to LAB/models/NAME. Weights must be in safetensors: pickles can run code and are refused. An
    adapter is compared with its base, layer by layer. Then serve, chat, eval, compare and the forms accept
    its name. The system prompt and the chat template of a student that o1lab trained are kept.

    Example: o1lab models import ./colleagues-adapter --name kims --base smollm2-135m
    """
    from o1lab.models.imported import import_model, name_of, size_of
    from o1lab.serve.registry import require_free_name

    lab = current_lab()
    called = name_of(source, name)
    require_free_name(lab, called)
    one = import_model(lab, source, name=called, base=base, revision=revision, progress=say)
    size = size_of(one.folder)
    adapter = one.kind == "adapter"
    lines = [
        f"{one.name} is {f'an adapter for {one.base}' if adapter else 'a whole model'} ({byte_size(size)}), "
        f"now in {one.folder}.",
        f"Ask it: o1lab chat -m {one.name} 'What is 2 + 2?'",
    ]
    if one.prompt.system_prompt:
        lines.append(f"It is asked with the system prompt: {one_line(one.prompt.system_prompt, 60)}")
    emit(
        {
            "name": one.name,
            "holds": one.kind,
            "base": one.base if adapter else None,
            "folder": str(one.folder),
            "bytes": size,
            "source": one.about.source,
            "revision": one.about.revision or None,
            "system_prompt": one.prompt.system_prompt,
        },
        text=lines,
    )


@verbs.command("rm")
def rm(
    name: Annotated[str, typer.Argument(help="An imported or merged model.", autocompletion=completing("imported"))],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a model that was imported or merged into the lab. Checkpoints belong to runs and stay.

    A model that is the base of a run, of another model or of the lab is kept.

    Example: o1lab models rm kims
    """
    from o1lab.models.imported import find_imported, imported_models, remove, size_of
    from o1lab.train.model_uses import require_unused

    lab = current_lab()
    one = find_imported(lab, name)
    if one is None:
        names = ", ".join(each.name for each in imported_models(lab))
        hint = f"The lab has {names}." if names else "The lab has none; checkpoints are deleted with their runs."
        raise NotFoundError(f"No imported or merged model is called {name!r}.", hint)
    require_unused(lab, one)
    if not yes:
        confirm(
            f"Delete {name} and {one.folder}, which frees {byte_size(size_of(one.folder))}?",
            what=f"Deleting {name}",
            no="Nothing was deleted.",
        )
    freed = remove(one)
    emit(
        {"name": name, "path": str(one.folder), "freed_bytes": freed},
        text=f"{name} was deleted; {byte_size(freed)} freed.",
    )
