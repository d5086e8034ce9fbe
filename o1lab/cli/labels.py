"""The commands ``labels ...``: the labels that the lab offers for spans of chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import emit, opened
from o1lab.errors import UsageError
from o1lab.format import counted
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.labels import Label, Use

verbs = Verbs("labels", help="List and change the labels of the lab: names, colours, and the digits that apply them.")
NameArgument = Annotated[str, typer.Argument(metavar="LABEL", help="Its name.", autocompletion=completing("label"))]
ColourOption = Annotated[
    str | None, typer.Option(help="red, yellow, green, cyan, blue, magenta or white.", show_default=False)
]
_NO_DIGIT = "none"


@verbs.command("ls", lists=True)
def labels_ls() -> None:
    """List the labels of the lab, then others that spans have.

    While moves are selected in the reader, the digit of a label applies it. The filter label:NAME finds its traces.

    Example: o1lab labels ls
    """
    from store import labels
    from store.labels import Label, Use

    with opened() as store:
        offered = {one.name: one for one in labels.every(store.db)}
        uses = labels.uses(store.db)
        names = labels.known(store.db)
    items = [
        _item(offered.get(name, Label(name, "", None)), uses.get(name, Use())) | {"offered": name in offered}
        for name in names
    ]
    columns = (
        Column("name", lambda item: one_line(item["name"], 60)),
        Column("digit", lambda item: str(item["digit"] or "")),
        Column("colour", lambda item: item["colour"] or "not of the lab"),
        Column("spans", "spans", right=True),
        Column("traces", "traces", right=True),
    )
    emit_list(items, columns, empty="The lab has no labels. Add one with: o1lab labels add NAME")


@verbs.command("add")
def labels_add(
    name: Annotated[str, typer.Argument(help="Its name; spans that have it already become its spans.")],
    colour: ColourOption = None,
    digit: Annotated[
        int | None, typer.Option(help="1 to 9; without it, the first free one.", show_default=False)
    ] = None,
) -> None:
    """Add a label to the lab.

    Example: o1lab labels add "lucky guess" --colour yellow --digit 7
    """
    from store import labels

    with opened() as store:
        made = labels.add(store.db, name, colour=colour, digit=digit)
        use = labels.uses(store.db).get(made.name, labels.Use())
    emit(_item(made, use), text=_line(made))


@verbs.command("set")
def labels_set(
    name: NameArgument,
    colour: ColourOption = None,
    digit: Annotated[
        str | None,
        typer.Option(
            metavar="1-9|none", show_default=False,
            help="The digit that applies it. A label that has this digit gets the one that this label had.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Change the colour or the digit of a label.

    Examples: o1lab labels set slip --digit 3; o1lab labels set slip --colour red --digit none
    """
    from store import labels

    if colour is None and digit is None:
        raise UsageError("There is nothing to change.", "Give --colour, --digit or both.")
    if digit is not None and digit != _NO_DIGIT and not (len(digit) == 1 and digit in "123456789"):
        raise UsageError(f"'{one_line(digit, 20)}' cannot be the digit of a label.", "Give 1 to 9, or none.")
    other = None
    with opened() as store, store.db.atomic():
        label = labels.get(store.db, name)
        if colour is not None:
            label = labels.recolour(store.db, label.name, colour)
        if digit is not None:
            label, other = labels.set_digit(store.db, label.name, None if digit == _NO_DIGIT else int(digit))
        uses = labels.uses(store.db)
    changed = [one for one in (label, other) if one is not None]
    items = [_item(one, uses.get(one.name, labels.Use())) for one in changed]
    emit({"items": items}, text=[_line(one) for one in changed])


@verbs.command("rename")
def labels_rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
) -> None:
    """Rename a label. Its spans have the new name, also those of annotations that are merged later.

    Example: o1lab labels rename slip "arithmetic slip"
    """
    from store import labels

    with opened() as store:
        label = labels.rename(store.db, name, new)
        use = labels.uses(store.db).get(label.name, labels.Use())
    emit(_item(label, use), text=f"{_line(label)}; {counted(use.spans, 'span')} have the new name")


@verbs.command("rm")
def labels_rm(name: NameArgument) -> None:
    """Remove a label from the labels of the lab. Spans that have it keep it.

    Example: o1lab labels rm repetition
    """
    from store import labels

    with opened() as store:
        label = labels.remove(store.db, name)
        use = labels.uses(store.db).get(label.name, labels.Use())
    emit(_item(label, use), text=f"{label.name} is no longer a label of the lab; {counted(use.spans, 'span')} keep it")


def _item(label: Label, use: Use) -> dict[str, Any]:
    return {
        "name": label.name,
        "colour": label.colour or None,
        "digit": label.digit,
        "spans": use.spans,
        "traces": use.traces,
    }


def _line(label: Label) -> str:
    digit = "no digit" if label.digit is None else f"digit {label.digit}"
    return f"{label.name}: {label.colour}, {digit}"
