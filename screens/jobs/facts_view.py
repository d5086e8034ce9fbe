"""The view of a selected job as text: a heading of two lines over a pane that scrolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from o1lab.widgets.text_pane import TextPane
from screens.jobs.poll_loop import DetailT


class JobView(Vertical, Generic[DetailT]):
    """A view of the selected job."""

    def show(self, detail: DetailT) -> None:
        """Show a job."""
        raise NotImplementedError


class FactsView(JobView[Any]):
    """Heading and facts of a job. The widgets in it have the ids ``ID-head`` and ``ID-facts``.

    Args:
        title: The title of the pane of facts.
        header: Makes the heading of a job.
        facts: Makes its facts.
        id: The widget's id.
    """

    def __init__(self, title: str, header: Callable[[Any], Text], facts: Callable[[Any], Text], *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._header, self._facts = title, header, facts
        self._job_id = ""

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-head", markup=False)
        yield TextPane(self._title, id=f"{self.id}-facts")

    def show(self, detail: Any) -> None:
        """Show a job, from the top if it is not the job shown before."""
        pane, head, text = self.query_one(TextPane), self.query_one(Static), self._header(detail)
        if detail.line.id != self._job_id:
            self._job_id = detail.line.id
            pane.scroll_home(animate=False)
        if head.content != text:
            head.update(text)
        pane.show(self._facts(detail))

    def whole(self, detail: Any) -> Text:
        """Return heading and facts as one text."""
        return Text("\n").join([self._header(detail), self._facts(detail)])
