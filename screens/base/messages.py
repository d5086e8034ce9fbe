"""What one screen asks of another; the app answers by switching modes."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class OpenTraces(Message):
    """Show the traces of a filter, the reader on ``trace_id`` when given."""

    query: str = ""
    trace_id: str | None = None


@dataclass
class OpenDistill(Message):
    """Show the pool of problems under a filter, or set up a teacher run on them (``form``)."""

    problems: str = ""
    form: bool = False


@dataclass
class OpenRun(Message):
    """Show one training run."""

    run_id: str


@dataclass
class OpenTraining(Message):
    """Start to set up a run, on ``dataset`` when given."""

    dataset: str | None = None


@dataclass
class OpenCompare(Message):
    """Talk to these models (references of the registry), the prompt already typed when given."""

    models: tuple[str, ...] = ()
    prompt: str = ""


@dataclass
class OpenEvaluation(Message):
    """Show one evaluation; without an id set one up, of ``model`` when given."""

    evaluation_id: str | None = None
    model: str | None = None
