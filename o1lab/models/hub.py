"""The model hub: its address and token, the files of a model there, and sentences for its errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from o1lab.errors import LabError, NotFoundError, O1LabError
from o1lab.paths import offline
from o1lab.text import one_line


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub at one commit.

    Attributes:
        name: ``ORG/NAME``.
        revision: the commit.
        files: the bytes of each file, by its name.
    """

    name: str
    revision: str
    files: dict[str, int]


def address() -> str:
    """Return the address of the hub (``HF_ENDPOINT``)."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def require_online() -> None:
    """Check that the hub may be used.

    Raises:
        LabError: ``O1LAB_OFFLINE`` or ``HF_HUB_OFFLINE`` is set.
    """
    from huggingface_hub import constants

    if offline() or constants.HF_HUB_OFFLINE:
        variable = "O1LAB_OFFLINE" if offline() else "HF_HUB_OFFLINE"
        raise LabError(f"{variable} is set, so the hub is not used.", f"Unset {variable}.", code="offline")


def model_on_hub(name: str, revision: str = "") -> HubModel:
    """Return the files of a model.

    Raises:
        NotFoundError: there is no such model or revision, or the token cannot read it.
        LabError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    require_online()
    with explained_hub(f"The model {name} cannot be read"):
        found = HfApi(endpoint=address()).model_info(name, revision=revision or None, files_metadata=True)
    return HubModel(name, found.sha or "", {one.rfilename: one.size or 0 for one in found.siblings or ()})


def download(model: HubModel, file: str, folder: Path) -> None:
    """Download a file of a model; an interrupted download is continued.

    Raises:
        LabError: the hub cannot be reached, or the disk is full.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would write across the app's screen
    with explained_hub(f"{file} of {model.name} could not be downloaded"):
        hf_hub_download(model.name, file, revision=model.revision or None, local_dir=folder, endpoint=address())


@contextmanager
def explained_hub(failed: str) -> Iterator[None]:
    """Turn the errors of the hub's library, of the network and of the disk into sentences.

    Args:
        failed: what failed, as a sentence without its full stop.
    """
    try:
        yield
    except O1LabError:
        raise
    except Exception as error:  # the library raises its own, those of httpx and of the system, and plain ones
        raise _explained(failed, error) from error


def _explained(failed: str, error: Exception) -> O1LabError:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError) and not _is_of_network(cause):
        cause = cause.__cause__  # the library wraps some
    if cause is not None and _is_of_network(cause):
        return LabError(
            f"{failed}: the hub at {address()} cannot be reached ({type(cause).__name__}).",
            "Check the network, then run the command again: what has arrived is not sent again.",
            code="network",
        )
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError):
        return LabError(
            f"{failed}: it is gated.",
            "Accept its terms on its page of the hub, and set HF_TOKEN to a token of that account.",
            code="gated",
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFoundError(f"{failed}: it has no such revision.", "Name a branch, a tag or a commit.")
    if status == 404:
        return NotFoundError(
            f"{failed}: there is no such model, or your token cannot read it.",
            "Check the name; for a private model, set HF_TOKEN or run `hf auth login`.",
        )
    if status == 401:
        return LabError(
            f"{failed}: the hub does not accept the token, or there is no such model.",
            "Check the name, and set HF_TOKEN to a valid token or run `hf auth login`.",
            code="token",
        )
    if status == 403:
        return LabError(
            f"{failed}: the token may not do this.",
            "Use a token with write access to this account or organisation (on the hub: Settings, Access Tokens).",
            code="token",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LabError(f"{failed}: the disk is full.", "Free some space, then run it again.", code="disk_full")
    first = one_line(str(error).strip().partition("\n")[0], 200).rstrip(".")
    detail = f" (status {status})" if status else ""
    return LabError(
        f"{failed}: {type(error).__name__}{f': {first}' if first else ''}{detail}.", "Run it again later.", code="hub"
    )


def _is_of_network(error: BaseException) -> bool:
    """Return whether an error is httpx's for a failed connection; versions of the hub's library use different httpx."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
