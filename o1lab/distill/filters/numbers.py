r"""Parse an answer to decide whether it is one exact real number, with or without a unit.

Integers, decimals, fractions, percentages, roots, multiples of pi and expressions of such constants are numbers;
tuples, intervals, sets, equations, free variables, words, option letters and approximations are not. The grammar covers
LaTeX and plain text. Only floating-point values are computed, to detect a division by zero or the root of a negative
number, so ``10^(10^10)`` and ``99999999!`` cost nothing. Takes linear time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from o1lab.distill.filters.notation import Token, is_unit, lexed, unwrapped
from o1lab.distill.filters.rule import quoted

LONGEST = 2000  # characters of an expression; a number of digits may have any length
_DEEPEST = 40


class Reading(NamedTuple):
    """What an answer is (one number, several, or something else), and why."""

    kind: Literal["number", "several", "other"]
    why: str


_NUMBER = Reading("number", "is a number")


class _NoNumberError(Exception):
    """The text is not a number; the message completes "the answer ..." in a sentence."""


_DIGITS = re.compile(r"\s*[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\s*")
_JOINERS = re.compile(r"\s*(?:,?\s*(?:and|or)|&|[和或及与])\s*", re.IGNORECASE)
_OPTION = re.compile(
    r"\s*(?:\\(?:text(?:bf|rm|it)?|math(?:rm|bf)|bold)\s*\{?\s*)?\(?\s*[A-Ha-h]\s*\)?\s*\}?\s*[.):]?\s*\)?\s*\}?"
)
_OPTION_WITH_VALUE = re.compile(
    r"\s*(?:\\(?:text(?:bf|rm|it)?|math(?:rm|bf)|bold)\s*\{\s*)?\(?\s*[A-H]\s*\)\s*(?:\\[ ,;:~]|\})?.+", re.DOTALL
)
_GROUPED = re.compile(r"\d,\d")


def read_answer(answer: str) -> Reading:
    """Classify an answer; the reason completes "the answer ...".

    Several numbers are separated by commas, semicolons, "and" or "or" at the top level, or are ``a ± b``.
    """
    if len(answer) > LONGEST:
        return _NUMBER if _DIGITS.fullmatch(answer) else Reading("other", "is too long to be one")
    text = unwrapped(answer)
    if not text:
        return Reading("other", "is empty")
    if _OPTION.fullmatch(text) or _OPTION_WITH_VALUE.fullmatch(text):
        return Reading("other", f"is an option letter: {quoted(answer)}")
    try:
        parts = _parts(lexed(text))
        several = [_read_part(part) for part in parts]
    except _NoNumberError as no:
        return Reading("other", f"{no}: {quoted(answer)}")
    if len(parts) > 1 or any(several):
        return Reading("several", f"is several numbers: {quoted(answer)}")
    return _NUMBER


_REASONS = {
    "relation": "is an equation or inequality",
    "set": "is a set",
    "endless": "is infinite",
    "matrix": "is a matrix or table",
    "dots": "is not exactly written",
}


def _parts(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split the tokens at top-level commas and joining words.

    Raises:
        _NoNumberError: a token cannot be part of a number.
    """
    if _in_one_bracket(tokens) and any(token.kind == "number" and _GROUPED.search(token.text) for token in tokens):
        raise _NoNumberError("is a tuple or an interval")  # (2,251,252) groups no thousands
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind in _REASONS:
            raise _NoNumberError(_REASONS[token.kind])
        depth += (token.kind == "open") - (token.kind == "close")
        if token.kind == "comma" and depth > 0:
            first = tokens[0].text
            raise _NoNumberError(
                "is an interval" if first == "[" or tokens[-1].text == "]" else "is a tuple or an interval"
            )
        joins = token.kind == "comma" or (token.kind in ("text", "word") and _JOINERS.fullmatch(token.text) is not None)
        if joins and depth == 0:
            if parts[-1]:
                parts.append([])
        else:
            parts[-1].append(token)
    if not parts[-1]:
        parts.pop()
    if not parts:
        raise _NoNumberError("is empty")
    return parts


