"""The beginning of an answer that a model continues: where it is cut, who wrote which part, its think marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate

from o1lab.chains import parse
from o1lab.chains.marks import PLAIN, UNMARKED, first_of, folded, table
from store.branches import Tokens
from store.conversations import Message, Span

_COMPARED = 1500
"""The longest change, in characters, in which unchanged text is found to the character."""
_LETTERS, _WORDS, _LINES = re.compile(r".|\n"), re.compile(r"\s+|\S+"), re.compile(r".*\n|.+")
_KEPT = 4
"""Fewest characters of unchanged text inside a change that stay their writer's."""
_COMMAND = re.compile(r"\\(?:(?:begin|end)\{[A-Za-z]*\*?\}?|[A-Za-z]+|.)", re.DOTALL)
_JOINER = "\u200d"
STUDENT_MARKS = ("<think>", "</think>")


@dataclass(frozen=True)
class Prefix:
    """The beginning of an answer.

    Attributes:
        text: the text with its think marks.
        spans: who wrote which part of it.
        tokens: the tokens of exactly this text, if they are known.
    """

    text: str
    spans: tuple[Span, ...] = ()
    tokens: Tokens | None = None

    @property
    def writers(self) -> set[str]:
        """The models and people that wrote it."""
        return {span.name for span in self.spans}

    def tokens_for(self, model: str) -> tuple[int, ...] | None:
        """Return the tokens of the text as ``model`` wrote them; None if it did not, or if they are not known."""
        return self.tokens.ids if self.tokens is not None and self.tokens.model == model else None


def of_answer(message: Message, model: str) -> Prefix:
    """Return the whole text of an answer as a beginning, to cut and change; its writer is ``model`` if none is stored.

    Answers of earlier versions have no raw text: it is put together from thought and answer.
    """
    text = message.raw if message.raw is not None else parse.join(message.thought, message.content)
    return Prefix(text, message.spans or written_by(text, model))


def written_by(text: str, model: str, *, start: int = 0) -> tuple[Span, ...]:
    """Return the span of a text from ``start`` on that one model wrote."""
    return (Span(start, len(text), "model", model),) if len(text) > start else ()


def by_others(spans: Sequence[Span], model: str) -> bool:
    """Return whether anyone but ``model`` wrote a part of a text; not if its writers are not known."""
    return any((one.kind, one.name) != ("model", model) for one in spans)


def cut(prefix: Prefix, at: int) -> Prefix:
    """Return the text before ``at``, with those of its tokens that end there."""
    tokens = prefix.tokens
    ids = tokens.up_to(at) if tokens is not None else None
    kept = replace(tokens, ids=ids, ends=tokens.ends[: len(ids)]) if tokens is not None and ids else None
    return Prefix(prefix.text[:at], clipped(prefix.spans, at), kept)


def clipped(spans: Sequence[Span], end: int) -> tuple[Span, ...]:
    return tuple(replace(one, end=min(one.end, end)) for one in spans if one.start < end)


def snapped(text: str, at: int) -> tuple[int, str]:
    """Move a cut out of a character or a LaTeX command, to its start.

    Returns:
        The place of the cut, and what it was inside; an empty text if it stays.
    """
    at = max(0, min(at, len(text)))
    line = text.rfind("\n", 0, at) + 1
    for found in _COMMAND.finditer(text, line):
        if found.start() >= at:
            break
        if at < found.end():
            return found.start(), f"the LaTeX command {found[0]}"
    start = at
    while 0 < start < len(text) and (_continues(text[start]) or text[start - 1] == _JOINER):
        start -= 1
    return start, "a character of several code points" if start < at else ""


def _continues(character: str) -> bool:
    """Return whether a code point belongs to the character before it."""
    if unicodedata.combining(character) or character == _JOINER:
        return True
    return "\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff"


