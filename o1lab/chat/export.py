"""Export a conversation as Markdown, and add its answers to the lab's traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from o1lab.chains import parse
from o1lab.errors import UsageError
from o1lab.inference.calls import LIMITS
from o1lab.ingest.measuring import measure_trace
from o1lab.serve.registry import ModelRef
from o1lab.text import visible
from store import Store, conversations, problems, traces
from store.records import NewProblem, NewTrace

Synthesis = Literal["solver", "distilled", "unknown"]
SOURCE = "chat"


def add_to_traces(
    store: Store, record: conversations.Conversation, message: conversations.Message, ref: ModelRef
) -> tuple[str, bool]:
    """Add an answer to the traces. Blocks; run it in a thread.

    The question becomes a problem without a gold answer if the lab does not know it. The system message and the
    earlier turns are the context of the trace, and its provenance contains the settings. A new trace is measured and
    verified at once.

    Args:
        store: the lab's database.
        record: the conversation.
        message: the answer.
        ref: the model that gave it.

    Returns:
        The trace's id, and whether it is new.

    Raises:
        UsageError: the answer is empty.
    """
    if not (message.content or message.thought):
        raise UsageError("This answer is empty.", "Choose another one.")
    asked = asked_for(conversations.messages(store.db, record.id), message)
    question, before = asked[-1]["content"], [turn for turn in asked[:-1] if turn["role"] != "system"]
    raw = parse.join(message.thought, message.content)
    parsed = parse.parse(raw)
    meta = {
        "conversation": record.id,
        "message": message.id,
        "turn": message.turn,
        "state": message.state,
        "asked_with": message.settings,
        "before": before,
    }
    problem = NewProblem(question, SOURCE, key=record.id)
    trace = NewTrace(
        problem.id,
        ref.id,
        raw,
        parsed.thought or (0, 0),
        parsed.solution or (len(raw), len(raw)),
        parsed.complete and is_complete(message),
        parsed.format,
        SOURCE,
        key=message.id,
        synthesis=_synthesis(ref),
        tokens=message.output_tokens,
        meta=meta,
        context=tuple(asked) if len(asked) > 1 else (),
        outside=parsed.outside,
    )
    with store.explained(), store.db.atomic():
        if problems.find(store.db, question) is None:
            problems.add(store.db, [problem])
        added = traces.add(store.db, [(trace, question)])
    if added:  # after the commit: if measuring is interrupted, the next import repeats it
        measure_trace(store, trace.id)
    return trace.id, bool(added)


def asked_for(history: Sequence[conversations.Message], message: conversations.Message) -> list[dict[str, str]]:
    """Return the messages that an answer was asked with, the system message first and the question last."""
    question = next(m.content for m in history if m.pane is None and m.turn == message.turn)
    answered = {m.turn for m in history if m.pane == message.pane and m.content}  # the others were not sent
    before = [
        {"role": m.role, "content": m.content}
        for m in history
        if m.turn < message.turn and m.turn in answered and m.pane in (None, message.pane)
    ]
    system = str(message.settings.get("system") or "")
    return [
        *([{"role": "system", "content": system}] if system else []),
        *before,
        {"role": "user", "content": question},
    ]


def is_complete(message: conversations.Message) -> bool:
    """Return whether an answer ended by itself; one that was replaced later may have."""
    if message.state not in ("complete", "replaced"):
        return False
    return str(message.settings.get("finish_reason")).lower() not in LIMITS | {"stopped", "failed"}


def _synthesis(ref: ModelRef) -> Synthesis:
    if ref.source == "solver":
        return "solver"
    return "distilled" if ref.role == "teacher" else "unknown"


def export_markdown(
    record: conversations.Conversation,
    messages: Sequence[conversations.Message],
    votes: Sequence[conversations.Vote] = (),
) -> str:
    """Return the conversation as Markdown. Every text is a fenced block, so that none is interpreted as markup.

    Args:
        record: the conversation.
        messages: its messages.
        votes: its votes.
    """
    title = visible(record.title) or "Conversation"
    lines = [f"# {title}", "", f"{record.created_at[:16].replace('T', ' ')} UTC · `{record.id}`", ""]
    if system := record.settings.get("system"):
        lines += ["System prompt:", "", _fenced(str(system)), ""]
    labels = {pane.position: pane.label for pane in record.panes}
    ballots: dict[int, list[conversations.Vote]] = {}
    for ballot in votes:
        ballots.setdefault(ballot.turn, []).append(ballot)
    for turn in sorted({m.turn for m in messages}):
        of_turn = [m for m in messages if m.turn == turn]
        for message in of_turn:
            if message.pane is None:
                lines += [f"## {turn}. Question", "", _fenced(message.content), ""]
            else:
                lines += _answer(message, labels.get(message.pane, f"pane {message.pane + 1}"))
        for ballot in ballots.get(turn, []):
            blind = ", blind" if ballot.blind else ""
            lines += [f"Vote of {visible(ballot.annotator)}{blind}: **{visible(ballot.winner)}**", ""]
    return "\n".join(lines)


def _answer(message: conversations.Message, label: str) -> list[str]:
    facts = [message.state]
    if message.verdict:
        facts.append(message.verdict)
    if message.output_tokens is not None:
        facts.append(f"{message.output_tokens} tokens")
    if message.seconds is not None:
        facts.append(f"{message.seconds:.1f} s")
    lines = [f"### {visible(label)}", "", " · ".join(facts), ""]
    for note in message.settings.get("notes", ()):
        lines += [f"Note: {visible(str(note))}", ""]
    if message.error:
        lines += [f"Error: {visible(message.error)}", ""]
    if message.thought:
        lines += ["Thought:", "", _fenced(message.thought), ""]
    if message.content:
        lines += ["Answer:", "", _fenced(message.content), ""]
    return lines


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{visible(text)}\n{fence}"
