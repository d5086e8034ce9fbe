"""Chains of the demo to practise curating on: they are undecided, and half of them should not be accepted.

They are sums like those of the solver, written by a program that makes one planned mistake in a chain.
"""

from __future__ import annotations

from typing import Literal

from o1lab.serve.solver import PLACES, respond

TEACHER = "careless-solver"
Slip = Literal["none", "carry", "misread", "step", "cut", "loop", "unanswered", "checked"]
SLIPS: tuple[Slip, ...] = (
    "none", "carry", "checked", "cut", "step", "none", "misread", "loop", "none", "unanswered", "carry", "none",
)  # fmt: skip
"""What is wrong with each chain, in the order of the list. ``none`` and ``checked`` (checks twice) are right."""

_CUT_AT = 0.6
_ROUNDS = 40


def suits(slip: Slip, a: int, b: int) -> bool:
    """Whether a sum can have this mistake: a carry to forget, or two different digits to exchange."""
    if slip == "carry":
        return a % 10 + b % 10 > 9
    return slip != "misread" or b % 10 != b // 10 % 10


def careless(statement: str, a: int, b: int, slip: Slip) -> str:
    """Return a chain for the sum of two 3-digit numbers, as a teacher returns it, with one mistake."""
    if slip == "none":
        return respond(statement).text
    if slip == "misread":
        b = b // 100 * 100 + b % 10 * 10 + b // 10 % 10
    lines, total = _columns(a, b, forgetful=slip == "carry")
    if slip == "loop":
        again = f"Wait, let me add the ones again.\n{lines[0]}\n"
        return "<think>\n" + "\n".join(lines) + "\n" + again * _ROUNDS
    if slip == "step":
        x, y = a // 10 % 10, b // 10 % 10
        lines[1] = lines[1].replace(f" = {x + y}", f" = {x + y + 1}", 1)
    lines.append(f"So {total}. Check holds: {total} - {b} = {a}.")
    if slip == "checked":
        lines += [f"Wait, let me check that from the other side: {total} - {a} = {total - a}.", f"That is {b}, so yes."]
    thought = "\n".join(lines)
    if slip == "cut":
        return f"<think>\n{thought[: int(len(thought) * _CUT_AT)]}"
    answer = "The columns are added above." if slip == "unanswered" else rf"\boxed{{{total}}}"
    return f"<think>\n{thought}\n</think>\n\n{answer}"


def _columns(a: int, b: int, *, forgetful: bool) -> tuple[list[str], int]:
    """Add by columns; return the lines and the sum. ``forgetful``: every carry is written and not added."""
    lines, total, carry = [], 0, 0
    for place, name in enumerate(PLACES):
        x, y = a // 10**place % 10, b // 10**place % 10
        plus = 0 if forgetful else carry
        found = x + y + plus
        is_last = place == len(PLACES) - 1
        line = f"{name}: {x} + {y} = {x + y}" + (f", plus 1 = {found}" if plus else "")
        lines.append(line + (f", write {found % 10}, carry 1." if found > 9 and not is_last else "."))
        total += (found if is_last else found % 10) * 10**place
        carry = found // 10
    return lines, total
