"""The commands ``init``, ``doctor`` and ``models fetch``, and opening the app."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.errors import LabError

models = typer.Typer(
    help="Base models on this machine, and what servers refuse.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("init")(init)
    app.command("doctor")(doctor)
    app.add_typer(models, name="models")


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new lab.")],
    name: Annotated[str | None, typer.Option(help="Name of the lab [default: the folder name].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a lab: a folder with an o1lab.toml and a database.

    Example: o1lab init ~/labs/aime
    """
    from o1lab.config import init_lab
    from store import open_store

    lab = init_lab(folder, name=name)
    open_store(lab.database).close()
    text = f"Created a lab at {lab.root}. Next: o1lab --lab {lab.root} import FILE..."
    emit({"lab": str(lab.root)}, as_json=as_json, text=text)


def doctor(ctx: typer.Context, as_json: JsonOption = False) -> int:
    """Check this machine and this lab; each problem is listed with its fix.

    Example: o1lab doctor --json
    """
    from o1lab.health import examine

    try:
        lab = context(ctx).lab()
    except LabError:
        if context(ctx).lab_dir is not None or os.environ.get("O1LAB_LAB"):
            raise
        lab = None  # outside a lab, only the machine is checked
    checks = examine(lab)
    ok = all(check.ok for check in checks)
    lines = [
        f"{'✓' if c.ok else '✗'} {c.name:8} {c.detail}" + ("" if c.ok else f"\n           {c.fix}") for c in checks
    ]
    data = {
        "ok": ok,
        "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail, "fix": "" if c.ok else c.fix} for c in checks],
    }
    emit(data, as_json=as_json, text="\n".join(lines))
    return 0 if ok else 1


@models.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="smollm2-135m (embedded), or a hub id.")] = "smollm2-135m",
    as_json: JsonOption = False,
) -> None:
    """Download a base model to this machine, once.

    Example: o1lab models fetch smollm2-135m
    """
    from o1lab.models.base import resolve_base

    folder = resolve_base(name, progress=say)
    emit({"name": name, "folder": str(folder)}, as_json=as_json, text=f"{name} is at {folder}")


@models.command("forget")
def forget(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="An endpoint of o1lab.toml.")],
    as_json: JsonOption = False,
) -> None:
    """Forget which options the server of an endpoint refused, so that they are sent again.

    Example: o1lab models forget o1
    """
    from o1lab.config import load_config
    from o1lab.errors import NotFoundError
    from o1lab.inference.refused import forget
    from o1lab.serve.endpoints import base_url

    endpoint = load_config(context(ctx).lab()).endpoint(name)
    if endpoint is None:
        raise NotFoundError(f"o1lab.toml has no endpoint called {name!r}.", "See [[endpoints]] in o1lab.toml.")
    gone = forget(base_url(endpoint), endpoint.model)
    text = f"Forgotten: {', '.join(gone)}." if gone else f"Nothing is remembered of {name}."
    emit({"name": name, "forgotten": gone}, as_json=as_json, text=text)


def open_app(ctx: typer.Context) -> int:
    """Open the app."""
    from o1lab.app import run_app

    return run_app(context(ctx).lab())
