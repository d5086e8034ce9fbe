"""Matrices, cases and aligned rows: cells padded to columns, rows on lines of their own."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import NamedTuple

from rich.cells import cell_len

from o1lab.chains.mathtext.rendering import FormulaReader, Run
from o1lab.chains.mathtext.spacing import drawn

_NAMES = (
    "aligned|alignedat|align|alignat|array|matrix|pmatrix|bmatrix|Bmatrix|vmatrix|Vmatrix|smallmatrix|cases|dcases|rcases|"
    "gathered|gather|split|eqnarray|multline|equation|displaymath|math|tabular|subequations|flalign"
)
ENVIRONMENT = re.compile(rf"\\begin\s*\{{({_NAMES})(\*?)\}}")
_SPECIFIED = ("array", "tabular", "alignedat", "alignat")
_BRACKETS = {
    "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"), "vmatrix": ("|", "|"), "Vmatrix": ("‖", "‖"),
    "cases": ("{", ""), "dcases": ("{", ""), "rcases": ("", "}"),
}  # fmt: skip
# First, middle, last and, of an odd number of rows, central line.
_TALL = {
    "(": "⎛⎜⎝⎜", ")": "⎞⎟⎠⎟", "[": "⎡⎢⎣⎢", "]": "⎤⎥⎦⎥", "{": "⎧⎪⎩⎨", "}": "⎫⎪⎭⎬", "|": "││││", "‖": "‖‖‖‖",
}  # fmt: skip
_DELIMITERS = {"\\{": "{", "\\}": "}", "\\lbrace": "{", "\\rbrace": "}", "\\vert": "|", ".": ""}
_SEPARATOR = re.compile(r"\\\\(?:\*)?(?:\[[^\]\n]{0,20}\])?|&|\\(?:begin|end)\s*\{|\\hline\b|\\.|[{}]", re.DOTALL)
_RIGHT = re.compile(r"\s*\\right\s*(\)|\]|\||\\\}|\\rbrace|\\vert|\.)")


class Cell(NamedTuple):
    """A cell: its runs, which cover its source whole, and the separator [start, stop) before it."""

    runs: list[Run]
    start: int
    stop: int
    rules: int = 0
    """Number of horizontal rules before it."""


class Grid(NamedTuple):
    """An environment: its rows, its brackets, and its end [close, after) in the source."""

    rows: list[list[Cell]]
    left: str
    right: str
    close: int
    after: int
    bars: frozenset[int] = frozenset()
    """Columns with a vertical rule before them."""
    paired: bool = False
    """Whether columns are aligned to the right and to the left in turn."""


def grid_runs(
    formula: FormulaReader, begun: re.Match[str], end: int, outer: tuple[int, str] | None = None
) -> tuple[list[Run], int]:
    """Return the runs of an environment, and where the source continues.

    Args:
        formula: The formula.
        begun: The match of ``ENVIRONMENT``.
        end: Where the formula ends.
        outer: The position of a ``\\left`` before the environment, and its delimiter.
    """
    text, name = formula.text, begun[1]
    start = begun.start() if outer is None else outer[0]
    body, close, after, bars = _body(formula, begun, end)
    left, right = _BRACKETS.get(name, ("", ""))
    if outer is not None:
        left = _DELIMITERS.get(outer[1], outer[1])
        ending = _RIGHT.match(text, after, end)
        if ending is not None:
            right, after = _DELIMITERS.get(ending[1], ending[1]), ending.end()
    formula.depth += 1
    rows = _rows(formula, start, body, close)
    formula.depth -= 1
    paired = not left and name.startswith(("align", "split", "eqnarray", "flalign"))
    grid = Grid(rows, left, right, close, after, bars, paired)
    return (_on_lines(grid) if formula.multiline and len(rows) > 1 else _on_one_line(grid)), after


def _body(formula: FormulaReader, begun: re.Match[str], end: int) -> tuple[int, int, int, frozenset[int]]:
    """Return where the rows begin and end, where the source continues, and the columns with a vertical rule before."""
    text, body = formula.text, begun.end()
    bars: frozenset[int] = frozenset()
    option = formula.option(body, end)
    if option is not None and len(text[option.start : option.stop]) == 1:
        body = option.after  # [t], [c] or [b]
    if (
        begun[1] in _SPECIFIED
        and text.startswith("{", body)
        and (specified := formula.group_end(body, end)) is not None
    ):
        columns = re.sub(r"\{[^{}]*\}", "", text[body + 1 : specified])
        bars = frozenset(len(re.findall(r"[a-zA-Z]", columns[: bar.start()])) for bar in re.finditer(r"\|", columns))
        body = specified + 1
    level = 1
    for found in re.compile(rf"\\(begin|end)\s*\{{{begun[1]}\*?\}}").finditer(text, body, end):
        level += 1 if found[1] == "begin" else -1
        if not level:
            return body, found.start(), found.end(), bars
    return body, end, end, bars  # never closed: cut off


def _rows(formula: FormulaReader, start: int, body: int, close: int) -> list[list[Cell]]:
    """Return the cells of each row; ``start`` is where the separator before the first cell begins."""
    text = formula.text
    rows: list[list[Cell]] = [[]]
    braces = level = rules = 0
    at = body
    for found in _SEPARATOR.finditer(text, body, close):
        mark = found[0]
        if mark in "{}":
            braces += 1 if mark == "{" else -1
        elif mark.startswith(("\\begin", "\\end")):
            braces += 1  # the brace of its name is part of the token
            level += 1 if mark.startswith("\\begin") else -1
        elif level or braces > 0:
            continue
        elif mark == "\\hline":
            if not text[at : found.start()].strip():
                rules, at = rules + 1, found.end()
        elif mark == "&" or mark.startswith("\\\\"):
            rows[-1].append(_cell(formula, start, at, found.start(), rules))
            start, at, rules = found.start(), found.end(), 0
            if mark != "&":
                rows.append([])
    last = _cell(formula, start, at, close, rules)
    if rows[-1] or len(rows) == 1 or drawn(last.runs).strip():
        rows[-1].append(last)
    else:  # the last row was ended too: what follows draws nothing
        rows.pop()
        rows[-1][-1].runs.append(Run("", last.start, close, "close"))
    return rows


def _cell(formula: FormulaReader, start: int, at: int, stop: int, rules: int) -> Cell:
    runs = formula.part(at, stop)
    for index in range(len(runs) - 1, -1, -1):  # spaces before the separator are not part of the cell
        if runs[index].text.strip() or runs[index].kind == "text":
            break
        runs[index] = runs[index]._replace(text="", kind="close")
    return Cell(runs, start, at, rules)


def _on_one_line(grid: Grid) -> list[Run]:
    """Return the runs of rows one after the other: [1 2; 3 4]."""
    runs: list[Run] = []
    for number, row in enumerate(grid.rows):
        for column, cell in enumerate(row):
            between = "; " if number else grid.left
            separator = ("" if grid.paired else " ") if column else between
            runs.append(Run(separator, cell.start, cell.stop, "done"))
            runs += cell.runs
    return [*runs, Run(grid.right, grid.close, grid.after, "done" if grid.right else "close")]


def _on_lines(grid: Grid) -> list[Run]:
    """Return the runs of rows on lines of their own, their cells padded to columns."""
    rows, left, right = grid.rows, grid.left, grid.right
    columns = zip_longest(*rows)
    widths = [max(cell_len(drawn(cell.runs)) for cell in column if cell is not None) for column in columns]
    gaps = ["", *(" │ " if column in grid.bars else _gap(column, grid.paired) for column in range(1, len(widths)))]
    total = sum(widths) + sum(map(len, gaps))
    runs: list[Run] = []
    for number, row in enumerate(rows):
        before = f"{_bracket(left, number, len(rows))} " if left else ""
        behind = f" {_bracket(right, number, len(rows))}" if right else ""
        padding = ""
        for column, cell in enumerate(row):
            size = cell_len(drawn(cell.runs))
            to_the_right = grid.paired and not column % 2
            shift = " " * (widths[column] - size) if to_the_right else ""
            if column:
                runs.append(Run(padding + gaps[column] + shift, cell.start, cell.stop, "grid-cell"))
            else:
                rule = " " * len(before) + "─" * total + "\n" if cell.rules else ""
                runs.append(Run(rule + before + shift, cell.start, cell.stop, "grid-line" if number else "grid-open"))
            runs += cell.runs
            padding = "" if to_the_right else " " * (widths[column] - size)
        if behind:
            missing = sum(widths[len(row) :]) + sum(map(len, gaps[len(row) :]))
            tail = padding + " " * missing + behind
            if number == len(rows) - 1:
                runs.append(Run(tail, grid.close, grid.after, "grid-shut"))
            else:  # it has no source of its own: it is drawn with the end of the row
                runs[-1] = runs[-1]._replace(text=runs[-1].text + tail, kind=runs[-1].kind or "done")
    if not right:
        runs.append(Run("", grid.close, grid.after, "grid-shut"))
    return runs


def _gap(column: int, paired: bool) -> str:
    """Return the space before a column: none inside an aligned pair, whose relation has spaces of its own."""
    return (" " if column % 2 else "   ") if paired else "  "


def _bracket(delimiter: str, row: int, rows: int) -> str:
    """Return the piece of a tall bracket for a row."""
    first, middle, last, central = tuple(_TALL.get(delimiter, delimiter * 4))
    if not row:
        piece = first
    elif row == rows - 1:
        piece = last
    else:
        piece = central if rows % 2 and row == rows // 2 else middle
    return piece
