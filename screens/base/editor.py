"""Editing a text in $EDITOR. The draft is a file that is kept until what was typed is saved."""

from __future__ import annotations

import tempfile
from pathlib import Path

from textual.app import SuspendNotSupported

from o1lab.errors import LabError
from o1lab.ingest.edit import run_editor
from screens.base.screen import LabScreen
from store.records import decode, encode


async def edit_draft(screen: LabScreen, draft: Path, raw: str) -> str | None:
    """Open $EDITOR on a draft, with the app suspended in the meantime.

    Args:
        screen: The screen.
        draft: The file, as :func:`write_draft` wrote it.
        raw: The text before.

    Returns:
        The edited text; None if nothing was changed.

    Raises:
        LabError: An editor cannot be started, or what it wrote cannot be read.
    """
    run_suspended(screen, draft)
    return await screen.in_thread(read_draft, draft, raw)


def run_suspended(screen: LabScreen, draft: Path) -> None:
    """Run $EDITOR on a file, with the app suspended in the meantime.

    Raises:
        LabError: An editor cannot be started.
    """
    try:
        with screen.app.suspend():
            run_editor(draft)
    except SuspendNotSupported as error:
        raise LabError("An editor cannot be started from this terminal.") from error
    finally:
        screen.refresh(repaint=True, layout=True)


def write_draft(name: str, raw: str) -> Path:
    """Write a text to a new file, byte for byte.

    Args:
        name: What the text is of; the file's name begins with it.
        raw: The text.
    """
    path = Path(tempfile.mkdtemp(prefix="o1lab-edit-")) / f"{name[:8]}.txt"
    path.write_bytes(encode(raw))
    return path


def read_draft(path: Path, raw: str) -> str | None:
    """Return the edited text, None if it is the same as ``raw``.

    Editors end a file with a newline, which is removed if ``raw`` had none.

    Raises:
        LabError: The file cannot be read or is not UTF-8.
    """
    try:
        edited = decode(path.read_bytes())
    except OSError as error:
        raise LabError(f"The edited text cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise LabError("The edited text is not UTF-8, so nothing was recorded.", "Save it as UTF-8.") from error
    if edited.endswith("\n") and not raw.endswith("\n"):
        edited = edited.removesuffix("\n")
    return None if edited == raw else edited
