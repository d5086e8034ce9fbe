"""Completion in a shell: what a parameter names, and the names that exist in the lab.

A parameter gets it with ``autocompletion=completing("trace")``, a field of a settings model with ``names`` of its
``Display``. A shell runs the program for each completion, so this imports little, reads little and writes nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from o1lab.cli.base.output import invocation
from o1lab.paths import Lab, assets_dir, find_lab

Named = tuple[str, str]
"""A name, and a few words on what it names."""

# Shells evaluate what they are given, and names and texts may come from files of strangers.
_NAME = re.compile(r"[\w.@/+=:-]{1,200}")
_UNSAFE = re.compile(r"[^\w .,/@+=%-]+")
_JOBS = {"run": "runs", "teacher run": "distill", "evaluation": "evals", "round": "rounds"}
_OF_COMMAND = {"runs": "run", "distill": "teacher run", "eval": "evaluation", "compare": "round"}


def completing(*kinds: str, words: Iterable[str] = ()) -> Callable[[typer.Context, str], list[Named]]:
    """Return a function for ``autocompletion`` that lists the names of things in the lab.

    Args:
        kinds: what they are: a key of ``_SOURCES``.
        words: further words that are possible.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[Named]:
        found = [(word, "") for word in words]
        try:
            lab = find_lab(invocation().lab_dir)
        except Exception:  # there is none
            return _shown(found, incomplete)
        for kind in kinds:
            try:
                found += _SOURCES[kind](lab, incomplete, ctx)
            except Exception:  # noqa: S112 - a message would land in the line that the user is typing
                continue
        return _shown(found, incomplete)

    return complete


def _shown(found: Iterable[Named], incomplete: str) -> list[Named]:
    """Return the names that begin with what was typed, each once, in characters that mean nothing to a shell."""
    fitting = (one for one in reversed([*found]) if one[0].startswith(incomplete) and _NAME.fullmatch(one[0]))
    return [(name, " ".join(_UNSAFE.sub(" ", about).split())[:60]) for name, about in [*dict(fitting).items()][::-1]]


def _stored(*lists: str) -> Callable[[Lab, str, typer.Context], Iterator[Named]]:
    def rows(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
        from store.naming import beginning_with

        for one in lists:
            yield from beginning_with(lab.database, one, incomplete)

    return rows


def _items(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    """Yield the items of the evaluation that the arguments before name."""
    from store.naming import beginning_with

    named = next((ctx.params[one] for one in ("identity", "before") if ctx.params.get(one)), "")
    yield from beginning_with(lab.database, "item", incomplete, of=_job_of_name(lab.evals, named) or named)


def _jobs(kind: str) -> Callable[[Lab, str, typer.Context], Iterator[Named]]:
    def found(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
        which = kind or _OF_COMMAND.get((ctx.parent and ctx.parent.info_name) or "", "run")
        for folder in _folders(lab.root / _JOBS[which]):
            name = _read(folder / "about.json").get("name", "")
            state = _read(folder / "status.json").get("state", "")
            yield folder.name, f"{name} {state}"
            if name:
                yield name, f"{folder.name} {state}"
            if group := _read(folder / "group.json").get("name", ""):
                yield group, "group"

    return found


def _checkpoints(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    """Yield runs and models of the lab, and the checkpoints of a run once a slash is typed."""
    if "/" not in incomplete:
        yield from _imported(lab, incomplete, ctx)
        yield from _jobs("run")(lab, incomplete, ctx)
        return
    typed = incomplete.partition("/")[0]
    for folder in _folders(lab.runs / (_job_of_name(lab.runs, typed) or typed) / "checkpoints"):
        step = folder.name.rpartition("-")[2]
        yield f"{typed}/{step}", "checkpoint"


def _imported(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    for folder in _folders(lab.models):
        yield folder.name, str(_read(folder / "o1lab-model.json").get("base") or "a model of the lab")


def _job_of_name(parent: Path, name: str) -> str | None:
    return next((one.name for one in _folders(parent) if _read(one / "about.json").get("name") == name), None)


def _folders(parent: Path) -> list[Path]:
    within = parent.iterdir() if parent.is_dir() else ()
    found = [path for path in within if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a small file; empty if it is missing or damaged."""
    try:
        read = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _config(lab: Lab) -> dict[str, Any]:
    return tomllib.loads(lab.config.read_text(encoding="utf-8"))


def _endpoints(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    yield "solver", "built in, needs no key"
    yield from ((str(one.get("name", "")), str(one.get("model", ""))) for one in _config(lab).get("endpoints", []))


def _bases(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    yield "smollm2-135m", "embedded"
    if base := _config(lab).get("base"):
        yield str(base), "the base of the lab"
    yield from (
        (name, about) for name, about in _imported(lab, incomplete, ctx) if (lab.models / name / "config.json").exists()
    )


def _files(folder: str, suffix: str) -> Callable[[Lab, str, typer.Context], Iterator[Named]]:
    """List the files of the lab's own folder and of the assets."""

    def found(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
        for place, about in ((lab.root / folder, "of this lab"), (assets_dir() / folder, "built in")):
            yield from ((path.stem, about) for path in sorted(place.glob(f"*{suffix}")))

    return found


def _filters(lab: Lab, incomplete: str, ctx: typer.Context) -> Iterator[Named]:
    for kind, filters in _read(lab.filters).items():
        yield from ((name, f"{kind} {text}") for name, text in filters.items())


_SOURCES: dict[str, Callable[[Lab, str, typer.Context], Iterable[Named]]] = {
    "trace": _stored("trace"),
    "problem": _stored("problem", "key"),
    "tree": _stored("tree"),
    "label": _stored("label"),
    "prompt set": _stored("prompt set", "source"),
    "dataset": _stored("dataset"),
    "item": _items,
    "filter": _filters,
    "job": _jobs(""),
    "run": _jobs("run"),
    "teacher run": _jobs("teacher run"),
    "evaluation": _jobs("evaluation"),
    "round": _jobs("round"),
    "checkpoint": _checkpoints,
    "imported": _imported,
    "endpoint": _endpoints,
    "base": _bases,
    "suite": _files("suites", ".yaml"),
    "prompt": _files("prompts", ".md"),
}
