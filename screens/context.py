"""What every screen works with: the lab, its database, its settings, and the servers it may start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from o1lab.config import Config, load_config
from o1lab.locations import Lab, annotator
from store import Store, open_store

if TYPE_CHECKING:
    from o1lab.serve.manager import ServerManager


@dataclass
class LabContext:
    """One open lab. Made once by the app and handed to each screen."""

    lab: Lab
    config: Config
    store: Store
    annotator: str
    _servers: ServerManager | None = field(default=None, repr=False)

    @property
    def servers(self) -> ServerManager:
        """The servers this app started; made when first asked for, because most sittings need none."""
        if self._servers is None:
            from o1lab.serve.manager import ServerManager

            self._servers = ServerManager(self.lab)
        return self._servers

    async def close(self) -> None:
        """Stop what this app started and close the database."""
        if self._servers is not None:
            await self._servers.close()
        self.store.close()


def open_context(lab: Lab) -> LabContext:
    """Open a lab for the screens.

    Raises:
        LabError, StoreError: the lab cannot be opened, with a sentence why.
    """
    config = load_config(lab)
    return LabContext(lab, config, open_store(lab.database), annotator())
