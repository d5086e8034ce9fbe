"""The process that compares answers with math-verify: ``python -P -m o1lab.chains.verify_worker LIMIT_S MEMORY_MB``.

Input and output are JSON Lines. The process prints ``{"ready": true}`` once sympy is loaded, then answers
``{"gold": …, "answer": …}`` with ``{"status": …, "reason": …}``. A comparison cannot hang: SIGPROF ends the process
when the processor time of an answer is used up, the parent kills it after the wall-clock limit, and an alarm ends it if
the parent is gone.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from fractions import Fraction
from typing import Any

from o1lab.chains.equality.notation import latex
from o1lab.chains.equality.units import conversion
from o1lab.chains.verify import PATIENCE, verify_read

_GRACE_S = 5
_CLOSE = 1e-9
_POINTS = (53, 71, 89, 43, 131, 149, 61, 109, 167, 37, 83, 139)  # numerators over 97 of the points to compare at


def main() -> None:
    limit_s, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    # A computation in C blocks Python's signal handlers: only the default action of the signal ends it.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    import math_verify

    _limit_memory(memory_mb)
    _warm_up(math_verify)
    out = sys.stdout
    sys.stdout = sys.stderr
    out.write('{"ready": true}\n')
    out.flush()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        signal.setitimer(signal.ITIMER_REAL, limit_s * PATIENCE + _GRACE_S)
        job = json.loads(line)
        try:
            status, reason = compare(job["gold"], job["answer"])
        except RecursionError:
            status, reason = "unverifiable", "nested too deeply to be parsed"
        except MemoryError:
            status, reason = "unverifiable", "comparing it needs too much memory"
        except Exception as error:
            status, reason = "unverifiable", f"math-verify failed: {type(error).__name__}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        out.write(json.dumps({"status": status, "reason": reason}) + "\n")
        out.flush()


class _UnreadableError(Exception):
    """A text that math-verify cannot parse."""


class _Sympy:
    """Algebra with sympy, conversion of units with pint."""

    def __init__(self) -> None:
        self.used = False

    def equal(self, gold: str, answer: str) -> bool:
        from math_verify import verify

        self.used = True
        expected, given = _parsed(gold), _parsed(answer)
        if not expected:
            raise _UnreadableError("the gold answer is not mathematics that can be parsed")
        if not given:
            raise _UnreadableError("the answer is not mathematics that can be parsed")
        probed = _probed(expected[0], given[0])
        if probed is not None:
            return probed
        return bool(verify(expected, given, timeout_seconds=None, raise_on_error=True))

    def convert(self, one: str, other: str) -> tuple[Fraction, Fraction] | None:
        return conversion(one, other)


def compare(gold: str, answer: str) -> tuple[str, str]:
    """Compare two answers and return (status, reason)."""
    algebra = _Sympy()
    try:
        right, kind = verify_read(gold, answer, algebra)
    except _UnreadableError as error:
        return "unverifiable", str(error)
    if algebra.used:
        return ("correct", "equal by math-verify") if right else ("incorrect", "differs by math-verify")
    return ("correct", f"the same {kind}") if right else ("incorrect", f"another {kind}")


def _parsed(text: str) -> list[Any]:
    """Return the values that math-verify finds in a formula in plain notation."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    text = latex(text)
    config = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    found: list[Any] = parse(f"\\boxed{{{text}}}", config, parsing_timeout=None, raise_on_error=True)
    if not _values(found):
        found = parse(text, config, parsing_timeout=None, raise_on_error=True)
    return _values(found)


def _probed(gold: Any, answer: Any) -> bool | None:
    """Compare two expressions or equations at one point: False if they differ there, None if that proves nothing.

    simplify() takes seconds to find no way from one formula to another, solve() to solve an equation for a symbol that
    occurs in functions.
    """
    import sympy

    if isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq):
        return _probed_equations(gold.lhs - gold.rhs, answer.lhs - answer.rhs)
    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return None
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if not 0 < len(symbols) <= len(_POINTS) or len({str(one).casefold() for one in symbols}) < len(symbols):
        return None
    at = {symbol: sympy.Rational(over, 97) for symbol, over in zip(symbols, _POINTS, strict=False)}
    left, right = _value(gold, at), _value(answer, at)
    return None if left is None or right is None or _near(left, right) else False


def _probed_equations(gold: Any, answer: Any) -> bool | None:
    """Compare two equations, given as what is zero: False if they give different values to one of their symbols.

    That symbol is one in which both are linear, so that two values tell where the equation holds.
    """
    import sympy
    from sympy.core.function import AppliedUndef

    # f(t) and f'(t) are values at this t like any other
    functions = sorted(gold.atoms(AppliedUndef) | answer.atoms(AppliedUndef), key=str)
    named = {one: sympy.Symbol(str(one)) for one in functions}
    if gold.has(sympy.Derivative, sympy.Integral) or answer.has(sympy.Derivative, sympy.Integral):
        return None
    gold, answer = gold.subs(named), answer.subs(named)
    shared = sorted(gold.free_symbols & answer.free_symbols, key=str)
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if len(symbols) > len(_POINTS) or len({str(one).casefold() for one in symbols}) < len(symbols):
        return None
    at = {symbol: sympy.Rational(over, 97) for symbol, over in zip(symbols, _POINTS, strict=False)}
    for symbol in shared:
        left, right = _solved(gold, symbol, at), _solved(answer, symbol, at)
        if left is not None and right is not None:
            return None if _near(left, right) else False
    return None


def _solved(zero: Any, symbol: Any, at: dict[Any, Any]) -> complex | None:
    """Return where an expression that is linear in ``symbol`` is zero, at the point ``at`` of all others."""
    slope = zero.diff(symbol)
    if slope.has(symbol):
        return None
    rise, start = _value(slope, at), _value(zero, at | {symbol: 0})
    return None if rise is None or start is None or not rise else -start / rise


def _value(expression: Any, at: dict[Any, Any]) -> complex | None:
    try:
        return complex(expression.subs(at).evalf(20, maxn=60))
    except (TypeError, ValueError, ArithmeticError):
        return None  # an unknown function, an integral, a pole


def _near(left: complex, right: complex) -> bool:
    return abs(left - right) <= _CLOSE * max(abs(left), abs(right), _CLOSE)


def _values(parsed: list[Any]) -> list[Any]:
    """Return the parsed values; math-verify also returns the string it was given."""
    return [value for value in parsed if not isinstance(value, str)]


def _limit_memory(megabytes: int) -> None:
    limit = megabytes << 20
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ValueError, OSError):
        pass  # a stricter limit is set already, or this system has no such limit


def _warm_up(math_verify: Any) -> None:
    """Build the grammar tables before the first answer is timed."""
    math_verify.verify(
        math_verify.parse("\\boxed{\\frac{1}{2}}", parsing_timeout=None),
        math_verify.parse("\\boxed{0.5}", parsing_timeout=None),
        timeout_seconds=None,
    )


if __name__ == "__main__":
    main()
