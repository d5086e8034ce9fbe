"""Editing a chain in the person's own editor. What was typed is never lost: it stays in its file until it is saved."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType

from o1lab.chains.verify import VerifierPool
from o1lab.errors import LabError
from o1lab.ingest.edit import add_edited, run_editor
from screens.traces.annotate import Action, AnnotatingScreen, Written
from store import traces
from store.connection import Store
from store.records import TraceText, decode, encode


class EditingScreen(AnnotatingScreen):
    """The action that opens $EDITOR on the trace at hand."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit", tooltip="Edit the chain in $EDITOR: a new trace with this one as its parent"),
    ]

    async def on_edited(self, trace_id: str) -> None:
        """A new trace was made by editing."""

    @work(exclusive=True, group="edit")
    async def action_edit(self) -> None:
        """Edit the chain; the result is a new trace, verified again."""
        if (trace_id := self.target()) is None:
            return
        try:
            raw = (await self.in_thread(_text, self.context.store, trace_id)).raw
            draft = await self.in_thread(write_draft, trace_id, raw)
            try:
                with self.app.suspend():
                    run_editor(draft)
            except SuspendNotSupported:
                self.say("This terminal cannot be handed to an editor.")
                return
            finally:
                self.refresh(repaint=True, layout=True)
            edited = await self.in_thread(read_draft, draft, raw)
            if edited is None:
                await self.in_thread(shutil.rmtree, draft.parent)
                self.say("Nothing was changed, so nothing was recorded.")
                return
            self.say("verifying the edited chain …")
            done = await self.writer.do(save, self.context.store, trace_id, edited, self.context.annotator)
        except Exception as error:
            self.report(error)
            if "draft" in locals() and draft.exists():
                self.say(f"Your text is kept in {draft}")
            return
        await self.in_thread(shutil.rmtree, draft.parent)
        self.say(f"saved: edited into {done.row.id[:8]}, {done.row.verdict}, by {self.context.annotator}")
        await self.on_edited(done.row.id)


def write_draft(trace_id: str, raw: str) -> Path:
    """Put a chain into a file of its own, byte for byte."""
    path = Path(tempfile.mkdtemp(prefix="o1lab-edit-")) / f"{trace_id[:8]}.txt"
    path.write_bytes(encode(raw))
    return path


def read_draft(path: Path, raw: str) -> str | None:
    """What the person made of ``raw``, or None when it is the same.

    Editors end a file with a newline; one that ``raw`` did not have is taken off again.

    Raises:
        LabError: the file is gone or is no UTF-8.
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


def save(store: Store, parent_id: str, edited: str, annotator: str) -> Written:
    """Add the edited chain (for the writer's thread)."""
    with VerifierPool() as pool:
        record = add_edited(store, parent_id, edited, annotator=annotator, pool=pool)
    act = Action(parent_id, "edit", record.value)
    return Written(act, record, traces.get(store.db, record.value))


def _text(store: Store, trace_id: str) -> TraceText:
    return traces.text(store.db, trace_id)
