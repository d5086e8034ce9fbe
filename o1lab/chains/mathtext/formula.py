"""A formula of LaTeX as runs of Unicode text: fractions, roots, scripts, accents, alphabets, text, delimiters."""

from __future__ import annotations

import re

from o1lab.chains.mathtext import symbols as known
from o1lab.chains.mathtext.commands import HANDLERS, fraction
from o1lab.chains.mathtext.grid import ENVIRONMENT, grid_runs
from o1lab.chains.mathtext.rendering import Argument, Run
from o1lab.chains.mathtext.spacing import blank_end, drawn, spaced

_COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|[\s\S])?")
_PLAIN = re.compile(r"[^\\{}^_$&~'\-\s=<>≤≥≠≈→∈]+")
_INFIX = re.compile(r"\\(over|choose)(?![A-Za-z])")
_BRACE = re.compile(r"[{}]|\\[\s\S]")
_LONGEST_GROUP = 3000
_LONGEST_BARE_GROUP = 600
"""Code points in which a brace must be closed: hostile text must not take quadratic time."""

_DEEP = 40
"""Nesting at which the rest is drawn as source: hostile text must not exhaust the stack."""


class Formula:
    """Reads ``text[:end]``, the source of one formula.

    Args:
        multiline: Whether matrices and aligned rows take lines of their own; otherwise they stay on one line.
        bare: Whether the commands stand in prose, whose spaces count.
    """

    def __init__(self, text: str, end: int, *, multiline: bool = False, bare: bool = False) -> None:
        self.text = text
        self.end = end
        self.multiline = multiline
        self.bare = bare
        self.depth = 0
        self._ends: dict[int, int] = {}
        """Where commands that are arguments end: each would be read again at every level around it."""
        self._closing: dict[int, int | None] = {}
        """Where braces are closed; None for one that is not, or too far away."""

    # Reading.

    def group_end(self, at: int, end: int) -> int | None:
        """Return the index of the brace that closes the one at ``at``; None if there is none before ``end``."""
        if at not in self._closing:
            self._match_braces(at)
        close = self._closing.get(at)
        return None if close is None or close >= end else close

    def _match_braces(self, at: int) -> None:
        """Find where the brace at ``at`` and those near it are closed: a text full of braces is read twice at most."""
        most = _LONGEST_BARE_GROUP if self.bare else _LONGEST_GROUP
        stop = min(self.end, at + 2 * most)
        unclosed: list[int] = []
        for found in _BRACE.finditer(self.text, at, stop):
            if found[0] == "{":
                unclosed.append(found.start())
            elif found[0] == "}" and unclosed:
                begun = unclosed.pop()
                self._closing[begun] = found.start() if found.start() < begun + most else None
        self._closing |= {begun: None for begun in unclosed if stop == self.end or begun + most <= stop}

    def argument(self, at: int, end: int) -> Argument | None:
        """Return the argument at ``at``: a group, a command or a character."""
        at = min(blank_end(self.text, at), end)
        if at >= end or self.text[at] in "}&$":
            return None
        if self.text[at] == "{":
            close = self.group_end(at, end)
            return None if close is None else Argument(at + 1, close, close + 1)
        if self.text[at] == "\\":
            after = self._ends.get(at, 0)
            if not at < after <= end:
                self.depth += 1
                _, after = self.atom(at, end)
                self.depth -= 1
                self._ends[at] = after
            return Argument(at, after, after)
        return Argument(at, at + 1, at + 1)

    def option(self, at: int, end: int) -> Argument | None:
        """Return the optional argument in square brackets at ``at``."""
        if at < end and self.text[at] == "[" and (close := self.text.find("]", at, min(end, at + 200))) > 0:
            return Argument(at + 1, close, close + 1)
        return None

    def sequence(self, start: int, end: int) -> list[Run]:
        """Return the runs of [start, end), not spaced yet."""
        runs: list[Run] = []
        self.depth += 1
        while start < end:
            found, start = self.atom(start, end)
            runs += found
        self.depth -= 1
        return runs

    def part(self, start: int, end: int) -> list[Run]:
        """Return the spaced runs of [start, end)."""
        return spaced(self.sequence(start, end))

    def atom(self, at: int, end: int) -> tuple[list[Run], int]:
        """Return the runs of the symbol, group or command at ``at``, and where the next one begins."""
        char = self.text[at]
        if self.depth > _DEEP:
            return [Run(self.text[at:end], at, end)], end
        match char:
            case "\\":
                return self.command(at, end)
            case "{":
                close = self.group_end(at, end)
                if close is None:
                    return [Run(char, at, at + 1)], at + 1
                if (split := self.infix(at + 1, close)) is not None:
                    return split, close + 1
                return [
                    Run("", at, at + 1),
                    *self.sequence(at + 1, close),
                    Run("", close, close + 1, "close"),
                ], close + 1
            case "^" | "_":
                return self.script(at, end)
            case "'":
                return [Run("′", at, at + 1, "script")], at + 1
            case "-":
                return [Run("−", at, at + 1)], at + 1
            case "~":
                return [Run(" ", at, at + 1, "space")], at + 1
            case "&" | "$":
                return [Run("", at, at + 1)], at + 1
        if char.isspace():
            after = min(blank_end(self.text, at), end)
            return [Run(" ", at, after, "space")], after
        if char in known.RELATIONS:
            return [Run(char, at, at + 1, "relation")], at + 1
        plain = _PLAIN.match(self.text, at, end)
        after = plain.end() if plain else at + 1
        return [Run(self.text[at:after], at, after)], after

    def infix(self, start: int, stop: int) -> list[Run] | None:
        """Return the runs of a group such as {a \\over b}; None for any other group."""
        for found in _INFIX.finditer(self.text, start, stop):
            if self.text.count("{", start, found.start()) == self.text.count("}", start, found.start()):
                parts = Argument(start, found.start(), found.end()), Argument(found.end(), stop, stop + 1)
                return fraction(self, found[1] == "choose", start - 1, *parts)
        return None

    # Scripts.

    def script(self, at: int, end: int) -> tuple[list[Run], int]:
        """Return the runs of a superscript or subscript."""
        mark = self.text[at]
        argument = self.argument(at + 1, end)
        if argument is None:
            return [Run(mark, at, at + 1)], at + 1
        runs = self.part(argument.start, argument.stop)
        text = drawn(runs)
        table = known.superscripts() if mark == "^" else known.subscripts()
        words = any(run.kind == "text" for run in runs)
        tight = text if words else text.replace(" ", "")
        if not tight:
            return [Run("", at, argument.after)], argument.after
        if all(char in table and char != " " for char in tight):
            return [Run("".join(table[char] for char in tight), at, argument.after, "script")], argument.after
        runs = [run if run.kind in ("close", "text") else _in_script(run, keep_spaces=words) for run in runs]
        bare = len(text) == 1 or text.isdecimal() or (text[0] == "(" and text.find(")") == len(text) - 1)
        opening, closing = (mark, "") if bare else (mark + "(", ")")
        return [
            Run(opening, at, argument.start, "script"),
            *runs,
            Run(closing, argument.stop, argument.after, "script" if closing else "close"),
        ], argument.after

    # Commands.

    def command(self, at: int, end: int) -> tuple[list[Run], int]:
        """Return the runs of a command with its arguments; one that is not known is drawn as source."""
        match = _COMMAND.match(self.text, at, end)
        after = match.end() if match else at + 1
        name = self.text[at + 1 : after]
        if name.endswith("*") and name != "*":
            name = name[:-1]
        if name == "begin" and (begun := ENVIRONMENT.match(self.text, at, end)):
            return grid_runs(self, begun, end)
        handler = HANDLERS.get(name)
        if handler is not None and (result := handler(self, name, at, after, end)) is not None:
            return result
        symbol = known.symbols().get(name)
        if symbol is None:
            return self.unknown(at, after, end)
        if not self.bare and name.isalpha():  # the space only ends the command's name, but is wanted before a sign
            following = min(blank_end(self.text, after), end)
            after = after if self.text[following : following + 1] in ("+", "-", "/", "|") else following
        kind = ""
        if symbol in known.RELATIONS or symbol in known.OPERATIONS or name in ("mid", "nmid"):
            kind = "relation"
        elif name in known.FUNCTIONS or name in known.LARGE:
            kind = "function"
        return [Run(symbol, at, after, kind)], after

    def unknown(self, at: int, after: int, end: int) -> tuple[list[Run], int]:
        """Return the runs of a command that is not known, with the braces of its arguments."""
        runs = [Run(self.text[at:after], at, after)]
        while after < end and self.text[after] == "{" and (close := self.group_end(after, end)) is not None:
            runs += [Run("{", after, after + 1), *self.sequence(after + 1, close), Run("}", close, close + 1)]
            after = close + 1
        return runs, after


def _in_script(run: Run, *, keep_spaces: bool) -> Run:
    """Return a run as it is drawn in a script: without the spaces around a sign."""
    text = run.text.strip()
    if text in known.RELATIONS or text in known.OPERATIONS or (not text and not keep_spaces):
        return run._replace(kind="script", text=text)
    return run._replace(kind="script")
