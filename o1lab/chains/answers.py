r"""Extract the final answer of a response: a tagged or boxed answer, else a stated one, else the last value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from o1lab.text import lowered


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


@dataclass(frozen=True)
class _Box:
    """Where a box and its content are in a text."""

    start: int
    inner: int
    inner_end: int
    end: int


_BOX_MARKS = re.compile(
    r"\\(?:boxed|fbox)\s*+(?P<open>\{)|\\(?:boxed|fbox)[ ]++(?P<bare>[^\s{}$\\]++)|\\.|[{}]", re.DOTALL
)
_TAG = re.compile("</?answer>", re.IGNORECASE)
_NAME = r"[A-Za-z](?:_\{?\w\}?)?\s*="
_JOINT = re.compile(
    rf"(?:[\s$*.]|\\[()\[\] ,;]|\\q?quad|\(?[a-z0-9]\)"
    rf"|(?P<joins>[,;，；、&和或与及]|\b(?:and|or)\b|\\text\s*\{{\s*,?\s*(?:and|or)\s*\}}|{_NAME}))*+"
)
_LONGEST_JOINT = 60
_MOST_BOXES = 20
_DISCARDED = re.compile(
    r"[\s$*?.!,)\\-]*+(?:no\b|nope|bad\b|wrong|incorrect|not\s+right|that(?:'s| is)\s+(?:wrong|not)|fails?\b"
    r"|does(?:n't| not)\s|but\s+(?:that|this)\s+(?:is|can)|impossible|invalid|不对|错)",
    re.IGNORECASE,
)

_IS = r"(?:[=:：]|\b(?:is|are|was|equals?|(?:would|should|must|will|can\s+only)\s+be|comes?\s+(?:out\s+)?to|becomes)\b)"
_STATED = re.compile(
    r"(?:\banswers?|\b(?:correct|right|best)\s+(?:option|choice))(?:\s+(?:to|for|of|in)\s[^\n.:：=*]{1,80}?)?[\s*_]*+"
    rf"{_IS}(?:[\s*_]*+[:：])?"
    r"|\banswer,(?=\s*[-$]?\d[^,\n]{0,40},\s+(?:is|because|since)\b)"
    r"|(?:^|\n)[\s#*_]*+(?:the\s+)?(?:final\s+|correct\s+)?answer[\s*_]*+(?=\n)"
    r"|(?:^|\n)####(?=\s*[-$]*\d[\d,.]*\s*(?:\n|$))"
    r"|答案(?:应该?)?(?:是|为|选择?|等于|即)?\s*+[:：]?"
    r"|(?:故|应|因此|所以|正确)选(?:项|择)?(?:是|为)?\s*+[:：]?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"[\s*_:：]*\n\s*(?:[-+•]|\*(?!\*)|\d+[.)])\s")  # a list of answers to several questions
_MOST_STATED = 50
_LONGEST_STATED = 300
_SUPPOSED = re.compile(r"\b(?:if|suppose|assum\w+|whether|unless|when|how|guess)\b[^.\n,;]{0,40}$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<![\d\s])(?<!\b[A-J])[.!?。！？](?=[\s*\"')\]]|$)|(?<=\d)[.。!?！？](?=[\s*\"')]|$)")
_CLAUSE_END = re.compile(
    r",\s*(?:since|because|as|which|so|not|that|where|and\s+(?:we|it|this|the|so|that|there)|but|for|given|from|with|i\.e|namely"
    r"|hence|thus|after|obtained|rounded|making|giving|where|when|if|by|is|or\s+(?:about|approximately|equivalently))\b"
    r"|\s(?:because|since|which|so\s+that|as\s+(?:we|there|it|the|shown|required|desired))\s|\s-\s(?=\D)|\s*(?:—|\s–|\s--)\s*|(?<=\d):\s+(?=[^\n]*[a-z]{3})"
    r"|;\s*(?=[a-z]{3})|(?<=[a-z])\s(?:in|from|with|after|out\s+of)\s(?=[^$\\]*\d)"
    r"|\s\((?!mod\b|base\b)[^()$\\]*[^\W\d_]{3,}[^()$\\]*\)\s*$|\s*[，；](?!\s*[\d\\$(（{A-J\-])|；|\s#",
    re.IGNORECASE,
)
_ADVERB = re.compile(
    r"(?:(?:indeed|therefore|thus|simply|just|exactly|approximately|about|equal\s+to|equals|given\s+by|clearly|then|still|also"
    r"|actually|of\s+course|in\s+fact|roughly|now|hence|only|option|choice|again|选项?)\b[\s:,]*)+",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"(?:we|i|it|you|he|she|they|there|obtained|found|correct|incorrect|right|wrong|unknown|unclear|clear|as\s+follows|below|above"
    r"|known|not)\b(?!\s*$)|(?:correct|incorrect|right|wrong|unclear|unknown|obvious|clear)\b",
    re.IGNORECASE,
)
_BUT = re.compile(r"not\s+.{1,40}?\s+but\s+(?:rather\s+)?", re.IGNORECASE)
_CLAUSE_VALUE = re.compile(r"(?:the|a|an|its|their|his|her)\s.*\b(?:is|are|equals)\s+(?P<value>.*\d.*)$", re.IGNORECASE)
_MATH = re.compile(r"\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)

_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-−]?\d[\d,]*+(?:\.\d++)?(?:/\d++)?%?")
_CONCLUDES = re.compile(
    r"[\s*#>-]*+(?:(?:and|but)\s+)?(?:therefore|so|thus|hence|consequently|in\s+(?:conclusion|total|all|summary)|altogether|finally|overall)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|gets?|equals?|be|takes?|costs?|needs?|makes?|earns?|pays?|sells?)\b",
    re.IGNORECASE,
)
_LONGEST_SENTENCE = 400


def extract_answer(solution: str, thought: str = "") -> Answer | None:
    """Return the final answer of a response, or None if it has none.

    Any answer in the solution takes precedence over one in the thought, of which only a boxed or stated one counts that
    the thought does not discard (a truncated response has no solution). Takes linear time for every text.
    """
    found = _given(solution) or _last_value(solution)
    if found is None and thought:
        found = _given(thought, thinking=True)
    return found


def stated_at(text: str) -> int | None:
    """Return where a text that thinks aloud begins to state its final answer, or boxes it; None if it does not."""
    boxes = _boxes(text, thinking=True)
    heads = [
        head.start() + len(head.group()) - len(head.group().lstrip())
        for head in _last_heads(text)
        if text[head.end() :].strip()
    ]
    return max([*(box.start for box in boxes[-1:]), *heads[-1:]], default=None)


def after_box(text: str) -> str | None:
    """Return the text after the content of the last box, from its closing brace on; None without a box."""
    boxes = _boxes(text)
    return text[boxes[-1].inner_end :] if boxes else None


def _given(text: str, *, thinking: bool = False) -> Answer | None:
    """Return the answer that a text marks as one: with tags, in a box, or in words."""
    if not text:
        return None
    if (tagged := _tagged(text)) is not None:
        return _boxed(tagged) or Answer(_unwrap(tagged) or tagged, How.STATED)
    return _boxed(text, thinking=thinking) or _stated(text)


def _tagged(text: str) -> str | None:
    """Return the content of the last ``<answer>``."""
    tags = list(_TAG.finditer(text))
    for start, end in zip(tags[-2::-1], tags[:0:-1], strict=True):
        inner = text[start.end() : end.start()].strip()
        if start.group()[1] != "/" and end.group()[1] == "/":
            return inner if inner and len(inner) <= 10 * _LONGEST_STATED else None
    return None


def _boxed(text: str, *, thinking: bool = False) -> Answer | None:
    """Return the content of the last box (of nested ones, the inner), or of several that together answer."""
    boxes = _boxes(text, thinking=thinking)
    if not boxes:
        return None
    together = [text[boxes[-1].inner : boxes[-1].inner_end].strip()]
    for box, after in zip(boxes[-2:-_MOST_BOXES:-1], boxes[:-_MOST_BOXES:-1], strict=False):
        between = text[box.end : after.start] if after.start - box.end <= _LONGEST_JOINT else "none"
        joint = _JOINT.fullmatch(between)
        if joint is None or not joint["joins"]:
            break
        together.insert(0, text[box.inner : box.inner_end].strip())
    return Answer(", ".join(together) if len(set(together)) > 1 else together[-1], How.BOXED)


def _boxes(text: str, *, thinking: bool = False) -> list[_Box]:
    """Return the closed, non-empty boxes that contain no other box, in order; if ``thinking``, none discarded last."""
    first = min((at for mark in ("\\boxed", "\\fbox") if (at := text.find(mark)) >= 0), default=-1)
    if first < 0:
        return []
    found: list[_Box] = []
    open_braces: list[tuple[int, int] | None] = []  # start of the box and of its content, or None for any other brace
    for match in _BOX_MARKS.finditer(text, first):
        if match["open"]:
            open_braces.append((match.start(), match.end()))
        elif match["bare"]:
            end = match.start("bare") + len(match["bare"].rstrip(".,;:"))
            found.append(_Box(match.start(), match.start("bare"), end, end))
        elif match.group() == "{":
            open_braces.append(None)
        elif match.group() == "}" and open_braces:
            opened = open_braces.pop()
            if (
                opened is not None
                and (not found or opened[1] > found[-1].inner)
                and text[opened[1] : match.start()].strip()
            ):
                found.append(_Box(*opened, match.start(), match.end()))
    while thinking and found and _DISCARDED.match(text, found[-1].end):
        found.pop()
    return found


# Each match of _STATED contains one of these, or starts with the last.
_ANCHORS = ("answer", "option", "choice", "答案", "选", "\n####")
_BEFORE_CHOICE = {
    "option": ("correct", "right", "best"),
    "choice": ("correct", "right", "best"),
    "选": ("故", "应", "因此", "所以", "正确"),
}


def _last_heads(text: str) -> list[re.Match[str]]:
    """Return the last matches of ``_STATED``, without those that only suppose an answer."""
    return [
        head for head in _heads(text)[-_MOST_STATED:]
        if not _SUPPOSED.search(text[max(0, head.start() - 60) : head.start()])
    ]  # fmt: skip


def _heads(text: str) -> list[re.Match[str]]:
    """Return the matches of ``_STATED`` as ``finditer`` does, ten times as fast: only where one may start."""
    if "ſ" in text:  # the pattern takes it for an s
        return list(_STATED.finditer(text))
    low = lowered(text)
    starts = {0} if low.startswith("####") else set()
    for anchor in _ANCHORS:
        at = low.find(anchor)
        while at >= 0:
            if anchor in _BEFORE_CHOICE:
                end = at if anchor == "选" else _skipped(low, at, str.isspace)
                starts.update(end - len(word) for word in _BEFORE_CHOICE[anchor] if low.endswith(word, 0, end))
            else:
                starts.add(at)
            if anchor == "answer" and (line := _line_of(low, at)) is not None:
                starts.add(line)
            at = low.find(anchor, at + 1)
    found: list[re.Match[str]] = []
    for start in sorted(starts):
        match = _STATED.match(text, start) if not found or start >= found[-1].end() else None
        if match is not None:
            found.append(match)
    return found


def _line_of(low: str, at: int) -> int | None:
    """Return where the line, or the first of the blank lines before it, starts if "answer" is all that it says."""
    for words in (("final", "correct"), ("the",)):
        end = _skipped(low, at, str.isspace)
        at = next((end - len(word) for word in words if end < at and low.endswith(word, 0, end)), at)
    start = _skipped(low, at, lambda one: one.isspace() or one in "#*_")
    first = low.find("\n", start, at)
    return 0 if not start else first if first >= 0 else None


def _skipped(text: str, at: int, skip: Callable[[str], bool]) -> int:
    while at and skip(text[at - 1]):
        at -= 1
    return at


def _stated(text: str) -> Answer | None:
    for head in reversed(_last_heads(text)):
        words = text[head.end() : head.end() + _LONGEST_STATED]
        if _BULLET.match(words):
            continue
        words = words.lstrip(" \t\r\n*_:：>#")
        for left, right in (("\\[", "\\]"), ("$$", "$$")):
            if words.startswith(left) and right in words[2:]:
                words = words[2:].partition(right)[0].strip().replace("\n", " ")
        if cleaned := _unwrap(words.partition("\n")[0]):
            return Answer(cleaned, How.STATED)
    return None


def _unwrap(words: str) -> str:
    """Return the answer in a sentence that states it, without emphasis, math marks, reasons and following sentences."""
    words = _outside_math(words, _SENTENCE_END)
    words = _outside_math(words, _CLAUSE_END)
    words = words.replace("**", "").replace("__", "").replace("`", "").strip().strip("*_").strip()
    words = _BUT.sub("", words, count=1) if _BUT.match(words) else words
    if (adverb := _ADVERB.match(words)) is not None and adverb.end() < len(words):
        words = words[adverb.end() :]
    if (clause := _CLAUSE_VALUE.match(words)) is not None and not words.startswith("$"):
        words = clause["value"]
    elif _NO_ANSWER.match(words):
        return ""
    words = words.strip()
    if (math := _MATH.fullmatch(words.rstrip(" .,;:。，；"))) is not None:
        words = next(group for group in math.groups() if group)
    return words.strip().strip("*_").rstrip(" .,;:。，；").strip()


def _outside_math(words: str, end: re.Pattern[str]) -> str:
    """Return ``words`` up to the first match of ``end`` that is not within math marks."""
    spans = [match.span() for match in _MATH.finditer(words)]
    for match in end.finditer(words):
        if match.start() and not any(start < match.start() < stop - 1 for start, stop in spans):
            return words[: match.start()]
    return words


def _last_value(text: str) -> Answer | None:
    """Return the last value that a text names: of its last sentence with a number, what it concludes or computes."""
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    last = numbers[-1]
    before = text[max(0, last.start() - _LONGEST_SENTENCE) : last.start()]
    start = max((match.end() for match in re.finditer(r"[.!?。！？](?=\s)|[。！？\n]", before)), default=0)
    start += max(0, last.start() - _LONGEST_SENTENCE)
    line_end = text.find("\n", last.end())
    sentence = text[start : line_end if line_end >= 0 else len(text)][: 2 * _LONGEST_SENTENCE]
    for span in _maths(sentence):
        if span.start() <= last.start() - start < span.end():
            inner = next(group for group in span.groups() if group)
            return Answer(re.split(r"=|\\approx|≈", inner)[-1].strip() or inner.strip(), How.LAST_NUMBER)
    number = last.group()
    if _CONCLUDES.match(sentence) and "=" not in sentence and (verb := _VERB.search(sentence)) is not None:
        first = _NUMBER.search(sentence, verb.end())
        number = first.group() if first is not None else number
    return Answer(number.rstrip(","), How.LAST_NUMBER)


def _maths(sentence: str) -> Iterator[re.Match[str]]:
    """Yield the formulas of a sentence; text between two amounts of dollars is none."""
    for span in _MATH.finditer(sentence):
        inner = next(group for group in span.groups() if group)
        if not re.search(r"(?<![\\A-Za-z{])[A-Za-z]{3,}\s", inner):
            yield span
