"""Opening the database of a lab for the current annotator, with the policy on decisions of o1lab.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from o1lab.errors import LabError
from o1lab.files import first_settings
from o1lab.paths import Lab, annotator
from store.policy import DEFAULT, POLICIES

if TYPE_CHECKING:
    from store import Store


def open_lab(lab: Lab, *, create: bool = True) -> Store:
    """Open the database of a lab and apply the policy of its o1lab.toml.

    Args:
        lab: The lab.
        create: Whether a missing database is created.

    Raises:
        LabError: o1lab.toml names an unknown policy.
        StoreError: The database cannot be opened.
    """
    from store import decisions, open_store

    policy = policy_in(lab)
    store = open_store(lab.database, create=create, annotator=annotator())
    if policy is not None and not store.read_only:
        with store.explained():
            decisions.use_policy(store.db, policy)
    return store


@contextmanager
def opened_lab(lab: Lab) -> Iterator[Store]:
    """Open the database of a lab for the block; SQLite's errors in the block become :class:`StoreError`.

    Raises:
        LabError, StoreError: As :func:`open_lab`.
    """
    store = open_lab(lab)
    try:
        with store.explained():
            yield store
    finally:
        store.close()


def policy_in(lab: Lab) -> str | None:
    """Return the policy of o1lab.toml; None if the file cannot be read, which is reported where settings are needed.

    Raises:
        LabError: It is not a policy.
    """
    settings = first_settings(lab.config)
    if settings is None:
        return None
    section = settings.get("annotations", {})
    policy = section.get("policy", DEFAULT) if isinstance(section, dict) else section
    if policy in POLICIES:
        return str(policy)
    raise LabError(
        f"{lab.config}: annotations.policy cannot be {policy!r}.",
        f"It is one of {', '.join(POLICIES)}.",
        code="config",
    )
