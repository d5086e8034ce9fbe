"""Sampling: the teacher is asked, and what it writes is the trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from o1lab.distill.method import Draft, SingleCall, SourceItem, as_trace
from o1lab.distill.methods.base import Need, Prompts
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.calls import Message, Response


class Sample(SingleCall):
    """One call a sample; the response is kept to the letter."""

    name = "sample"
    synthesis = "distilled"
    needs: ClassVar[Mapping[str, Need]] = {"prompt": Need("long-thought", frozenset({"statement"}))}

    def __init__(self, settings: TeacherRunSettings, prompts: Prompts) -> None:
        del settings  # how to sample is the caller's business
        self._prompt = prompts["prompt"]

    def messages(self, item: SourceItem) -> list[Message]:
        return self._prompt.fill({"statement": item.statement})

    def draft(self, item: SourceItem, response: Response) -> Draft:
        return as_trace(response)
