"""Each question as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from o1lab.evaluate.items import Item
from o1lab.evaluate.suites.builders.base import NoOptions, Question, Templates


def plain(
    questions: Sequence[Question], templates: Templates, _options: NoOptions, _left_out: Callable[[str], None]
) -> Iterator[Item]:
    """One item a question: the suite's prompt, and then the row's further turns as they are."""
    for question in questions:
        values = question.values()
        yield templates.item(question, [templates.asked(values), *question.turns], values)
