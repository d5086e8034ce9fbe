"""Translation: translate a chain and its problem, with mathematics, code and answers unchanged.

Protected spans are replaced by placeholders first and put back afterwards; each must occur exactly once. Long chains
are translated in parts, split at paragraphs or moves; a faulty part is sent back once with its faults. Turns 0 and 1
are reserved for the statement: a problem is translated once, so that its chains stay chains of one problem.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from o1lab.chains.answers import How
from o1lab.chains.language import language_of, mixed_language
from o1lab.chains.parse import Span, parse
from o1lab.chains.protected import Masked, mask, placeholders, unmask
from o1lab.chains.segmentation.moves import segment
from o1lab.distill.method import Draft, Need, Plan, Planned, Prompts, SourceItem, method, translation_source
from o1lab.distill.methods.conversation import Conversation, ConversationMethod, GivenUp, has_marks
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.calls import Message
from o1lab.text import one_line
from store.records import NewProblem

PART_CHARS = 4000
"""Maximum length of a part in characters, with placeholders for protected spans."""
LANGUAGES = {"zh": "Simplified Chinese", "en": "English"}

_FIRST_PART = 2
_STATEMENTS_CACHED = 10_000
_FENCED = re.compile(r"```\w*\n(?P<inside>.*)\n```", re.DOTALL)
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")
_SPACE = re.compile(r"\s+")
_OPEN_PLACEHOLDER = re.compile(r"⟦\d*$")
_FEWEST_PARAGRAPHS = 4
_KEPT_PARAGRAPHS = 2 / 3


@method("translate", order=30)
class Translate(ConversationMethod):
    """One conversation per trace; the result is a trace of a translated problem, with the original as its parent."""

    synthesis = "translated"
    source = "traces"
    passes_over = ("translated",)  # a run would otherwise process its own output
    uses = ("language",)
    needs: ClassVar[Mapping[str, Need]] = {
        "part": Need("translate-part", frozenset({"language", "statement", "translated_statement", "text"})),
        "statement": Need("translate-statement", frozenset({"language", "text"})),
        "repair": Need("translate-repair", frozenset({"language", "faults"})),
    }

    def __init__(self, settings: TeacherRunSettings, prompts: Prompts) -> None:
        super().__init__(settings, prompts)
        self._language = settings.language
        self._statements: dict[str, str] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def plan(self, item: SourceItem) -> Plan:
        if language_of(item.raw) == self._language:
            return Plan([])
        context = {"statement": item.statement, "translated_statement": item.statement}
        parts = [
            part
            for span in _spans(item.raw)
            for part in cut(mask(item.raw[slice(*span)]).text, PART_CHARS)
            if _has_words(part)
        ]
        requests = [] if item.translated else [self._messages("statement", mask(item.statement).text.strip(), {})]
        requests += [self._messages("part", part.strip(), context) for part in parts]
        # Every call can be made twice. The call of a part includes the translated statement, its repeat also the
        # first answer.
        calls = [Planned(messages, most=2) for messages in requests]
        return Plan(calls, {"teacher": 2 * len(parts) + len(requests)})

    async def converse(self, item: SourceItem, talk: Conversation) -> Draft:
        if language_of(item.raw) == self._language:
            raise GivenUp(f"it is in {LANGUAGES[self._language]} already")
        statement = await self._statement(item, talk)
        context = {"statement": item.statement, "translated_statement": statement}
        pieces, at = [], 0
        for span in _spans(item.raw):
            text = await self._in_parts(item.raw[slice(*span)], talk, context)
            pieces += [item.raw[at : span[0]], text]
            at = span[1]
        raw = "".join([*pieces, item.raw[at:]])
        self._check(item, raw, statement)
        problem = NewProblem(
            statement,
            translation_source(self._language),
            key=item.problem_id,
            answer=item.gold,
            licence=item.licence,
            meta={"translated_from": item.problem_id, "language": self._language},
        )
        meta: dict[str, Any] = {
            "translated_from": item.trace_id, "language": self._language, "call_keys": talk.keys,
        }  # fmt: skip
        return Draft(raw, parse(item.raw).complete, problem=problem, parent_id=item.trace_id, meta=meta)

    async def _statement(self, item: SourceItem, talk: Conversation) -> str:
        """Return the translated problem, from the lab or from the first conversation that needs it."""
        async with self._asking.setdefault(item.problem_id, asyncio.Lock()):
            statement = item.translated or self._statements.get(item.problem_id)
            if not statement:
                statement = await self._whole("statement", mask(item.statement), talk, {})
                self._statements[item.problem_id] = statement
                if len(self._statements) > _STATEMENTS_CACHED:
                    del self._statements[next(iter(self._statements))]
        talk.turn = _FIRST_PART
        return statement

    async def _in_parts(self, text: str, talk: Conversation, context: Mapping[str, str]) -> str:
        masked = mask(text)
        translated = [
            await self._whole("part", Masked(part, masked.kept), talk, context)
            for part in cut(masked.text, PART_CHARS)
        ]  # fmt: skip
        return "".join(translated)

    async def _whole(self, role: str, masked: Masked, talk: Conversation, context: Mapping[str, str]) -> str:
        """Translate a text with one or two calls; the whitespace around it is kept."""
        core = masked.text.strip()
        if not _has_words(core):
            return unmask(masked.text, masked.kept)
        before, _, after = masked.text.partition(core)
        messages = self._messages(role, core, context)
        answer = _unwrapped(await talk.say(messages))
        if faults := _faults(core, answer, masked.kept):
            again = [*messages, {"role": "assistant", "content": answer}, *self._repair(faults)]
            answer = _unwrapped(await talk.say(again))
            if faults := _faults(core, answer, masked.kept):
                raise GivenUp(faults[0])
        return before + unmask(answer.strip(), masked.kept) + after

    def _messages(self, role: str, text: str, context: Mapping[str, str]) -> list[Message]:
        return self.prompts[role].fill({"language": LANGUAGES[self._language], "text": text, **context})

    def _repair(self, faults: list[str]) -> list[Message]:
        values = {"language": LANGUAGES[self._language], "faults": "\n".join(f"- {fault}" for fault in faults)}
        return self.prompts["repair"].fill(values)

    def _check(self, item: SourceItem, raw: str, statement: str) -> None:
        """Check the complete translation.

        Raises:
            GivenUp: it must not be kept.
        """
        before, after = parse(item.raw), parse(raw)
        if (before.format, before.complete) != (after.format, after.complete):
            raise GivenUp("the thought marks did not survive the translation")
        old, new = before.answer_of(item.raw), after.answer_of(raw)
        if old is not None and old.how is How.BOXED and (new is None or new.text != old.text):
            raise GivenUp("the boxed answer differs after the translation")
        words = "\n\n".join([statement, after.thought_of(raw), after.solution_of(raw)])
        if language_of(words) != self._language:
            raise GivenUp(f"the translation is not mainly in {LANGUAGES[self._language]}")
        if mixed_language(words):
            raise GivenUp("the translation mixes languages")


def _spans(raw: str) -> list[Span]:
    """Return the spans of thought and solution, if present."""
    parsed = parse(raw)
    return [span for span in (parsed.thought, parsed.solution) if span is not None]


def _has_words(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def _faults(source: str, answer: str, kept: tuple[str, ...]) -> list[str]:
    """Return the faults of a translated part, for the translator and for people.

    The text before the colon does not depend on the part, so that faults can be counted. The texts are part of the
    repair prompt: another wording would repeat paid calls of paused runs.
    """
    wanted, got = placeholders(source), placeholders(answer)
    faults = [
        f"a mark is missing: ⟦{number}⟧, for {one_line(kept[number], 80)}" for number in wanted if not got[number]
    ]
    faults += [f"a mark is there more than once: ⟦{number}⟧" for number in wanted if got[number] > 1]
    faults += [f"a mark is there that the original does not have: ⟦{number}⟧" for number in got if number not in wanted]
    if has_marks(answer):
        faults.append("a thought mark is there, which the original does not have")
    paragraphs, left = _paragraphs(source), _paragraphs(answer)
    if paragraphs >= _FEWEST_PARAGRAPHS and left < paragraphs * _KEPT_PARAGRAPHS:
        faults.append(f"paragraphs are missing: there are {left} instead of {paragraphs}")
    return faults


def _unwrapped(answer: str) -> str:
    """Return the answer without a code fence around all of it: code of the original is in placeholders."""
    found = _FENCED.fullmatch(answer)
    return found["inside"] if found else answer


def _paragraphs(text: str) -> int:
    return sum(1 for line in text.split("\n") if line.strip())


def cut(text: str, size: int) -> list[str]:
    """Split ``text`` into parts of at most ``size`` characters, never inside a placeholder; joined they are ``text``.

    A part ends at the end of a paragraph if there is one in its second half, else between two moves, else at the end of
    a line or a space, else anywhere.
    """
    parts: list[str] = []
    at = 0
    if len(text) > size:
        paragraphs = [found.end() for found in _PARAGRAPH_END.finditer(text)]
        moves = [move.end for move in segment(text)]
        while len(text) - at > size:
            end = _last(paragraphs, at, size) or _last(moves, at, size) or _anywhere(text, at, size)
            parts.append(text[at:end])
            at = end
    if at < len(text):
        parts.append(text[at:])
    return parts


def _last(ends: list[int], at: int, size: int) -> int | None:
    """Return the last of ``ends`` in the second half of a part that begins at ``at``."""
    index = bisect_right(ends, at + size)
    return ends[index - 1] if index > bisect_left(ends, at + max(1, size // 2)) else None


def _anywhere(text: str, at: int, size: int) -> int:
    end = at + size
    newline = text.rfind("\n", at + size // 2, end)
    if newline >= 0:
        return newline + 1
    spaces = list(_SPACE.finditer(text, at + size // 2, end))
    if spaces:
        return spaces[-1].end()
    broken = _OPEN_PLACEHOLDER.search(text, max(at + 1, end - 12), end)
    return broken.start() if broken else end
