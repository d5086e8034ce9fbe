"""The context of all screens: the lab, its database, its settings, and the servers it starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from o1lab.paths import Lab, annotator
from store import Store, open_store

if TYPE_CHECKING:
    from o1lab.config import Config
    from o1lab.serve.manager import ServerManager


@dataclass
class LabContext:
    """One open lab. The app creates it once and passes it to each screen."""

    lab: Lab
    name: str
    store: Store
    annotator: str
    _servers: ServerManager | None = field(default=None, repr=False)

    @cached_property
    def config(self) -> Config:
        """The lab's settings, read and checked on first use, which is after the first paint.

        Raises:
            LabError: o1lab.toml is not valid.
        """
        from o1lab.config import load_config

        return load_config(self.lab)

    @property
    def servers(self) -> ServerManager:
        """The servers started by this app; created on first use, since most sessions need none."""
        if self._servers is None:
            from o1lab.serve.manager import ServerManager

            self._servers = ServerManager(self.lab)
        return self._servers

    async def close(self) -> None:
        """Stop the servers started by this app and close the database."""
        if self._servers is not None:
            await self._servers.close()
        self.store.close()


def open_context(lab: Lab) -> LabContext:
    """Open a lab for the screens.

    Raises:
        StoreError: The lab cannot be opened.
    """
    return LabContext(lab, lab_name(lab), open_store(lab.database), annotator())


def lab_name(lab: Lab) -> str:
    """Return the name from o1lab.toml; errors in the file are reported when the settings are needed."""
    try:
        return str(tomllib.loads(lab.config.read_text("utf-8")).get("name", lab.name))
    except (OSError, ValueError, RecursionError):
        return lab.name
