"""Create the directory of a job that asks models, and change its settings when it continues."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from pydantic import BaseModel

from o1lab.errors import UsageError
from o1lab.files import write_json, writing
from o1lab.jobs.directory import JobFolder, SettingsT, StatusT
from o1lab.settings import validate

CHANGEABLE = (
    "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "first_token_timeout_s",
    "budget_usd", "budget_tokens",
)  # fmt: skip
"""Settings that may change when a job is resumed: they affect how calls are made, not their results."""


@contextmanager
def created(folder: JobFolder[Any, Any], settings: BaseModel, *, requested: int = 0) -> Iterator[None]:
    """Create a job's directory. After the block has written the other files, its first status and settings are written.

    Args:
        folder: the directory.
        settings: the settings, which make it the directory of a job.
        requested: the number of samples that the job is to make, if it is known.

    Raises:
        LabError: the directory cannot be written.
    """
    with writing(f"the {folder.noun}'s folder {folder.path}"):
        folder.stop_file.parent.mkdir(parents=True)
        yield
        values = {"state": "starting", "host": socket.gethostname(), "heartbeat": time.time(), "requested": requested}
        folder.write_status(folder.status_of(values))
        write_json(folder.settings_file, settings.model_dump(mode="json"))


def changed_settings(
    folder: JobFolder[StatusT, SettingsT],
    changes: Mapping[str, Any],
    changeable: Collection[str],
    *,
    verb: str,
    reuses: str = "",
) -> SettingsT | None:
    """Return the settings of a job with new values; None if nothing changes.

    Args:
        folder: the directory.
        changes: new values by name; None keeps a value.
        changeable: the names of the settings that may change.
        verb: the command whose help lists the settings, such as ``eval run``.
        reuses: what a new job reuses of this one, as a sentence without a period.

    Raises:
        UsageError: another setting would change, or a value is not valid.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if fixed := given.keys() - set(changeable):
        raise UsageError(
            f"{min(fixed).replace('_', ' ')} cannot change within one {folder.noun}.",
            f"Leave that option out, or start a new {folder.noun}{f' ({reuses})' if reuses else ''}.",
        )
    if not given:
        return None
    values = cast(BaseModel, folder.settings()).model_dump(mode="json") | given
    return cast(SettingsT, validate(cast(type[BaseModel], folder.settings_type), values, verb=verb))
