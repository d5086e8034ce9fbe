"""Sampling: the teacher's response is the trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from o1lab.distill.methods.base import Draft, Need, SingleCall, SourceItem, as_trace, method
from o1lab.inference.calls import Message, Response


@method("sample", order=10)
class Sample(SingleCall):
    """One call per sample; the response is kept unchanged."""

    synthesis = "distilled"
    needs: ClassVar[Mapping[str, Need]] = {
        "prompt": Need("long-thought", frozenset({"statement"}), hidden_thoughts="whole-exploration")
    }

    def messages(self, item: SourceItem) -> list[Message]:
        return self.prompts["prompt"].fill({"statement": item.statement})

    def draft(self, item: SourceItem, response: Response) -> Draft:
        return as_trace(response)