def _in_one_bracket(tokens: Sequence[Token]) -> bool:
    """Return whether the first token is a round or square bracket that the last token closes."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth <= 0:
            return at == len(tokens) - 1 and at > 0 and tokens[0].text in ("(", "[")
    return False


def _read_part(tokens: list[Token]) -> bool:
    """Return whether a part stands for two numbers (``1 ± x``) instead of one.

    Raises:
        _NoNumberError: it is not a number.
    """
    while tokens and tokens[0].kind == "currency":
        tokens = tokens[1:]
    if not tokens:
        raise _NoNumberError("is empty")
    if tokens[0].kind == "text" and len(tokens) == 1 and _DIGITS.fullmatch(tokens[0].text):
        return False
    parser = _Parser(tokens)
    parser.expression(0)
    parser.unit()
    if not parser.over:
        raise _NoNumberError(_not_read(parser.rest))
    return parser.several


def _not_read(rest: Sequence[Token]) -> str:
    """Return the reason why these tokens cannot be part of a number."""
    for token in rest:
        if token.kind == "word" and token.text == "i":
            return "is not real or has a variable i"
        if token.kind == "word" and (len(token.text) <= 3 or token.text.startswith("\\")):
            return f"has a variable {token.text}"
        if token.kind in ("word", "text"):
            return "is in words"
    return "is no number that can be read"


class _Parser:
    """Parses constant expressions by recursive descent; methods return the value, or None if no float holds it."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.several = False

    @property
    def over(self) -> bool:
        return self._at >= len(self._tokens)

    @property
    def rest(self) -> Sequence[Token]:
        return self._tokens[self._at :]

    def expression(self, depth: int) -> float | None:
        """Parse terms with signs between them."""
        value: float | None = 0.0
        sign = self._sign() or 1.0
        while True:
            term = self._term(depth)
            value = None if value is None or term is None else value + sign * term
            if (next_sign := self._sign()) is None:
                return value
            sign = next_sign

    def _sign(self) -> float | None:
        if self._next("several"):
            self.several = True
            return 1.0
        token = self._next("sign")
        return None if token is None else -1.0 if token.text == "-" else 1.0

    def _term(self, depth: int) -> float | None:
        value = self._factor(depth)
        while True:
            if self._next("times"):
                value = _safe(lambda a, b: a * b, value, self._signed_factor(depth))
            elif self._peek("over") and not self._unit_follows(1):
                self._at += 1
                under = self._signed_factor(depth)
                if under == 0:
                    raise _NoNumberError("divides by zero")
                value = _safe(lambda a, b: a / b, value, under)
            elif self._mixed():
                value = _safe(lambda a, b: a + b, value, self._term(depth + 1))
            elif self._peek("frac", "sqrt", "pi", "function", "binom") or self._peek_open() or self._peek_e():
                value = _safe(lambda a, b: a * b, value, self._factor(depth))
            else:
                return value

    def _signed_factor(self, depth: int) -> float | None:
        sign = self._sign() or 1.0
        value = self._factor(depth)
        return None if value is None else sign * value

    def _mixed(self) -> bool:
        """Return whether ``1/2`` follows a whole number, as in ``3 1/2``."""
        kinds = [token.kind for token in self._tokens[self._at - 1 : self._at + 3]]
        return self._at > 0 and kinds == ["number", "number", "over", "number"]

    def _factor(self, depth: int) -> float | None:
        value = self._base(depth)
        if self._next("sub"):  # the base of a numeral, as in 1011_2
            self._argument(depth, whole=True)
            value = None
        if self._next("power"):
            value = _safe(_power, value, self._argument(depth, whole=True))
            while self._next("power"):  # a tower of powers, whose value is not computed
                self._argument(depth, whole=True)
                value = None
        while self._next("factorial"):
            value = None
        self._next("percent")
        return value

    def _base(self, depth: int) -> float | None:
        if depth > _DEEPEST:
            raise _NoNumberError("is nested too deeply")
        if token := self._next("number"):
            return _float(token.text)
        if self._next("pi"):
            return math.pi
        if self._peek_e():
            self._at += 1
            return math.e
        if self._next("frac"):
            over, under = self._argument(depth), self._argument(depth)
            if under == 0:
                raise _NoNumberError("divides by zero")
            return _safe(lambda a, b: a / b, over, under)
        if self._next("binom"):
            self._argument(depth)
            self._argument(depth)
            return None
        if self._next("sqrt"):
            return self._root(depth)
        if token := self._next("function"):
            return self._function(token, depth)
        if self._peek("floor") and self._tokens[self._at].text.startswith(r"\l"):
            self._at += 1
            value = self.expression(depth + 1)
            self._expect("floor")
            return value
        if self._peek("open"):
            return self._bracketed(depth)
        raise _NoNumberError(_not_read(self.rest))

    def _root(self, depth: int) -> float | None:
        degree: float | None = 2.0
        if self._peek("open") and self._tokens[self._at].text == "[":
            degree = self._bracketed(depth)
        value = self._argument(depth)
        if value is None or degree is None:
            return None
        if value < 0:
            if degree % 2 != 1 and value < -1e-9:
                raise _NoNumberError("is not real")
            return None
        return _safe(lambda a, b: a ** (1 / b), value, degree) if degree else None

    def _function(self, token: Token, depth: int) -> float | None:
        """Parse a function of constants; the base of a logarithm must be a number too."""
        logarithm = token.text.lstrip("\\") in ("log", "ln", "lg")
        if self._next("sub"):
            self._argument(depth)
        if self._next("power"):
            self._argument(depth, whole=True)
        value = self._factor(depth + 1)
        while self._peek("pi", "frac", "sqrt"):
            self._factor(depth)
            value = None
        self._next("degree")
        if logarithm and value is not None and value <= 0:
            raise _NoNumberError("is not real")
        return None

    def _argument(self, depth: int, *, whole: bool = False) -> float | None:
        r"""Parse an argument: a group, or one digit (``\frac35``); an exponent may be a whole number (``2^10``)."""
        if self._peek("open"):
            return self._bracketed(depth)
        if (token := self._next("number")) is not None:
            if not whole and len(token.text) > 1 and token.text.isdecimal():
                self._at -= 1
                self._tokens[self._at] = Token("number", token.text[1:])
                return float(token.text[0])
            return _float(token.text)
        if depth <= _DEEPEST and (token := self._next("sign")):
            value = self._argument(depth + 1, whole=whole)
            return -value if value is not None and token.text == "-" else value
        return self._base(depth + 1)

    def _bracketed(self, depth: int) -> float | None:
        left = self._tokens[self._at].text
        self._at += 1
        value = self.expression(depth + 1)
        if (right := self._expect("close")).text != {"(": ")", "[": "]", "{": "}"}[left]:
            raise _NoNumberError("is an interval" if right.text in "])" else "is no number that can be read")
        return value

    def unit(self) -> None:
        """Parse what may follow a number: a percent sign, degrees, a unit with powers."""
        while not self.over:
            token = self._tokens[self._at]
            if token.kind in ("percent", "degree", "currency"):
                self._at += 1
            elif self._unit_follows(0):
                self._at += 1
                if self._next("power"):
                    self._argument(0)
            elif token.kind in ("over", "times") and self._unit_follows(1):
                self._at += 1
            else:
                return

    def _unit_follows(self, ahead: int) -> bool:
        at = self._at + ahead
        if at >= len(self._tokens):
            return False
        token = self._tokens[at]
        return token.kind in ("text", "word") and is_unit(
            token.text, as_text=token.kind == "text", apart=token.apart or token.kind == "text"
        )

    def _peek(self, *kinds: str) -> bool:
        return not self.over and self._tokens[self._at].kind in kinds

    def _peek_open(self) -> bool:
        return self._peek("open") and self._tokens[self._at].text in "({"

    def _peek_e(self) -> bool:
        """Return whether Euler's number follows; the letter e alone may be anything."""
        return self._peek("word") and self._tokens[self._at].text == "e" and len(self._tokens) > 1

    def _next(self, kind: str) -> Token | None:
        if not self._peek(kind):
            return None
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, kind: str) -> Token:
        token = self._next(kind)
        if token is None:
            raise _NoNumberError(_not_read(self.rest))
        return token


def _float(text: str) -> float | None:
    digits = re.sub(r"[^\d.]", "", text)
    return float(digits) if digits and len(digits) < 300 and "overline" not in text else None


def _safe(operation: Callable[[float, float], float], left: float | None, right: float | None) -> float | None:
    """Return the value if both operands are known and a float holds the result."""
    if left is None or right is None:
        return None
    try:
        value = operation(left, right)
    except (OverflowError, ZeroDivisionError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _power(base: float, exponent: float) -> float:
    if base < 0 and not exponent.is_integer():
        raise OverflowError  # a root of a negative number may be real, but is not computed
    return math.pow(base, exponent)
