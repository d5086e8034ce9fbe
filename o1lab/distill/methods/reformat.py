"""Reformatting: a cheap model rewrites a short reference solution in detailed steps, for the first training phase."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from o1lab.chains.answers import How, after_box, extract_answer
from o1lab.distill.method import Draft, Need, SingleCall, SourceItem, as_trace, method
from o1lab.distill.methods.conversation import has_marks
from o1lab.inference.calls import Message, Response
from o1lab.inference.thoughts import split

_REFUSAL = re.compile(
    r"\s*(?:(?:I['’]?m|I am|we are)\s+(?:very\s+|so\s+)?(?:sorry|unable|not able)|sorry\b|(?:unfortunately,?\s+)?I\s+"
    r"(?:can(?:['’]t|not| not)|won['’]t|am unable)|as an? (?:AI|language model)|(?:很)?抱歉|对不起|我(?:无法|不能))",
    re.IGNORECASE,
)
# What may follow the last box: punctuation, emphasis and the end of a formula.
_ENDS = re.compile(r"(?:[\s.,;:!。，；：！*_}$)]|\\[\])]|\\end\{[a-z]+\*?\})*")


@method("reformat", order=20)
class Reformat(SingleCall):
    r"""The trace is the rewritten solution: it has no thought, ends in ``\boxed``, and must match the gold answer."""

    synthesis = "reformatted"
    verified = True
    requires = ("solution", "answer")  # something to rewrite, and something to verify the result with
    phase = 1
    needs: ClassVar[Mapping[str, Need]] = {"prompt": Need("reformat", frozenset({"statement", "solution", "answer"}))}

    def messages(self, item: SourceItem) -> list[Message]:
        return self.prompts["prompt"].fill(
            {"statement": item.statement, "solution": item.solution or "", "answer": item.gold or ""}
        )

    def draft(self, item: SourceItem, response: Response) -> Draft:
        """Return the response as a phase-1 row, without the model's own thought."""
        text = split(response)[1].strip() or response.answer.strip()
        complete = as_trace(response).complete
        return Draft(text, complete, rejected=_flaw(text, item.solution or "", complete=complete))


def _flaw(text: str, original: str, *, complete: bool) -> str:
    answer = extract_answer(text)
    boxed = answer is not None and answer.how is How.BOXED
    if not text:
        return "it is empty"
    if not complete:
        return "it was cut off"
    if has_marks(text):
        return "a thought mark is left in it"
    if not boxed and _REFUSAL.match(text):
        return "it refuses"
    if not boxed:
        return "it has no \\boxed answer"
    if not _ENDS.fullmatch(after_box(text) or ""):
        return "there is text after its \\boxed answer"
    if len(text) < len(original.strip()):
        return "it is shorter than the original"
    return ""
