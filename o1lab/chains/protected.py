r"""What a translation must not touch: mathematics, code, links, marks of thought, and answers in boxes.

Such spans are found, taken out for placeholders, and put back. Offsets are code points.

Found are ``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]``, environments, commands of LaTeX with their arguments (``\boxed``
among them), code in one or three backticks, links, thought marks, and whatever looks like a placeholder already. A
dollar sign opens mathematics where pandoc says so: amounts of money are text. A mark that never closes protects
nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from o1lab.chains.parse import Span

# A translator sometimes gives ⟦ 7 ⟧ or [[7]] back for ⟦7⟧; all of them are read, and so all of them are protected.
_PLACEHOLDER = re.compile(r"(?:⟦|〚|\[\[)\s*(\d{1,9})\s*(?:⟧|〛|\]\])")
_IN_LINK = r"""[^\s<>"'`()\[\]{}$，。；：、！？（）《》「」『』“”\u3400-\u9fff]"""
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
    """A text with placeholders ``⟦0⟧``, ``⟦1⟧``, … in the place of its protected spans, and those spans."""

    text: str
    kept: tuple[str, ...]


def protected_spans(text: str) -> list[Span]:
    """[start, end) of every protected span of ``text``, in order, without overlaps. Linear in its length."""
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
    """``text`` with a placeholder for each protected span; :func:`unmask` is its inverse."""
    pieces: list[str] = []
    kept: list[str] = []
    at = 0
    for start, end in protected_spans(text):
        pieces += [text[at:start], f"⟦{len(kept)}⟧"]
        kept.append(text[start:end])
        at = end
    return Masked("".join([*pieces, text[at:]]), tuple(kept))


def unmask(text: str, kept: tuple[str, ...]) -> str:
    """``text`` with its spans put back; a placeholder of no span stays."""

    def span(found: re.Match[str]) -> str:
        number = int(found[1])
        return kept[number] if number < len(kept) else found[0]

    return _PLACEHOLDER.sub(span, text)


def placeholders(text: str) -> Counter[int]:
    """Which placeholders ``text`` has, and how often."""
    return Counter(int(found[1]) for found in _PLACEHOLDER.finditer(text))


def without_protected(text: str) -> str:
    """The words of ``text`` alone: each protected span is a space."""
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
    """The end of a command that ends at ``at`` with its arguments, optional ones included."""
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
    """Where each environment that closes begins, and its end."""
    pairs: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    waiting: Counter[str] = Counter()
    for found in _ENVIRONMENT.finditer(text):
        name = found["name"]
        if found["which"] == "begin":
            opened.append((name, found.start()))
            waiting[name] += 1
        elif waiting[name]:
            while opened:  # those inside that never closed are part of this one
                inner, start = opened.pop()
                waiting[inner] -= 1
                if inner == name:
                    pairs[start] = found.end()
                    break
    return pairs
