"""Editing a chain in $EDITOR. What was typed is never lost: it stays in its file until it is saved."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from textual.app import SuspendNotSupported

from o1lab.chains.verify import VerifierPool
from o1lab.errors import LabError
from o1lab.ingest.edit import add_edited, run_editor
from screens.base.screen import LabScreen
from screens.traces.annotate import Annotator
from store import traces
from store.connection import Store
from store.records import TraceRow, decode, encode


async def edit_chain(screen: LabScreen, annotator: Annotator, trace_id: str) -> TraceRow | None:
    """Open $EDITOR on a chain and add what it becomes as a new trace, verified again.

    Args:
        screen: the screen that is suspended meanwhile.
        annotator: writes the trace, and tells what happens.
        trace_id: the chain.

    Returns:
        The new trace; None where nothing was changed or an error was reported.
    """
    context = annotator.context
    draft = None
    try:
        raw = (await screen.in_thread(lambda: traces.text(context.store.db, trace_id))).raw
        draft = await screen.in_thread(write_draft, trace_id, raw)
        try:
            with screen.app.suspend():
                run_editor(draft)
        except SuspendNotSupported:
            annotator.say("This terminal cannot be handed to an editor.")
            return None
        finally:
            screen.refresh(repaint=True, layout=True)
        edited = await screen.in_thread(read_draft, draft, raw)
        if edited is None:
            await screen.in_thread(shutil.rmtree, draft.parent)
            annotator.say("Nothing was changed, so nothing was recorded.")
            return None
        annotator.say("verifying the edited chain …")
        row = await annotator.writer.do(save, context.store, trace_id, edited, context.annotator)
    except Exception as error:
        screen.report(error)
        if draft is not None and draft.exists():
            annotator.say(f"Your text is kept in {draft}")
        return None
    await screen.in_thread(shutil.rmtree, draft.parent)
    annotator.say(f"saved: edited into {row.id[:8]}, {row.verdict}, by {context.annotator}")
    return row


def write_draft(trace_id: str, raw: str) -> Path:
    """Write a chain into a file of its own, byte for byte."""
    path = Path(tempfile.mkdtemp(prefix="o1lab-edit-")) / f"{trace_id[:8]}.txt"
    path.write_bytes(encode(raw))
    return path


def read_draft(path: Path, raw: str) -> str | None:
    """Read what ``raw`` was edited into, None when it is the same.

    Editors end a file with a newline; one that ``raw`` did not have is removed.

    Raises:
        LabError: the file is gone or is not UTF-8.
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


def save(store: Store, parent_id: str, edited: str, annotator: str) -> TraceRow:
    """Add the edited chain (for the writer's thread)."""
    with VerifierPool() as pool:
        record = add_edited(store, parent_id, edited, annotator=annotator, pool=pool)
    return traces.get(store.db, record.value)