def changed(original: Prefix, text: str, person: str) -> Prefix:
    """Return ``text`` as a beginning that a person made of ``original``: what is new in it is the person's.

    Args:
        original: the text before the change, from which the person may have cut the end.
        text: the text after it.
        person: who changed it.
    """
    if original.text.startswith(text):
        return cut(original, len(text))
    spans: list[Span] = []
    at = 0
    for start, length, source in _kept(original.text, text):
        if start > at:
            spans.append(Span(at, start, "person", person))
        for one in original.spans:
            low, high = max(one.start, source), min(one.end, source + length)
            if low < high:
                spans.append(Span(start + low - source, start + high - source, one.kind, one.name))
        at = start + length
    if at < len(text):
        spans.append(Span(at, len(text), "person", person))
    return Prefix(text, merged(spans))


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join spans of one writer that touch."""
    found: list[Span] = []
    for one in spans:
        if found and found[-1].end == one.start and (found[-1].kind, found[-1].name) == (one.kind, one.name):
            found[-1] = replace(found[-1], end=one.end)
        else:
            found.append(one)
    return tuple(found)


def _kept(old: str, new: str) -> Iterator[tuple[int, int, int]]:
    """Yield (start in ``new``, length, start in ``old``) of the parts of ``new`` that stand in ``old``, in order."""
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    tail = tail if tail >= _KEPT else 0  # a few equal characters at the ends are chance: the end may be cut away
    yield 0, head, 0
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if after:
        for start, length, source in _matching(before[: len(after) + _COMPARED], after):
            yield head + start, length, head + source
    if tail:
        yield len(new) - tail, tail, len(old) - tail


def _matching(before: str, after: str) -> Iterator[tuple[int, int, int]]:
    """Yield the same of a changed part: compared by characters, or by words or lines where it is long."""
    longest = len(after)
    units = _LETTERS if longest <= _COMPARED else _WORDS if longest <= 10 * _COMPARED else _LINES
    old, new = (units.findall(text) for text in (before, after))
    starts = [list(accumulate(map(len, parts), initial=0)) for parts in (old, new)]
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        source, start = starts[0][block.a], starts[1][block.b]
        length = starts[1][block.b + block.size] - start
        if length >= _KEPT:
            yield start, length, source


def in_marks(prefix: Prefix, opening: str, closing: str) -> Prefix:
    """Return a beginning with the think marks of the model that continues it, in place of another model's.

    Marks around the solution are left out: the models that continue texts have none. The text between is unchanged.

    Args:
        prefix: the text, perhaps cut off inside the thought.
        opening: the mark that opens a thought of the model.
        closing: the mark that ends it.
    """
    parsed = parse.parse(prefix.text)
    marks = next((one for one in table() if one.name == parsed.format), None)
    if parsed.format in (PLAIN, UNMARKED) or marks is None or opening.casefold() in marks.opens:
        return prefix
    text, low = prefix.text, folded(prefix.text)
    places: list[tuple[int, int, str]] = []
    if (opened := first_of(low, marks.opens)) is not None:
        places.append((*opened, opening))
    thought_from = opened[1] if opened else 0
    ended = first_of(low, marks.closes, thought_from)
    if ended is not None:
        places.append((*ended, closing))
        begun = first_of(low, marks.solution_opens, ended[1]) if marks.solution_opens else None
        if begun is not None:
            places.append((begun[0], begun[1] + text.startswith("\n", begun[1]), ""))
        done = first_of(low, marks.solution_closes, ended[1]) if marks.solution_closes else None
        places += [(*done, "")] if done else []
    parts: list[str] = []
    spans: list[Span] = []
    at = length = 0
    for start, end, mark in [*sorted(places), (len(text), len(text), "")]:
        for one in prefix.spans:
            first, last = max(one.start, at), min(one.end, start)
            if first < last:
                spans.append(replace(one, start=length + first - at, end=length + last - at))
        length += start - at
        if mark:
            writer = next((one for one in prefix.spans if one.start <= start < one.end), None)
            spans += [replace(writer, start=length, end=length + len(mark))] if writer else []
            length += len(mark)
        parts += [text[at:start], mark]
        at = end
    return Prefix("".join(parts), merged(spans))


def described(spans: Sequence[Span]) -> str:
    """Say who wrote which part of an answer, such as ``solver 0–120, anna 120–131, solver 131–402 (characters)``."""
    parts = ", ".join(f"{one.name} {one.start:,}–{one.end:,}" for one in spans)
    return f"{parts} (characters)" if parts else ""
