"""Opening the lab's database for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from o1lab.cli.output import context

if TYPE_CHECKING:
    import typer

    from store import Store


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Store]:
    """The lab's database, closed again at the end."""
    from store import open_store

    store = open_store(context(ctx).lab().database)
    try:
        with store.explained():
            yield store
    finally:
        store.close()
