"""The spacing of formulas: around relations, after functions, and where a fraction or root needs parentheses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from o1lab.chains.mathtext.rendering import Run

_SIMPLE = re.compile(
    r"[\d.]+|[d∂Δ∇]?[^\W\d_][\u0300-\u036f\u20d7]*[′⁰¹²³⁴⁵⁶⁷⁸⁹₀-₉ₙₐₓₖᵢⱼ]*|[^\W\d_]?\([^()]*\)|[√∛∜][\w.]+|\W",
    re.UNICODE,
)
_FACTOR = re.compile(r"[^\s+−±/=<>≤≥,;()]+")
_PARENTHESES = re.compile(r"\([^()]*\)")
_SOLID = re.compile(r"\S")
_OPEN = ("open", "number-open")
_WIDE = 40
"""Cells before a matrix from which on it begins on a line of its own."""


def blank_end(text: str, at: int) -> int:
    """Return the index of the first character from ``at`` on that is not white space."""
    found = _SOLID.search(text, at)
    return found.start() if found else len(text)


def drawn(runs: Iterable[Run]) -> str:
    """Return the text of runs."""
    return "".join(run.text for run in runs)


def is_simple(text: str) -> bool:
    """Whether ``text`` is a number, a letter with scripts or in parentheses: safe below a fraction bar."""
    return _SIMPLE.fullmatch(text) is not None


def is_factor(text: str) -> bool:
    """Whether ``text`` is a product without sums: safe above a fraction bar."""
    rest = text.lstrip("−")
    while (shorter := _PARENTHESES.sub("o", rest)) != rest:
        rest = shorter
    return _FACTOR.fullmatch(rest) is not None


def spaced(runs: Sequence[Run], column: int = 0, around: tuple[str, str] = ("", "")) -> list[Run]:
    """Return runs with their final text.

    Args:
        runs: As `Formula.sequence` returns them.
        column: The cell at which the formula begins, by which the lines of a matrix are indented.
        around: The characters before and after the formula that touch it.
    """
    return _Spacer(runs, column, around).result()


class _Spacer:
    def __init__(self, runs: Sequence[Run], column: int, around: tuple[str, str]) -> None:
        self.runs = runs
        self.out: list[Run] = []
        self.last, self.behind = around
        """The last character drawn, and the one after the formula."""
        self.pending = False
        """Whether a space comes before the next word: after a function."""
        self.column = column
        self.line = " " * column
        """The drawn text of the current line."""
        self.indents: list[int] = []
        self.parentheses: list[bool] = []

    def result(self) -> list[Run]:
        for index, run in enumerate(self.runs):
            self.place(index, run)
        return self.out

    def put(self, run: Run, text: str, kind: str = "done") -> None:
        self.out.append(Run(text, run.start, run.stop, run.kind if run.kind in ("close", "text") else kind, run.look))
        if text:
            self.last = text[-1]
            self.line = text.rpartition("\n")[2] if "\n" in text else self.line + text

    def place(self, index: int, run: Run) -> None:
        """Append a run with the text that its kind and its neighbours ask for."""
        match run.kind:
            case "space":
                after_nothing = not self.last or self.last in " ([\n"
                self.put(run, "" if after_nothing or self.following(index) in ")],⟩⌋⌉" else run.text)
            case "relation":
                before = "" if not self.last or self.last in " (\n" else " "
                self.put(run, before + run.text + ("" if self.following(index) in " )" else " "))
            case "function":
                self.put(run, " " * (self.last.isalnum() or self.last in (")", "′")) + run.text)
            case "open" | "number-open" | "shut" | "root-open" | "root-shut":
                self.place_fraction(index, run)
            case "grid-open" | "grid-line" | "grid-shut" | "grid-cell":
                self.place_grid(run)
            case "script":
                self.put(run, run.text)
            case _:
                text = run.text
                if run.kind in ("done", "text") and self.last == " ":
                    text = text.removeprefix(" ")
                self.put(run, " " * self.needs_space(text) + text)
        if run.text and run.kind != "script":
            self.pending = run.kind == "function"

    def place_fraction(self, index: int, run: Run) -> None:
        """Append the beginning or the end of a fraction or root, in parentheses where its neighbours ask for them."""
        if run.kind in ("shut", "root-shut"):
            self.put(run, run.text + ")" * (self.parentheses.pop() if self.parentheses else 0))
            return
        following = self.following(self.closing(index))
        mixed = run.kind == "number-open" and self.last.isdecimal()
        if run.kind == "root-open":
            apart = self.runs[self.closing(index) + 1 :][:1]
            tight = _binds(following) and following not in "√∛∜" and not (apart and apart[0].kind == "space")
            opening = " " * self.needs_space(run.text) + run.text + "(" * tight
        else:
            tight = not mixed and ((_joins(self.last) and not self.pending) or _binds(following))
            opening = " " * (mixed or self.pending) + "(" * tight + run.text
        self.parentheses.append(tight)
        self.put(run, opening)
        self.pending = False

    def place_grid(self, run: Run) -> None:
        """Append a part of a matrix: its lines are indented as far as it begins."""
        text = run.text
        if run.kind == "grid-open":
            indent = cell_len(self.line)
            if indent > _WIDE:
                text, indent = "\n" + text, 0
            self.indents.append(indent)
        elif run.kind == "grid-line":
            text = "\n" + text
        if run.kind in ("grid-open", "grid-line"):
            text = text.replace("\n", "\n" + " " * (self.indents[-1] if self.indents else self.column))
        if run.kind == "grid-shut":
            self.indents[-1:] = []
        self.put(run, text)

    def needs_space(self, text: str) -> bool:
        """Whether a function's name needs a space before ``text``."""
        return self.pending and bool(text) and (text[0].isalnum() or text[0] in "√∛∜−|∑∏∫{⌊⌈‖")

    def following(self, index: int) -> str:
        """Return the first character drawn after a run, a space for a relation, what is behind it all at the end."""
        for run in self.runs[index + 1 : index + 50]:
            if run.kind == "relation":
                return " "
            if run.text and run.kind != "space":
                return run.text[0]
        return self.behind

    def closing(self, index: int) -> int:
        """Return the index of the run that ends the fraction or root that run ``index`` begins."""
        opening, shut = (("root-open",), "root-shut") if self.runs[index].kind == "root-open" else (_OPEN, "shut")
        level = 0
        for other in range(index, len(self.runs)):
            kind = self.runs[other].kind
            level += (kind in opening) - (kind == shut)
            if not level:
                return other
        return len(self.runs)


def _joins(last: str) -> bool:
    """Whether a factor, a bar or a root stands directly before a fraction."""
    return bool(last) and (last.isalnum() or last in ")]/√∛∜′!°^")


def _binds(following: str) -> bool:
    """Whether a factor or a script stands directly after a fraction."""
    return bool(following) and (following.isalnum() or following in "([√∛∜^!′⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ{/")
