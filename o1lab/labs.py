"""Opening a lab's database as the person who asks, under the policy on decisions in o1lab.toml."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from o1lab.errors import LabError
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


def policy_in(lab: Lab) -> str | None:
    """Return the policy of o1lab.toml; None if the file cannot be read, which is reported where settings are needed.

    Raises:
        LabError: It is not a policy.
    """
    settings = first_settings(lab)
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


def first_settings(lab: Lab) -> dict[str, Any] | None:
    """Read o1lab.toml without checking it, which is faster; None if it cannot be read."""
    try:
        return tomllib.loads(lab.config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
