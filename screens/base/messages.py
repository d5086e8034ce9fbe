"""Messages from one screen to another; the app handles them by switching modes."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class OpenTraces(Message):
    """Show the traces of a filter, with ``trace_id`` in the reader if given."""

    query: str = ""
    trace_id: str | None = None


@dataclass
class OpenDistill(Message):
    """Show the problems of a filter in the pool, or the form for a teacher run on them (``form``)."""

    problems: str = ""
    form: bool = False


@dataclass
class OpenRun(Message):
    """Show one training run."""

    run_id: str


@dataclass
class OpenTraining(Message):
    """Open the form for a training run, on ``dataset`` if given."""

    dataset: str | None = None


@dataclass
class OpenCompare(Message):
    """Open a conversation with these models (references of the registry), with the prompt filled in if given."""

    models: tuple[str, ...] = ()
    prompt: str = ""


@dataclass
class OpenEvaluation(Message):
    """Show one evaluation; without an id open the form for one, of ``model`` if given."""

    evaluation_id: str | None = None
    model: str | None = None
