"""The commands `eval suites` and `eval suite`: list the suites, show one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened
from o1lab.errors import LabError, O1LabError
from o1lab.text import json_of, one_line

if TYPE_CHECKING:
    from o1lab.evaluate.suites.loading import LoadedItems
    from o1lab.evaluate.suites.suite import Suite

verbs = Verbs()
_WIDTH = 78


@verbs.command("suites", lists=True)
def eval_suites() -> None:
    """List the lab's own and the built-in suites, and whether their items are available.

    Example: o1lab eval suites
    """
    from o1lab.evaluate.suites.loading import find_origin
    from o1lab.evaluate.suites.suite import all_suites

    lab = current_lab()
    items: list[dict[str, Any]] = []
    with opened() as store:
        for one in all_suites(lab):
            item: dict[str, Any] = {"name": one.name, "path": str(one.path), "own": one.own, "problem": one.problem}
            if (suite := one.suite) is not None:
                try:
                    found = {"origin": find_origin(lab, store, suite, fetch=False).words, "missing": None}
                except O1LabError as error:
                    found = {"origin": None, "missing": error.message}
                item |= _heading(suite) | found
            items.append(item)
    emit_list(items, _COLUMNS)


@verbs.command("suite")
def eval_suite(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The name of a suite, or the path of its file.", autocompletion=completing("suite")
        ),
    ],
    items: Annotated[str | None, typer.Option("--items", metavar="FILE", help="Read the items from this file.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download the items from the hub if needed.")] = False,
) -> None:
    """Show one suite: its settings, the number of items and of rows left out, or which file is missing.

    Examples: o1lab eval suite xstest; o1lab eval suite math500 --items my-problems.jsonl
    """
    from o1lab.evaluate.items import adapted_by, items_hash
    from o1lab.evaluate.suites.loading import load
    from o1lab.evaluate.suites.suite import find_suite

    lab = current_lab()
    suite = find_suite(lab, name)
    loaded: LoadedItems | None = None
    missing: str | None = None
    with opened() as store:
        try:
            loaded = load(lab, store, suite, file=items, fetch=fetch)
        except LabError as error:
            if error.code != "no_items":
                raise
            missing = str(error)
    data: dict[str, Any] = {
        **_heading(suite),
        "path": str(suite.path),
        **json_of(suite, "about", "licence", "needs=items.needs"),
        "hub": suite.items.hub.id if suite.items.hub is not None else None,
        **json_of(suite, "build=items.build", "scorer_options=scorer.options"),
        "sampling": suite.sampling.model_dump(),
        "missing": missing,
        "origin": None,
        "items": None,
    }
    if loaded is not None:
        first = loaded.items[0]
        data |= json_of(loaded, "origin", "rows", "questions", "left_out") | {
            "items": len(loaded.items),
            "items_hash": items_hash(loaded.items),
            "adapted": adapted_by(one.meta for one in loaded.items),
            "variants": dict(Counter(one.variant for one in loaded.items if one.variant is not None)),
            "sample": json_of(first, "id", "system", "turns", "gold"),
        }
    emit(data, text=_text(data))


def _heading(suite: Suite) -> dict[str, Any]:
    return json_of(suite, "name", "version", "title", "family", "scorer=scorer.name", "metric")


def _state(item: Item) -> str:
    if item["problem"]:
        return f"broken: {item['problem']}"
    return "here" if item["missing"] is None else "missing"


_COLUMNS = (
    Column("suite", lambda item: item["name"] + (f"@{item['version']}" if "version" in item else "")),
    Column("family", lambda item: item.get("family", "")),
    Column("scorer", lambda item: item.get("scorer", "")),
    Column("from", lambda item: "this lab" if item["own"] else "built in"),
    Column("items", _state),
)


def _text(data: Mapping[str, Any]) -> str:
    options = "".join(f" {name}={value}" for name, value in data["scorer_options"].items())
    sampling = ", ".join(f"{name} {value}" for name, value in data["sampling"].items() if value is not None)
    lines = [
        f"{data['name']}@{data['version']}  {data['title']}",
        *_wrapped(data["about"]),
        f"family   {data['family']}",
        f"scorer   {data['scorer']}{options}, headline {data['metric']}",
        f"sampling {sampling}",
        f"licence  {data['licence'] or 'not stated'}",
        f"file     {data['path']}",
    ]
    if data["missing"] is not None:
        fetched = [f"Or download them from the hub: o1lab eval suite {data['name']} --fetch"] if data["hub"] else []
        return "\n".join([*lines, "", data["missing"], *fetched])
    lines.append(f"items    {data['items']} ({data['items_hash']}) from {data['rows']} rows of {data['origin']}")
    lines += [f"         {number} rows: {reason}" for reason, number in data["left_out"].items()]
    if data["adapted"]:
        by = ", ".join(f"{one_line(name, 40)} {number:,}" for name, number in data["adapted"].items())
        lines.append(f"adapted  {sum(data['adapted'].values()):,} items were adapted by people: {by}")
    if data["variants"]:
        lines.append("variants " + ", ".join(f"{name} {number}" for name, number in data["variants"].items()))
    sample = data["sample"]
    if data["family"] == "safety":  # do not print prompts that may be harmful
        return "\n".join([*lines, "", "The prompts may be offensive; --json shows the first one."])
    lines += ["", f"First item, {sample['id']}:"]
    if sample["system"]:
        lines.append("system> " + one_line(sample["system"], 400))
    lines += [f"user> {turn[:2000]}{'…' if len(turn) > 2000 else ''}" for turn in sample["turns"]]
    if sample["gold"]:
        lines.append(f"gold: {one_line(' | '.join(sample['gold']), 300)}")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH)
