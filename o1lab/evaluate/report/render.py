"""Renders a table for the terminal, as Markdown, LaTeX, CSV and JSON. All text is escaped for its format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Text

from o1lab.evaluate.report.cells import NOTHING, Cell, Column, Section, Table, TableRow, Verdict, shown
from o1lab.evaluate.stats.metrics import rounded_ends
from o1lab.text import one_line

FORMATS = ("terminal", "md", "latex", "csv", "json")
WIDTH = 80

_GAP = 2
_LONGEST = 400  # maximum characters of a name
_NARROWEST = 8
_FORMULA = ("=", "+", "-", "@")
_STYLES: dict[Verdict, str] = {"better": "bold green", "worse": "bold red"}
_MD = re.compile(r"([\\`*_\[\]<>|~&#$])")
TEX_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_TEX = {
    **TEX_ESCAPES, "\0": "{}", "→": r"$\to$", "▲": r"$\bigtriangleup$", "▼": r"$\bigtriangledown$",
    "–": "--", "−": "$-$", "·": r"$\cdot$",
}  # fmt: skip


def markdown(table: Table) -> str:
    """Return the table as GitHub Markdown: a heading and a table per section, and the notes as a list."""
    lines = [f"## {_md(table.title)}"]
    head = [table.first, *(column.title for column in table.columns)]
    rule = ["---", *("---" if column.kind == "text" else "---:" for column in table.columns)]
    for section in table.sections:
        lines += ["", f"### {_md(section.title)}", "", _line(head), _line(rule)]
        for row in section.rows:
            cells = [_md(" ".join(part for part in shown(one, row.cell(one)) if part)) for one in table.columns]
            lines.append(_line([_md(label(row)), *cells]))
    if table.notes:
        lines += ["", *(f"- {_md(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """Return a LaTeX table environment that uses booktabs, with a heading per section."""
    width = len(table.columns) + 1
    places = "l" + "".join("l" if column.kind == "text" else "r" for column in table.columns)
    lines = [
        "% needs \\usepackage{booktabs}; names that are not ASCII need XeLaTeX or LuaLaTeX and a font that has them",
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_tex(table.title)}}}",
        rf"\begin{{tabular}}{{{places}}}",
        r"\toprule",
        " & ".join([_tex(table.first), *(_tex(column.title) for column in table.columns)]) + r" \\",
    ]
    for section in table.sections:
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_tex(section.title)}}}}} \\"]
        for row in section.rows:
            cells = [_tex_cell(column, row.cell(column)) for column in table.columns]
            lines.append(" & ".join([_tex(label(row)), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        notes = " \\\\\n".join(_tex(note) for note in table.notes)
        lines.append("\\par\\smallskip\n\\begin{minipage}{\\linewidth}\\scriptsize\\raggedright\n" + notes)
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def as_csv(table: Table) -> str:
    """Return the table as CSV: a line per row, a field per figure, and its interval in two more; without the notes.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    head = ["section", table.first, "published"]
    ranged = {
        column.key
        for column in table.columns
        if any(row.cell(column).interval is not None for section in table.sections for row in section.rows)
    }
    for column in table.columns:
        head += [column.key, *([f"{column.key}_low", f"{column.key}_high"] if column.key in ranged else [])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for section in table.sections:
        for row in section.rows:
            fields: list[object] = [_plain(section.title), _plain(row.label), str(row.published).lower()]
            for column in table.columns:
                fields += _fields(row.cell(column), ranged=column.key in ranged)
            writer.writerow(fields)
    return text.getvalue()


def _fields(cell: Cell, *, ranged: bool) -> list[object]:
    """Return value, and if ``ranged`` the ends of the interval; empty where there is none."""
    value = cell.as_json()["value"]
    shown_value = " → ".join(map(str, value)) if isinstance(value, list) else value
    if isinstance(shown_value, str):
        shown_value = _plain(shown_value)
    return [shown_value, *(rounded_ends(cell.interval) or ("", "") if ranged else ())]


def _plain(text: str) -> str:
    line = one_line(text, _LONGEST * 10)
    return f"'{line}" if line.startswith(_FORMULA) else line


def as_json(table: Table) -> str:
    """Return the table as an indented JSON object."""
    return json.dumps(table.as_json(), ensure_ascii=False, indent=2) + "\n"


def terminal(table: Table, width: int = WIDTH) -> Text:
    """Return styled lines of at most ``width`` cells. Columns that do not fit go into a block below; nothing is cut."""
    text = Text(no_wrap=True)
    _add(text, table.title, width, "bold")
    for section in table.sections:
        text.append("\n")
        _add(text, section.title, width, "bold underline")
        _section(text, table, section, width)
    if table.notes:
        text.append("\n")
    for note in table.notes:
        for number, line in enumerate(fold(note, width - _GAP)):
            text.append(("" if number else "· ").ljust(_GAP) + line + "\n", "dim")
    text.rstrip()
    return text


def label(row: TableRow) -> str:
    """Return a row's label, marked if the row is published."""
    return f"{row.label} (published)" if row.published else row.label


def fold(text: str, width: int) -> list[str]:
    """Wrap ``text``, with control characters made visible, to at most ``width`` cells; long words are split."""
    width = max(width, 2)
    lines, line = [], ""
    for word in one_line(text, _LONGEST * 10).split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *whole, line = chop_cells(word, width) or [""]
        lines += whole
    return [*lines, line]


# The terminal.


def _section(text: Text, table: Table, section: Section, width: int) -> None:
    labels = [label(row) for row in section.rows]
    longest = max((cell_len(one_line(one, _LONGEST)) for one in [table.first, *labels]), default=0)
    first = max(min(longest, width // 3), min(longest, _NARROWEST))
    widest = max(width - first - _GAP, 2)
    columns = _columns(table, section)
    widths = {column.key: min(_width(section, column), widest) for column in columns}
    for number, block_columns in enumerate(_blocks(columns, widths, width - first)):
        if number:
            text.append("\n")
        block = _Block(first, block_columns, [widths[column.key] for column in block_columns])
        heads = [[(line, "dim") for line in fold(column.title, widths[column.key])] for column in block_columns]
        text.append_text(block.row(fold(table.first, first), heads))
        for row in section.rows:
            cells = [_lines(column, row.cell(column), widths[column.key]) for column in block_columns]
            text.append_text(block.row(fold(label(row), first), cells, "italic" if row.mean else ""))


@dataclass(frozen=True, slots=True)
class _Block:
    """Columns that are printed side by side, after the labels."""

    first: int  # width of the labels
    columns: Sequence[Column]
    widths: Sequence[int]

    def row(self, names: Sequence[str], cells: Sequence[Sequence[tuple[str, str]]], style: str = "") -> Text:
        """Return the lines of a row, including line ends; each cell is a list of (line, style)."""
        text = Text()
        for number in range(max(len(names), *(len(cell) for cell in cells))):
            line = Text(names[number] if number < len(names) else "", style)
            end = self.first
            for column, width, cell in zip(self.columns, self.widths, cells, strict=True):
                part, part_style = cell[number] if number < len(cell) else ("", "")
                begin = end + _GAP + (0 if column.kind == "text" else width - cell_len(part))
                if part:
                    line.append(" " * (begin - cell_len(line.plain)))
                    line.append(part, part_style)
                end += _GAP + width
            text.append_text(line)
            text.append("\n")
        return text


def _blocks(columns: Sequence[Column], widths: dict[str, int], room: int) -> list[list[Column]]:
    blocks: list[list[Column]] = []
    left = 0
    for column in columns:
        needed = widths[column.key] + _GAP
        if not blocks or needed > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks


def _columns(table: Table, section: Section) -> Sequence[Column]:
    """Return the columns of a section: all, or only the filled ones if all its rows are published."""
    if not all(row.published for row in section.rows):
        return table.columns
    return [one for one in table.columns if any(row.cell(one) != NOTHING for row in section.rows)]


def _width(section: Section, column: Column) -> int:
    cells = [row.cell(column) for row in section.rows]
    texts = [column.title, *(part for cell in cells for part in shown(column, cell))]
    return max(cell_len(one_line(part, _LONGEST)) for part in texts)


def _lines(column: Column, cell: Cell, width: int) -> list[tuple[str, str]]:
    """Return the (line, style) pairs of a cell: the value, then the interval."""
    value, interval = shown(column, cell)
    style = _STYLES.get(cell.verdict, "") if cell.verdict else ""
    lines = [(line, style) for line in fold(value, width)]
    return lines + [(line, "dim") for line in fold(interval, width) if line]


def _add(text: Text, words: str, width: int, style: str) -> None:
    for line in fold(words, width):
        text.append(line, style)
        text.append("\n")


# Markdown and LaTeX.


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    return _MD.sub(r"\\\1", one_line(text, _LONGEST * 10))


def _tex(text: str) -> str:
    line = one_line(text, _LONGEST * 10).replace("--", "-\0-").replace("--", "-\0-")  # no ligature to a dash
    escaped = "".join(_TEX.get(letter, letter) for letter in line)
    # After the \\ of the previous line these two would be parsed as its argument.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def _tex_cell(column: Column, cell: Cell) -> str:
    value, interval = shown(column, cell)
    text, interval = (re.sub(r"(?<!\w)-(?=\d)", "$-$", _tex(part)) for part in (value, interval))
    if cell.verdict in _STYLES:
        text = rf"\textbf{{{text}}}"
    return text + (rf" {{\scriptsize {interval}}}" if interval else "")


RENDERERS: dict[str, Callable[[Table], str]] = {
    "terminal": lambda table: terminal(table).plain + "\n",
    "md": markdown,
    "latex": latex,
    "csv": as_csv,
    "json": as_json,
}
