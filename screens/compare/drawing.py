"""Draw saved answers, notes and failures in a pane, without what names the model if that is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from o1lab.chat.branches import BranchedHistory
from o1lab.chat.prefixes import by_others, described
from o1lab.serve.registry import ModelRef
from o1lab.widgets.stream_pane import StreamPane
from store.conversations import Message


@dataclass(frozen=True)
class Selected:
    """The answer that a key acts on: the model of its pane, the question, and the saved message."""

    ref: ModelRef
    question: str
    message: Message


def draw_turns(stream: StreamPane, session: BranchedHistory, pane: int, turns: Sequence[int], *, hidden: bool) -> None:
    """Draw the questions of some turns, and the answers of a pane."""
    for turn in turns:
        stream.add_user(session.question(turn))
        draw_answer(stream, session.answer(pane, turn), session.record.panes[pane].model, hidden=hidden)


def draw_answer(stream: StreamPane, message: Message | None, model: str, *, hidden: bool) -> None:
    """Draw a saved answer with its notes and its error, and who wrote it if ``model`` did not write it alone."""
    if message is None:
        return
    draw_notes(stream, message.settings.get("notes", ()), hidden=hidden)
    if by_others(message.spans, model):
        draw_notes(stream, [f"written by {described(message.spans)}"], hidden=hidden)
    if message.content or message.thought:
        stream.add_assistant(message.content, message.thought, message.thought_tokens)
    if message.state == "failed":
        draw_failure(stream, message.error or "This answer failed.", "", hidden=hidden)


def draw_notes(stream: StreamPane, notes: Sequence[str], *, hidden: bool) -> None:
    """Draw what was changed in the request."""
    for note in notes if not hidden else ():  # a note names the model
        stream.add_note(note)


def draw_failure(stream: StreamPane, sentence: str, hint: str, *, hidden: bool) -> None:
    """End an answer with an error."""
    if hidden:  # the sentence names the model
        sentence, hint = "This model failed.", "The reason is shown after the vote."
    stream.fail(sentence, f"{hint} ctrl+r tries again.".strip())
