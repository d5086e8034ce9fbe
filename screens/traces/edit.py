"""Editing a chain in $EDITOR. The draft file is kept until the edited text is saved."""

from __future__ import annotations

import shutil

from o1lab.chains.verify import VerifierPool
from o1lab.ingest.edit import add_edited
from screens.base.editor import edit_draft, write_draft
from screens.base.screen import LabScreen
from screens.traces.annotate import Annotator
from store import traces
from store.connection import Store
from store.records import TraceRow


async def edit_chain(screen: LabScreen, annotator: Annotator, trace_id: str) -> TraceRow | None:
    """Open $EDITOR on a chain and add the edited text as a new trace, which is verified.

    Args:
        screen: The screen, whose app is suspended in the meantime.
        annotator: Writes the trace and shows messages.
        trace_id: The chain.

    Returns:
        The new trace; None if nothing was changed or an error was reported.
    """
    context = annotator.context
    draft = None
    try:
        raw = (await screen.read(traces.text, trace_id)).raw
        draft = await screen.in_thread(write_draft, trace_id, raw)
        edited = await edit_draft(screen, draft, raw)
        if edited is None:
            await screen.in_thread(shutil.rmtree, draft.parent)
            annotator.say("The text is unchanged, so nothing was recorded.")
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


def save(store: Store, parent_id: str, edited: str, annotator: str) -> TraceRow:
    """Add the edited chain. Call it in the writer's thread."""
    with VerifierPool() as pool:
        record = add_edited(store, parent_id, edited, annotator=annotator, pool=pool)
    return traces.get(store.db, record.value)
