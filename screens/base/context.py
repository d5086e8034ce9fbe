"""The context of all screens: the lab, its database, its settings, and the servers it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from o1lab.files import first_settings
from o1lab.labs import open_lab
from o1lab.paths import Lab, annotator
from o1lab.remembered import SavedFilters, Session, session_file
from store import Store

if TYPE_CHECKING:
    from rich.text import Text

    from o1lab.config import Config
    from o1lab.serve.manager import ServerManager


@dataclass
class LabContext:
    """One open lab. The app creates it once and passes it to each screen."""

    lab: Lab
    name: str
    store: Store
    annotator: str
    keys: Mapping[str, str] = field(default_factory=dict)
    """The keys of actions that o1lab.toml changes, by the id of the action."""
    session: Session = field(default_factory=Session)
    """The state of this person's screens, such as filters and cursors."""
    activity: Sequence[Text] = ()
    """What runs, as parts of the status line. The app updates it."""
    _servers: ServerManager | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.store.annotator = self.annotator

    @cached_property
    def config(self) -> Config:
        """The lab's settings, read and checked on first use, which is after the first paint.

        Raises:
            LabError: o1lab.toml is not valid.
        """
        from o1lab.config import load_config

        return load_config(self.lab)

    @property
    def writable(self) -> Lab | None:
        """The lab, unless it is read-only."""
        return None if self.store.read_only else self.lab

    @property
    def saved_filters(self) -> SavedFilters:
        """The saved filters."""
        return SavedFilters(self.lab)

    @property
    def servers(self) -> ServerManager:
        """The servers started by this app; created on first use, since most sessions need none."""
        if self._servers is None:
            from o1lab.serve.manager import ServerManager

            self._servers = ServerManager(self.lab, reuse=True)
        return self._servers

    async def close(self) -> None:
        """Stop the servers started by this app and close the database."""
        if self._servers is not None:
            await self._servers.close()
        self.store.close()


def open_context(lab: Lab, *, fresh: bool = False) -> LabContext:
    """Open a lab for the screens.

    Args:
        lab: The lab.
        fresh: Whether to ignore the state that the screens had last time.

    Raises:
        StoreError: The lab cannot be opened.
    """
    settings = first_settings(lab.config) or {}
    keys = settings.get("keys")
    named = {name: key for name, key in keys.items() if isinstance(key, str)} if isinstance(keys, dict) else {}
    store, person = open_lab(lab), annotator()
    session = Session(None if store.read_only else session_file(lab, person), fresh=fresh)
    return LabContext(lab, str(settings.get("name", lab.name)), store, person, named, session)
