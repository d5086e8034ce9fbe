r"""Protected spans of a text: what a translation must not change, such as mathematics, code and links.

The spans are replaced by placeholders and put back later. Offsets are in code points.

Protected are ``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]``, environments, LaTeX commands with their arguments (also
``\boxed``), code in one or three backticks, links, thought marks, and text that looks like a placeholder. Dollar signs
open mathematics by the rules of pandoc, so amounts of money are text. A mark that is not closed protects nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from o1lab.chains.parse import Span
from o1lab.text import HAN

# A translator sometimes returns ⟦ 7 ⟧ or [[7]] for ⟦7⟧. All of these are read, so all of them are protected.
_PLACEHOLDER = re.compile(r"(?:⟦|〚|\[\[)\s*(\d{1,9})\s*(?:⟧|〛|\]\])")
_IN_LINK = rf"""[^\s<>"'`()\[\]{{}}$，。；：、！？（）《》「」『』“”{HAN}]"""
_OPENING = re.compile(
    rf"""
      (?P<placeholder>{_PLACEHOLDER.pattern})
    | (?P<mark></?(?:think|Thought|Output)>|<\|\w+\|>)
    | (?P<link>https?://(?:{_IN_LINK}|\({_IN_LINK}*+\))++)
    | (?P<fence>```)
    | (?P<code>`)
    | (?P<display>\$\$)
    | (?P<inline>\$)
    | (?P<square>\\\[)
    | (?P<round>\\\()
    | (?P<environment>\\begin\{{)
    | (?P<command>\\[A-Za-z]+\*?)
    | \\.
    """,
    re.VERBOSE | re.DOTALL,
)
_CODE = re.compile(r"[^`\n]++`(?!`)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(?P<which>begin|end)\{(?P<name>[A-Za-z]+\*?)\}")
_PAIRED = {"square": re.compile(r"\\[\[\]]"), "round": re.compile(r"\\[()]")}
_DOLLARS = re.compile(r"\\.|\$+", re.DOTALL)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_FORMULA = re.compile(r"[\\^_=]")
_OPTION = re.compile(r"\[[^\[\]\n]{0,40}\]")


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with placeholders ``⟦0⟧``, ``⟦1⟧``, … for its protected spans, and the spans in ``kept``."""

    text: str
    kept: tuple[str, ...]


def protected_spans(text: str) -> list[Span]:
    """Return [start, end) of every protected span of ``text``, in order, without overlaps. Takes linear time."""
    braces, environments = _matching_braces(text), _matching_environments(text)
    spans: list[Span] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        kind, start = opening.lastgroup, opening.start()
        end: int | None
        if kind in ("placeholder", "mark"):
            end = opening.end()
        elif kind == "link":
            end = start + len(opening.group().rstrip(".,;:!?*_"))
        elif kind == "fence":
            end = _after(text, "```", opening.end())
        elif kind == "code":
            end = _inline_code(text, opening.end())
        elif kind in ("display", "inline"):
            end = _dollars(text, start, kind)
        elif kind in ("square", "round"):
            end = _paired(text, opening.end(), kind)
        elif kind == "environment":
            end = environments.get(start) or _arguments(text, opening.end() - 1, braces)
        elif kind == "command":
            end = _arguments(text, opening.end(), braces)
        else:
            end = None
        if end is not None:
            spans.append((start, end))
        at = end or opening.end()
    return spans


def mask(text: str) -> Masked:
    """Return ``text`` with a placeholder for each protected span; :func:`unmask` is the inverse."""
    pieces: list[str] = []
    kept: list[str] = []
    at = 0
    for start, end in protected_spans(text):
        pieces += [text[at:start], f"⟦{len(kept)}⟧"]
        kept.append(text[start:end])
        at = end
    return Masked("".join([*pieces, text[at:]]), tuple(kept))


def unmask(text: str, kept: tuple[str, ...]) -> str:
    """Return ``text`` with the spans put back; placeholders with an unknown number are kept."""

    def span(found: re.Match[str]) -> str:
        number = int(found[1])
        return kept[number] if number < len(kept) else found[0]

    return _PLACEHOLDER.sub(span, text)


def placeholders(text: str) -> Counter[int]:
    """Return the count of each placeholder in ``text``."""
    return Counter(int(found[1]) for found in _PLACEHOLDER.finditer(text))


def without_protected(text: str) -> str:
    """Return ``text`` with a space for each protected span."""
    pieces, at = [], 0
    for start, end in protected_spans(text):
        pieces.append(text[at:start])
        at = end
    return " ".join([*pieces, text[at:]])


def _after(text: str, mark: str, start: int) -> int | None:
    found = text.find(mark, start)
    return None if found < 0 else found + len(mark)


def _inline_code(text: str, start: int) -> int | None:
    found = _CODE.match(text, start)
    return found.end() if found else None


def _dollars(text: str, start: int, kind: str) -> int | None:
    mark = "$$" if kind == "display" else "$"
    begin = start + len(mark)
    closing = next((found for found in _DOLLARS.finditer(text, begin) if found.group()[0] == "$"), None)
    if closing is None:
        return None
    inside, end = text[begin : closing.start()], closing.start() + len(mark)
    if not inside.strip() or _BLANK_LINE.search(inside) or not closing.group().startswith(mark):
        return None
    if kind == "display":
        return end
    if text[end : end + 1].isdigit():
        return None
    spaced = (inside[0].isspace(), inside[-1].isspace())
    return end if spaced == (False, False) or (all(spaced) and _FORMULA.search(inside)) else None


def _paired(text: str, start: int, kind: str) -> int | None:
    found = _PAIRED[kind].search(text, start)
    if found is None or found.group()[1] in "[(" or _BLANK_LINE.search(text, start, found.start()):
        return None
    return found.end()


def _arguments(text: str, at: int, braces: dict[int, int]) -> int:
    """Return the end of the arguments, also optional ones, of a command that ends at ``at``."""
    while True:
        if (closing := braces.get(at)) is not None:
            at = closing + 1
        elif (option := _OPTION.match(text, at)) is not None and option.end() in braces:
            at = option.end()
        else:
            return at


def _matching_braces(text: str) -> dict[int, int]:
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for found in _BRACE.finditer(text):
        if found.group() == "{":
            opened.append(found.start())
        elif found.group() == "}" and opened:
            pairs[opened.pop()] = found.start()
    return pairs


def _matching_environments(text: str) -> dict[int, int]:
    """Return the end of each closed environment by its start."""
    pairs: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    waiting: Counter[str] = Counter()
    for found in _ENVIRONMENT.finditer(text):
        name = found["name"]
        if found["which"] == "begin":
            opened.append((name, found.start()))
            waiting[name] += 1
        elif waiting[name]:
            while opened:  # unclosed environments inside belong to this one
                inner, start = opened.pop()
                waiting[inner] -= 1
                if inner == name:
                    pairs[start] = found.end()
                    break
    return pairs
