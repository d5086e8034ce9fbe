"""Export a conversation as Markdown, and add its answers to the lab's traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from o1lab.chains import parse
from o1lab.chat import prefixes
from o1lab.errors import UsageError
from o1lab.inference.calls import LIMITS
from o1lab.ingest.measuring import measure_trace
from o1lab.markdown import fenced
from o1lab.serve.registry import ModelRef
from o1lab.text import visible
from store import Store, branches, conversations, problems, traces
from store.records import NewProblem, NewTrace
from store.writers import Writer, as_meta

Synthesis = Literal["solver", "distilled", "unknown"]
SOURCE = "chat"


def add_to_traces(
    store: Store, record: conversations.Conversation, message: conversations.Message, ref: ModelRef
) -> tuple[str, bool]:
    """Add an answer to the traces. Blocks; run it in a thread.

    An answer that another model wrote, such as a recorded chain, is that model's.

    The question becomes a problem without a gold answer if the lab does not know it. The system message and the
    earlier turns are the context of the trace, and its provenance contains the settings. A new trace is measured and
    verified at once.

    Args:
        store: the lab's database.
        record: the conversation.
        message: the answer.
        ref: the model of its pane.

    Returns:
        The trace's id, and whether it is new.

    Raises:
        UsageError: the answer is empty.
    """
    if not (message.content or message.thought):
        raise UsageError("This answer is empty.", "Choose another one.")
    asked = asked_for(conversations.messages(store.db, record.id, branches=True), message)
    question, before = asked[-1]["content"], [turn for turn in asked[:-1] if turn["role"] != "system"]
    whole = prefixes.of_answer(message, ref.id)
    raw = whole.text
    parsed = parse.parse(raw)
    meta = {
        "conversation": record.id,
        "message": message.id,
        "turn": message.turn,
        "state": message.state,
        "asked_with": message.settings,
        "before": before,
    }
    writer = whole.spans[0].name if len(whole.spans) == 1 else ref.id
    meta |= as_meta([Writer(span.name, span.start, span.end) for span in whole.spans])
    problem = NewProblem(question, SOURCE, key=record.id)
    trace = NewTrace(
        problem.id,
        writer,
        source=SOURCE,
        key=message.id,
        synthesis=_synthesis(ref) if whole.writers <= {ref.id} else "unknown",
        tokens=None if message.settings.get("prefix") else message.output_tokens,  # those of the continuation alone
        meta=meta,
        context=tuple(asked) if len(asked) > 1 else (),
        **parsed.fields(raw) | {"complete": parsed.complete and is_complete(message)},
    )
    with store.explained(), store.db.atomic():
        if problems.find(store.db, question) is None:
            problems.add(store.db, [problem])
        added = traces.add(store.db, [(trace, question)])
    if added:  # after the commit: if measuring is interrupted, the next import repeats it
        measure_trace(store, trace.id)
    return trace.id, bool(added)


def asked_for(history: Sequence[conversations.Message], message: conversations.Message) -> list[dict[str, str]]:
    """Return the messages that an answer was asked with, the system message first and the question last.

    Args:
        history: every message of the conversation, those of all branches.
        message: the answer.
    """
    along = branches.with_branch(history, message.turn)
    *turns, last = branches.path(history, message.turn)
    before: list[dict[str, str]] = []
    for turn in turns:
        answer = next((m for m in along if m.turn == turn and m.pane == message.pane and m.shown), None)
        asked = branches.question(history, turn)
        if asked is not None and answer is not None and answer.content:  # the others were not sent
            before += [{"role": one.role, "content": one.content} for one in (asked, answer)]
    asked = branches.question(history, last)
    question = asked.content if asked is not None else ""
    system = str(message.settings.get("system") or "")
    return [
        *([{"role": "system", "content": system}] if system else []),
        *before,
        {"role": "user", "content": question},
    ]


def is_complete(message: conversations.Message) -> bool:
    """Return whether an answer ended by itself."""
    return message.state == "complete" and str(message.settings.get("finish_reason")).lower() not in LIMITS


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
        messages: its messages, those of all branches.
        votes: its votes.
    """
    title = visible(record.title) or "Conversation"
    lines = [f"# {title}", "", f"{record.created_at[:16].replace('T', ' ')} UTC · `{record.id}`", ""]
    if system := record.settings.get("system"):
        lines += ["System prompt:", "", fenced(str(system))]
    labels = {pane.position: pane.label for pane in record.panes}
    models = {pane.position: pane.model for pane in record.panes}
    ballots: dict[int, list[conversations.Vote]] = {}
    for ballot in votes:
        ballots.setdefault(ballot.turn, []).append(ballot)
    for turn in sorted({m.turn for m in messages}):
        for message in (m for m in messages if m.turn == turn):
            if message.pane is None:
                lines += [f"## {turn}. Question", "", *_origin(messages, message), fenced(message.content)]
                continue
            versions = branches.answers(messages, message.pane, turn)
            label = labels.get(message.pane, f"pane {message.pane + 1}")
            if len(versions) > 1:
                label += f" ({versions.index(message) + 1}/{len(versions)}{', shown' if message.shown else ''})"
            lines += _answer(message, label, models.get(message.pane, ""))
        for ballot in ballots.get(turn, []):
            blind = ", blind" if ballot.blind else ""
            lines += [f"Vote of {visible(ballot.annotator)}{blind}: **{visible(ballot.winner)}**", ""]
    return "\n".join(lines)


def _origin(messages: Sequence[conversations.Message], question: conversations.Message) -> list[str]:
    """Return a line that says which branch a question begins; nothing if it is the only one there."""
    versions = branches.questions(messages, question.turn)
    lines = [f"Version {versions.index(question) + 1}/{len(versions)}."] if len(versions) > 1 else []
    if question.before != question.turn - 1:
        after = f"Follows question {question.before}." if question.before else "Starts the conversation again."
        lines.append(after)
    chosen = []
    for answer in (m for m in messages if m.id in question.follows and m.pane is not None):
        known = branches.answers(messages, answer.pane or 0, answer.turn)
        if len(known) > 1:
            chosen.append(f"answer {known.index(answer) + 1}/{len(known)} of pane {(answer.pane or 0) + 1}")
    lines += [f"Follows {', '.join(chosen)}."] if chosen else []
    return [" ".join(lines), ""] if lines else []


def _answer(message: conversations.Message, label: str, model: str) -> list[str]:
    facts = [message.state]
    if message.verdict:
        facts.append(message.verdict)
    if message.output_tokens is not None:
        part = " of the continuation" if message.settings.get("prefix") else ""
        facts.append(f"{message.output_tokens} tokens{part}")
    if message.seconds is not None:
        facts.append(f"{message.seconds:.1f} s")
    lines = [f"### {visible(label)}", "", " · ".join(facts), ""]
    for note in message.settings.get("notes", ()):
        lines += [f"Note: {visible(str(note))}", ""]
    if prefixes.by_others(message.spans, model):
        lines += [f"Written by: {visible(prefixes.described(message.spans))}", ""]
    if message.error:
        lines += [f"Error: {visible(message.error)}", ""]
    if message.thought:
        lines += ["Thought:", "", fenced(message.thought)]
    if message.content:
        lines += ["Answer:", "", fenced(message.content)]
    return lines
