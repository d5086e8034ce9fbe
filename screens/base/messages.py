"""Messages from one screen to another; the app switches to the mode of the message and lets it act on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual.message import Message


class Visit(Message):
    """Go to the screen of another mode."""

    mode: ClassVar[str]

    def act_on(self, screen: Any) -> None:
        """Show on the screen what the message asks for."""
        raise NotImplementedError


@dataclass
class OpenTraces(Visit):
    """Show the traces of a filter, with ``trace_id`` in the reader if given."""

    mode = "traces"
    query: str = ""
    trace_id: str | None = None

    def act_on(self, screen: Any) -> None:
        screen.open(self.query, self.trace_id)


@dataclass
class OpenDistill(Visit):
    """Show the problems of a filter in the pool, or the form for a teacher run on them (``form``)."""

    mode = "distill"
    problems: str = ""
    form: bool = False

    def act_on(self, screen: Any) -> None:
        if self.form:
            screen.open_form({"problems": self.problems} if self.problems else None)
        else:
            screen.open_pool(self.problems)


@dataclass
class OpenRun(Visit):
    """Show one training run."""

    mode = "train"
    run_id: str

    def act_on(self, screen: Any) -> None:
        screen.open_run(self.run_id)


@dataclass
class OpenTraining(Visit):
    """Open the form for a training run, on ``dataset`` if given."""

    mode = "train"
    dataset: str | None = None

    def act_on(self, screen: Any) -> None:
        screen.open_form({"dataset": self.dataset} if self.dataset else None)


@dataclass
class OpenCompare(Visit):
    """Open a conversation with these models (references of the registry), with the prompt filled in if given."""

    mode = "compare"
    models: tuple[str, ...] = ()
    prompt: str = ""

    def act_on(self, screen: Any) -> None:
        screen.open(self.models, self.prompt)


@dataclass
class ContinueChain(Visit):
    """Open a recorded chain with the cursor at an offset of its raw text, or at its end: a model continues it."""

    mode = "compare"
    trace_id: str
    at: int | None = None

    def act_on(self, screen: Any) -> None:
        screen.continue_chain(self.trace_id, self.at)


@dataclass
class OpenEvaluation(Visit):
    """Show one evaluation; without an id open the form for one, of ``model`` if given."""

    mode = "evaluate"
    evaluation_id: str | None = None
    model: str | None = None

    def act_on(self, screen: Any) -> None:
        if self.evaluation_id is not None:
            screen.open_evaluation(self.evaluation_id)
        else:
            screen.open_form({"model": self.model} if self.model else None)
