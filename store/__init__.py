"""The lab's database. It imports nothing from the layers above it and takes its path as an argument."""

# No `from __future__ import annotations` here: the name would hide the module store.annotations.
from typing import TYPE_CHECKING, Any

from store.errors import StoreError

if TYPE_CHECKING:
    from store.connection import Store, open_store

__all__ = ["Store", "StoreError", "open_store"]


def __getattr__(name: str) -> Any:
    """Import the connection module on first use: `o1lab --help` needs only the errors."""
    if name in ("Store", "open_store"):
        from store import connection

        return getattr(connection, name)
    raise AttributeError(name)
