"""Sampling: the response is the trace, of a teacher or, to replay it in training, of a base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from o1lab.distill.method import Draft, Need, SingleCall, SourceItem, as_trace, method
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


@method("replay", order=50)
class Replay(Sample):
    """One call per sample, with the statement alone, so that a base answers in its own way.

    Mixed into the training data of a student of this base, such answers keep what the base could do.
    """

    synthesis = "replay"
    needs: ClassVar[Mapping[str, Need]] = {"prompt": Need("as-it-is", frozenset({"statement"}), text="{{statement}}")}
