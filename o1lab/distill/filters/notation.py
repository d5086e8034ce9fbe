r"""Tokenise answers in LaTeX or plain text, without typesetting, and recognise units."""

from __future__ import annotations

import re
from typing import NamedTuple

from o1lab.text import HAN
from o1lab.wordlists import word_list


class Token(NamedTuple):
    """A sign, word or command of an answer."""

    kind: str
    text: str
    apart: bool = False  # whether whitespace precedes it


_PLAIN = str.maketrans(
    dict(zip("０１２３４５６７８９．，－＋％（）：；＝−–×·⋅∶＄º", "0123456789.,-+%():;=--***:$°", strict=True))
    | {"、": ",", "÷": "/", "⁄": "/", "²": "^2", "³": "^3", "½": r"\frac12", "¼": r"\frac14", "¾": r"\frac34"}
)
_TOKENS = re.compile(
    r"(?P<space>(?:\s|~|\\[ ,;:!>]|\\q?quad(?![a-zA-Z])"
    r"|\\(?:left|right|displaystyle|textstyle|limits|[bB]igg?[lr]?)(?![a-zA-Z]))+)"
    r"|(?P<dots>\\[lcd]?dots(?![a-zA-Z])|\.{3}|…|\\approx|\\sim(?:eq)?|≈|~)"
    r"|(?P<number>(?:\d{1,3}(?:(?:,|\{,\}|\\,|\\!|,\\!|,\\,|[ ])\d{3})+(?!\d)|\d+)?\.?\d*\\overline\{\d+\}"
    r"|\d{1,3}(?:(?:,|\{,\}|\\,|,\\!\s?)\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?![\d/]|[ ]?\\frac)(?:\.\d+)?"
    r"|\d+(?:\.\d+)?|\.\d+)"
    r"|(?P<degree>\^\s*(?:\\circ|\{\s*\\circ\s*\}|\\degree)|\\degree|\\circ|°|''?|′|″)"
    r"|(?P<percent>\\?%)"
    r"|(?P<currency>\\?\$|£|€|¥|￥|\\pounds|\\euro)"
    r"|(?P<text>\\(?:text(?:bf|rm|it|sf|tt|normal)?|math(?:rm|bf|it|sf|cal)|mbox|hbox|operatorname|bold|boldsymbol)"
    r"\s*\{(?P<inner>[^{}]*)\})"
    r"|(?P<frac>\\[dtc]?frac(?![a-zA-Z]))|(?P<binom>\\[dt]?binom(?![a-zA-Z]))|(?P<sqrt>\\sqrt(?![a-zA-Z])|√)"
    r"|(?P<pi>\\pi(?![a-zA-Z])|π)"
    r"|(?P<function>\\?(?:log|ln|lg|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|exp)(?![a-zA-Z]))"
    r"|(?P<times>\\(?:cdot|times|ast)(?![a-zA-Z])|\*)|(?P<over>/|\\div(?![a-zA-Z]))"
    r"|(?P<sign>[+-])|(?P<several>\\(?:pm|mp)(?![a-zA-Z])|±)|(?P<power>\^)|(?P<sub>_)|(?P<factorial>!)"
    r"|(?P<set>\\[{}]|\\(?:l|r)brace(?![a-zA-Z])|\\(?:emptyset|varnothing|cup|cap|setminus|mathbb)(?![a-zA-Z])|∅|∪)"
    r"|(?P<floor>\\[lr](?:floor|ceil)(?![a-zA-Z]))"
    r"|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<comma>[,;])"
    r"|(?P<relation>=|<|>|\\(?:le|ge|leq|geq|leqslant|geqslant|lt|gt|neq?|in|notin|equiv|mid|pmod|bmod)(?![a-zA-Z])|≤|≥|≠|≡|∈)"
    r"|(?P<endless>\\infty(?![a-zA-Z])|∞)|(?P<matrix>\\(?:begin|end|matrix)(?![a-zA-Z])|&|\\\\)"
    rf"|(?P<word>[a-zA-Z]+(?:[.](?=[a-zA-Z]))?|[{HAN}]+|[\u0370-\u03ff]|\\[a-zA-Z]+)|(?P<other>.)",
    re.DOTALL,
)

# A unit of more words is prose.
_MOST_UNIT_WORDS = 6


def unwrapped(answer: str) -> str:
    """Return the answer without math marks, box and final full stop."""
    text = answer.translate(_PLAIN).strip()
    for left, right in ((r"\boxed{", "}"), (r"\fbox{", "}"), (r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(left) and text.endswith(right) and text.count(left) == 1:
            text = text[len(left) : len(text) - len(right)].strip()
    text = text.replace("$,$", " , ").replace("$$", " ")
    if text.count("$") - text.count(r"\$") > 1 or text.endswith("$"):  # marks of math, not of money
        text = re.sub(r"(?<!\\)\$", " ", text)
    text = text.strip()
    return text if text.endswith("..") else text.rstrip(".。").strip()


def lexed(text: str) -> list[Token]:
    """Return the tokens of a text; whitespace and size commands only set ``apart``."""
    tokens: list[Token] = []
    apart = False
    for found in _TOKENS.finditer(text):
        kind = "text" if found["text"] is not None else str(found.lastgroup)  # every alternative has a name
        if kind == "space":
            apart = True
            continue
        tokens.append(Token(kind, found["inner"] if kind == "text" else found[0], apart))
        apart = False
    return tokens


def is_unit(text: str, *, as_text: bool, apart: bool) -> bool:
    r"""Return whether ``text`` is a unit or a counted thing, as listed in ``assets/words/units.yaml``.

    ``6m`` is six times m, ``6 \mathrm{m}`` is six metres, ``3 apples`` is a number of apples.

    Args:
        text: the words after a number.
        as_text: whether they are in ``\text`` or the like.
        apart: whether whitespace separates them from the number.
    """
    known = word_list("units")
    if known.pattern("chinese").fullmatch(text):
        return True
    words = re.findall(r"[A-Za-zÅΩµμ]+", text)
    if not as_text:
        word = text.rstrip(".")
        if word.lower() in known.words("units"):
            return True
        return apart and len(word) > 3 and word.islower() and word not in known.words("no_unit")
    if not words:
        return re.fullmatch(r"[\s.,;%°$]*", text) is not None
    if len(words) > _MOST_UNIT_WORDS or re.search(r"[=<>+]|\d{3}", text):
        return False
    if any(word.lower() in known.words("no_unit") for word in words):
        return False
    return len(words) > 1 or len(words[0]) > 1 or words[0] in known.words("letters")
