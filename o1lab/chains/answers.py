r"""Extract the final answer of a response: the last ``\boxed``, else a stated answer, else the last number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class How(StrEnum):
    """How an answer was found, the most reliable way first."""

    BOXED = "boxed"
    STATED = "stated"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True)
class Answer:
    """A final answer as written, and how it was found."""

    text: str
    how: How


_BOX_MARKS = re.compile(
    r"\\(?:boxed|fbox)\s*+(?P<open>\{)|\\(?:boxed|fbox)[ ]++(?P<bare>[^\s{}$\\]++)|\\.|[{}]", re.DOTALL
)
_STATED = re.compile(
    r"(?:final\s+answer|answer)(?:\s+is|\s*[:：]|\s*\*\*\s*[:：]|\s*[:：]\s*\*\*)+\s*+(?P<en>[^\n]++)"
    r"|(?:最终)?答案(?:是|为|应为)?\s*+[:：]?\s*+(?P<zh>[^\n。；]++)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*+(?:\.\d++)?(?:/\d++)?%?")
_LONGEST_STATED = 300


def extract_answer(solution: str, thought: str = "") -> Answer | None:
    """Return the final answer of a response, or None if it has none.

    A boxed or stated answer in the solution takes precedence over one in the thought (a truncated response has no
    solution); a last number is taken from the solution only. Takes linear time for every text.
    """
    for text in (solution, thought):
        if text and (found := _boxed(text) or _stated(text)):
            return found
    numbers = _NUMBER.findall(solution)
    return Answer(numbers[-1].rstrip(","), How.LAST_NUMBER) if numbers else None


def after_box(text: str) -> str | None:
    """Return the text after the content of the last box, from its closing brace on; None without a box."""
    span = _last_box(text)
    return text[span[1] :] if span else None


def _boxed(text: str) -> Answer | None:
    """Return the content of the last closed, non-empty box; of nested boxes, the inner one."""
    span = _last_box(text)
    return Answer(text[slice(*span)].strip(), How.BOXED) if span else None


def _last_box(text: str) -> tuple[int, int] | None:
    """Return start and end of the content of the last closed, non-empty box."""
    first = min((at for mark in ("\\boxed", "\\fbox") if (at := text.find(mark)) >= 0), default=-1)
    if first < 0:
        return None
    last: tuple[int, int] | None = None
    open_braces: list[int] = []  # start of a box's content, or -1 for any other brace
    for match in _BOX_MARKS.finditer(text, first):
        if match["open"]:
            open_braces.append(match.end())
        elif match["bare"]:
            start = match.start("bare")
            last = max(last or (-1, -1), (start, start + len(match["bare"].rstrip(".,;:"))))
        elif match.group() == "{":
            open_braces.append(-1)
        elif match.group() == "}" and open_braces:
            start = open_braces.pop()
            if start > (last[0] if last else -1) and text[start : match.start()].strip():
                last = (start, match.start())
    return last


def _stated(text: str) -> Answer | None:
    for match in reversed(list(_STATED.finditer(text))):
        words = (match["en"] or match["zh"])[:_LONGEST_STATED]
        if cleaned := _unwrap(words):
            return Answer(cleaned, How.STATED)
    return None


def _unwrap(words: str) -> str:
    """Return the answer in a sentence that states it, without emphasis, math marks and text after the full stop."""
    words = re.split(r"(?<=[^\d\s])[.。](?:\s|$)|(?<=\d)[.。](?:\s|$)", words, maxsplit=1)[0]
    words = words.strip().strip("*_").strip()
    if (math := re.match(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", words)) is not None:
        words = next(group for group in math.groups() if group)
    return words.strip().strip("*_").rstrip(" .,;:。，；").strip()
