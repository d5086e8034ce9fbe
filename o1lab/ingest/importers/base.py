"""What an importer is: a function that recognises a row and returns its problem and responses.

It is registered with :func:`importer`. Other packages add importers through the entry point group
``o1lab.importers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from o1lab.registry import DEFAULT_ORDER, Registry
from store.records import Context

if TYPE_CHECKING:
    from o1lab.chains.trees.walk import TreeChain, Walk


class RowError(ValueError):
    """Why a row cannot be taken, in a few words."""


@dataclass(frozen=True, slots=True)
class TraceText:
    """One response of a row.

    Attributes:
        raw: its text, thought marks included.
        model: the model that wrote it, where the format implies one.
        synthesis: how it was made, where the format implies it.
        turns: how many answers the conversation has; the last is this response.
        context: the conversation that it answers, see :class:`~store.records.NewTrace`.
        cut_off: whether the row says that it reached its maximum length.
        unmarked: whether it is a thought, perhaps with its conclusion, if it has no marks.
    """

    raw: str
    model: str | None = None
    synthesis: str | None = None
    turns: int = 1
    context: Context = ()
    cut_off: bool = False
    unmarked: bool = False


class FoundTree(NamedTuple):
    """A search tree with the walk that the response of its row was made from."""

    walk: Walk
    chain: TreeChain


@dataclass(frozen=True, slots=True)
class Found:
    """What an importer found in a row.

    Attributes:
        statement: the problem.
        responses: the responses to it; none for a problem alone.
        used: what each column was taken for. A column that is used holds no gold answer or reference solution, unless
            it was taken for one.
        left: strings of these columns that are part of nothing; the import reports those that are stored nowhere.
        form: the importer that names the format in reports, if one function is registered under several names.
        tree: the search tree that the only response was made from.
        notes: what of the row is not kept or not used, apart from ``left``, one sentence each.
    """

    statement: str
    responses: Sequence[TraceText] = ()
    used: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, Sequence[str]] = field(default_factory=dict)
    form: str = ""
    tree: FoundTree | None = None
    notes: Sequence[str] = ()


Recognise = Callable[[Mapping[str, Any]], Found | None]


class Importer(NamedTuple):
    """A registered importer; ``own_name`` means its name describes a file better than the thought marks in it."""

    name: str
    recognise: Recognise
    own_name: bool


IMPORTERS: Registry[Importer] = Registry("importer", "o1lab.importers", "o1lab.ingest.importers")


def importer(name: str, *, order: int = DEFAULT_ORDER, own_name: bool = True) -> Callable[[Recognise], Recognise]:
    """Register a function that recognises rows of one format.

    The function takes a row and returns None if the row has another format, or raises :class:`RowError` if it has
    this format but cannot be used.

    Args:
        name: what import reports call the format.
        order: importers are tried from the lowest to the highest, and the first that recognises a row wins. The
            built-in ones are one recogniser, which judges columns by their names at order 10.
        own_name: False if reports should put the format of the thought marks first, as in ``r1 (alpaca)``.
    """

    def decorate(recognise: Recognise) -> Recognise:
        IMPORTERS.add(name, Importer(name, recognise, own_name), module=recognise.__module__, order=order)
        return recognise

    return decorate
