r"""Compute a formula while reading it, without sympy.

Numbers are exact fractions as long as possible. Roots, powers, logarithms and trigonometric functions have
:data:`DIGITS` digits. Each variable has a fixed pseudo-random value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from typing import Any

DIGITS = 60
_DEEPEST = 60
_LARGEST = 10**6
_LARGEST_FACTORIAL = 1000
_MOST_BITS = 20_000  # of an exact power; larger ones have no value here

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+\.\d*|\.\d+|\d+)"
    r"(?:[eE](?P<exponent>[+-]?\d{1,3})(?![\da-zA-Z]))?"
    r"|\\(?P<command>[a-zA-Z]+)|(?P<word>asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|sqrt|ln|log|exp|pi)(?![a-zA-Z])"
    r"|(?P<letter>[a-zA-Zπ∞μℏ])|(?P<sign>[-+*/^!()\[\]{}|°_',]))"
)
_GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "hbar", "ell", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Sigma", "Phi", "Psi", "Omega",
})  # fmt: skip
_FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp", "ln")},
    **{"arc" + name: "a" + name for name in ("sin", "cos", "tan")},
    **{name: name for name in ("asin", "acos", "atan")},
}
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan"}
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\{(\d+)\}|(\d*)\.(\d*?)(\d{1,6}?)\6{2,}\d*…")


Number = Any  # a Fraction, or a complex number of mpmath


class UnsureError(Exception):
    """The formula contains something that this module does not evaluate."""


class NotComputedError(UnsureError):
    """The value is a number that is not computed: it is too large, or a tower of powers."""


@lru_cache(maxsize=1)
def context() -> Any:
    """Return the context of mpmath in which formulas are computed. One thread may use it at a time."""
    import mpmath

    made = mpmath.mp.clone()
    made.dps = DIGITS
    return made


def as_float(value: Number) -> Any:
    """Return a number of mpmath."""
    return context().mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def names(text: str) -> frozenset[str]:
    """Return the names of a formula that stand for variables, without subscripts."""
    found = {one["letter"] or one["command"] for one in _TOKEN.finditer(re.sub(r"_\s*(?:\{[^{}]*\}|\w)", "", text))}
    return frozenset(name for name in found if name and (name in _GREEK or (len(name) == 1 and name not in "eiπ∞")))


def compute(text: str, point: str) -> Number:
    """Return the value of a formula.

    Args:
        text: a formula in the notation of :mod:`o1lab.chains.equality.notation`.
        point: where variables are: ``+`` positive, ``-`` negative, ``~`` of either sign, empty where none is allowed.

    Raises:
        UnsureError, ArithmeticError, ValueError, TypeError, RecursionError: it has none that this module is sure of.
    """
    parser = _Parser(text, point)
    value = parser.sum()
    parser.end()
    return value


def _repeating(text: str) -> str:
    """Write repeating decimals as fractions in parentheses."""

    def fraction(at: re.Match[str]) -> str:
        whole, before, period = (at[1], at[2], at[3]) if at[3] else (at[4], at[5], at[6])
        nines = (10 ** len(period) - 1) * 10 ** len(before)
        return f"({int(whole + before + period or 0) - int(whole + before or 0)}/{nines})"

    return _REPEATING.sub(fraction, text)


class _Parser:
    """A recursive-descent parser that computes while it reads."""

    def __init__(self, text: str, point: str) -> None:
        self.point = point
        self.depth = 0
        self.at = 0
        self.tokens: list[tuple[str, str]] = []
        text = _repeating(text)
        where = 0
        while text[where:].strip():
            match = _TOKEN.match(text, where)
            if match is None:
                raise UnsureError
            kind = match.lastgroup if match.lastgroup != "exponent" else "number"
            self.tokens.append((str(kind), match.group().strip() if kind == "number" else match[str(kind)]))
            where = match.end()

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place][1] if place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        if self.at >= len(self.tokens) or (expected and self.peek() != expected):
            raise UnsureError
        self.at += 1
        return self.tokens[self.at - 1][1]

    def end(self) -> None:
        if self.at != len(self.tokens) or not self.tokens:
            raise UnsureError

    def sum(self) -> Number:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UnsureError
        total = self.product()
        while self.peek() in {"+", "-"}:
            sign = self.take()
            other = self.product()
            total = _both(total, other, lambda a, b: a + b) if sign == "+" else _both(total, other, lambda a, b: a - b)
        self.depth -= 1
        return total

    def product(self) -> Number:
        sign = 1
        while self.peek() in {"+", "-"}:
            sign *= -1 if self.take() == "-" else 1
        start = self.at
        value, divided = self.power(), False
        while True:
            if self.peek() == "*":
                self.take()
                if self.peek() == "-":
                    self.take()
                    sign = -sign
                value, divided = _both(value, self.power(), lambda a, b: a * b), False
            elif self.peek() == "/":
                self.take()
                value, divided = _divide(value, self.power()), True
            elif self.starts():
                if divided:
                    raise UnsureError  # 1/2x: (1/2)x or 1/(2x)
                number = self.tokens[self.at][0] == "number"
                if (mixed := self._mixed(start)) is not None:
                    value = _both(value, mixed, lambda a, b: a + b)
                elif number:
                    raise UnsureError  # 3 4
                else:
                    value = _both(value, self.power(), lambda a, b: a * b)
            else:
                return value if sign == 1 else -value

    def _mixed(self, start: int) -> Fraction | None:
        r"""Read the fraction of a mixed number: ``3\frac{1}{2}``, ``3 1/2``."""
        if self.at != start + 1 or not self.tokens[start][1].isdigit():
            return None
        if self.tokens[self.at][0] == "number":
            shape = [self.peek(ahead) for ahead in range(3)]
            if not (shape[0].isdigit() and shape[1] == "/" and shape[2].isdigit()):
                return None
            over, under, length = shape[0], shape[2], 3
        else:
            shape = [self.peek(ahead) for ahead in range(7)]
            if shape[0] != "frac" or not (shape[2].isdigit() and shape[5].isdigit() and shape[3] == shape[6] == "}"):
                return None
            over, under, length = shape[2], shape[5], 7
        if not int(under) or int(over) >= int(under):
            return None
        self.at += length
        return Fraction(int(over), int(under))

    def starts(self) -> bool:
        """Return whether a factor starts here."""
        if self.at >= len(self.tokens):
            return False
        kind, text = self.tokens[self.at]
        return kind != "sign" or text in "([{"

    def power(self) -> Number:
        base = self.atom()
        while self.peek() in {"!", "°", "^", "'"}:
            sign = self.take()
            if sign == "'":
                raise UnsureError
            if sign == "!":
                if not isinstance(base, Fraction) or base.denominator != 1 or base < 0:
                    raise UnsureError
                if base > _LARGEST_FACTORIAL:
                    raise NotComputedError
                base = Fraction(math.factorial(int(base)))
            elif sign == "°":
                base = as_float(base) * context().pi / 180
            else:
                base = _power(base, self.exponent())
        return base

    def exponent(self) -> Number:
        if self.peek() == "-":
            self.take()
            return -self.exponent()
        if self.peek() == "{":
            return self.group("{", "}")
        base = self.atom()
        if self.peek() == "^":
            raise NotComputedError  # a^b^c
        return base

    def group(self, left: str, right: str) -> Number:
        self.take(left)
        value = self.sum()
        self.take(right)
        return value

    def atom(self) -> Number:
        if self.at >= len(self.tokens):
            raise UnsureError
        kind, text = self.tokens[self.at]
        if kind == "number":
            self.take()
            digits, _, exponent = text.lower().replace(",", "").partition("e")
            return Fraction(digits.rstrip(".")) * Fraction(10) ** int(exponent or 0)
        if kind == "sign":
            if text == "|":
                self.take()
                value = self.sum()
                self.take("|")
                return abs(value)
            for left, right in (("(", ")"), ("[", "]"), ("{", "}")):
                if text == left:
                    return self.group(left, right)
            raise UnsureError
        if kind == "letter":
            return self.letter()
        return self.command()

    def letter(self) -> Number:
        name = self.take()
        if name == "π":
            return context().mpc(context().pi)
        if name == "e" and self.peek() != "_":
            return context().mpc(context().e)
        if name == "i" and self.peek() != "_":
            return context().mpc(0, 1)
        if name == "∞" or (name in "fgh" and self.peek() == "("):
            raise UnsureError
        return self.variable(name)

    def variable(self, name: str) -> Number:
        if self.peek() == "_":
            self.take()
            if self.peek() == "{":
                self.take()
                while self.peek() != "}":
                    name += "_" + self.take()
                self.take("}")
            else:
                name += "_" + self.take()
        if not self.point:
            raise UnsureError
        digest = int.from_bytes(blake2b((self.point + name).encode(), digest_size=16).digest())
        value = context().mpf(digest) / 2**128 * 2 + context().mpf(1) / 4
        return context().mpc(-value if self.point == "-" or (self.point == "~" and digest % 2) else value)

    def command(self) -> Number:
        kind, name = self.tokens[self.at]
        self.take()
        if name in _GREEK:
            return self.variable(name)
        if name == "pi":
            return context().mpc(context().pi)
        if name == "frac":
            return _divide(self.group("{", "}"), self.group("{", "}"))
        if name in {"binom", "dbinom", "tbinom"}:
            top, bottom = self.group("{", "}"), self.group("{", "}")
            if not isinstance(top, Fraction) or not isinstance(bottom, Fraction) or not 0 <= bottom <= top <= 1000:
                raise UnsureError
            return Fraction(math.comb(int(top), int(bottom)))
        if name == "sqrt":
            return self.root()
        if name == "log":
            return self.logarithm()
        if name in _FUNCTIONS:
            return self.function(_FUNCTIONS[name], kind)
        raise UnsureError

    def root(self) -> Number:
        index: Number = Fraction(2)
        if self.peek() == "[":
            index = self.group("[", "]")
        value = self.group("(", ")") if self.peek() == "(" else self.group("{", "}")
        if not isinstance(index, Fraction) or not index:
            raise UnsureError
        return _power(value, 1 / index)

    def logarithm(self) -> Number:
        if self.peek() != "_":
            raise UnsureError  # the base is a matter of taste
        self.take()
        base = self.group("{", "}") if self.peek() == "{" else self.atom()
        return context().ln(as_float(self.argument())) / context().ln(as_float(base))

    def function(self, name: str, kind: str) -> Number:
        exponent: Number | None = None
        if self.peek() == "^":
            self.take()
            exponent = self.exponent()
            if exponent == -1 and name in _INVERSE:
                name, exponent = _INVERSE[name], None
            elif not isinstance(exponent, Fraction) or exponent < 0:
                raise UnsureError
        if kind == "word" and self.peek() != "(":
            raise UnsureError
        value = getattr(context(), name)(_small(as_float(self.argument())))
        return value if exponent is None else _power(value, exponent)

    def argument(self) -> Number:
        r"""Read what a function is applied to: a group, or the factors up to the next function or sign."""
        if self.peek() in {"(", "{", "["}:
            left = self.peek()
            return self.group(left, {"(": ")", "{": "}", "[": "]"}[left])
        value: Number = Fraction(1)
        read = 0
        while self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            if kind == "sign" or (kind == "command" and (text in _FUNCTIONS or text == "log")):
                break
            value = _both(value, self.power(), lambda a, b: a * b)
            read += 1
        if not read or self.peek() in {"(", "[", "/"}:
            raise UnsureError  # \sin x(y + 1)
        return value


def _both(left: Number, right: Number, how: Callable[[Any, Any], Any]) -> Number:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return how(left, right)
    return how(as_float(left), as_float(right))


def _divide(over: Number, under: Number) -> Number:
    if isinstance(under, Fraction) and not under:
        raise UnsureError("divides by zero")
    return _both(over, under, lambda a, b: a / b)


def _power(base: Number, exponent: Number) -> Number:
    """Raise to a power: exactly where that is possible, with roots of negative numbers real where the index is odd."""
    if isinstance(exponent, Fraction) and isinstance(base, Fraction):
        if exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length(), 1)
            if not base and exponent < 0:
                raise UnsureError("divides by zero")
            if abs(exponent) * size > _MOST_BITS:
                raise NotComputedError
            return base ** int(exponent)
        if base < 0 and exponent.denominator % 2:
            return -_power(-base, exponent) if exponent.numerator % 2 else _power(-base, exponent)
        over, under = (_exact_root(part, exponent.denominator) for part in (base.numerator, base.denominator))
        if over is not None and under is not None and abs(exponent.numerator) < 64 and base > 0:
            return Fraction(over, under) ** exponent.numerator
    base, exponent = context().mpc(as_float(base)), as_float(exponent)
    _small(exponent * context().ln(base) if base else exponent)
    return context().power(base, exponent)


def _small(value: Any) -> Any:
    """Return ``value``; exponents and angles beyond a million take memory or lose all digits."""
    if abs(value) > _LARGEST:
        raise NotComputedError
    return value


def _exact_root(number: int, index: int) -> int | None:
    if number < 0 or number.bit_length() > 512 or index > 64:
        return None
    root = math.isqrt(number) if index == 2 else round(number ** (1 / index))
    return root if root**index == number else None
