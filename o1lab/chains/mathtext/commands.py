"""The commands of LaTeX that take arguments: fractions, roots, accents, alphabets, text, delimiters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from o1lab.chains.mathtext import symbols as known
from o1lab.chains.mathtext.grid import ENVIRONMENT, grid_runs
from o1lab.chains.mathtext.rendering import Argument, FormulaReader, Look, Run
from o1lab.chains.mathtext.spacing import blank_end, drawn, is_factor, is_simple

Result = tuple[list[Run], int] | None
"""The runs of a command, and where the source continues; None if its arguments are missing."""

Handler = Callable[[FormulaReader, str, int, int, int], Result]
"""Takes the formula, the command's name, where it begins, where its name ends, and where the formula ends."""

_LEFT = re.compile(r"(\(|\[|\||\\\{|\\lbrace|\\vert|\.)\s*(?=\\begin)")
_WORDS = re.compile(r"[^\\{}$~]+")


def _space(_: FormulaReader, name: str, at: int, after: int, __: int) -> Result:
    return [Run(known.SPACES[name], at, after, "wide" if "quad" in name else "space")], after


def _silent(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    if name in ("left", "middle", "right"):
        after = min(blank_end(formula.text, after), end)
        if name == "left" and (begun := _LEFT.match(formula.text, after, end)):
            opened = ENVIRONMENT.match(formula.text, begun.end(), end)
            if opened is not None:
                return grid_runs(formula, opened, end, outer=(at, begun[1]))
        if formula.text.startswith(".", after):
            return [Run("", at, after + 1)], after + 1
    elif after < end and formula.text[after].isspace():
        after += 1
    return [Run("", at, after)], after


def _dropped(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    for _ in range(known.DROPPED[name]):
        argument = formula.argument(after, end)
        if argument is None:
            return None
        after = argument.after
    return [Run("", at, after)], after


def _plain(formula: FormulaReader, _: str, at: int, after: int, end: int) -> Result:
    argument = formula.argument(after, end)
    if argument is None:
        return [Run("", at, after)], after
    inner = formula.sequence(argument.start, argument.stop)
    return [Run("", at, argument.start), *inner, Run("", argument.stop, argument.after, "close")], argument.after


def _with_argument(handle: Callable[[FormulaReader, str, int, Argument], list[Run]]) -> Handler:
    """Return the handler of commands with one argument; ``handle`` returns their runs, given that argument."""

    def handler(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
        argument = formula.argument(after, end)
        return None if argument is None else (handle(formula, name, at, argument), argument.after)

    return handler


@_with_argument
def _operator(formula: FormulaReader, _: str, at: int, argument: Argument) -> list[Run]:
    return [Run(drawn(formula.part(argument.start, argument.stop)), at, argument.after, "function")]


@_with_argument
def _text(formula: FormulaReader, name: str, at: int, argument: Argument) -> list[Run]:
    look: Look | None = "strong" if name in known.STRONG else "emphasis" if name in known.EMPHASIS else None
    if name in known.TEXT or name in ("textbf", *known.EMPHASIS):
        inner = _words(formula, argument.start, argument.stop)
    else:
        inner = formula.sequence(argument.start, argument.stop)
    inner = [run._replace(look=run.look or look) for run in inner]
    return [Run("", at, argument.start), *inner, Run("", argument.stop, argument.after, "close")]


def _words(formula: FormulaReader, at: int, end: int) -> list[Run]:
    """Return the runs of text inside a formula: words with their spaces, formulas between dollar signs, commands."""
    runs: list[Run] = []
    text = formula.text
    formula.depth += 1
    while at < end:
        if found := _WORDS.match(text, at, end):
            runs.append(Run(found[0].replace("\n", " "), at, found.end(), "text"))
            at = found.end()
        elif text[at] == "$" and (close := text.find("$", at + 1, end)) > 0:
            runs += [Run("", at, at + 1), *formula.sequence(at + 1, close), Run("", close, close + 1, "close")]
            at = close + 1
        elif text[at] in "{}":
            runs.append(Run("", at, at + 1, "" if text[at] == "{" else "close"))
            at += 1
        else:
            found_runs, at = formula.atom(at, end)
            runs += [run._replace(kind="text") if run.kind == "space" else run for run in found_runs]
    formula.depth -= 1
    return runs


def _fraction(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    top = formula.argument(after, end)
    bottom = formula.argument(top.after, end) if top else None
    if top is None or bottom is None:
        return None
    return fraction(formula, name.endswith("binom"), at, top, bottom), bottom.after


def fraction(formula: FormulaReader, is_binomial: bool, at: int, top: Argument, bottom: Argument) -> list[Run]:
    """Return the runs of a fraction or a binomial coefficient, which begins at ``at``."""
    above, below = formula.part(top.start, top.stop), formula.part(bottom.start, bottom.stop)
    if is_binomial:
        inner = [*above, Run(", ", top.stop, bottom.start), *below]
        return [Run("C(", at, top.start), *inner, Run(")", bottom.stop, bottom.after)]
    upper = ("", "") if is_factor(drawn(above)) else ("(", ")")
    lower = ("", "") if is_simple(drawn(below)) else ("(", ")")
    numbers = drawn(above).isdecimal() and drawn(below).isdecimal()
    return [
        Run(upper[0], at, top.start, "number-open" if numbers else "open"),
        *above,
        Run(f"{upper[1]}/{lower[0]}", top.stop, bottom.start, "done"),
        *below,
        Run(lower[1], bottom.stop, bottom.after, "shut"),
    ]


def _root(formula: FormulaReader, _: str, at: int, after: int, end: int) -> Result:
    degree = formula.option(after, end)
    argument = formula.argument(degree.after if degree else after, end)
    if argument is None:
        return None
    sign, inner = "√", formula.part(argument.start, argument.stop)
    if degree is not None:
        power = drawn(formula.part(degree.start, degree.stop))
        raised = [known.superscripts().get(char) for char in power]
        sign = {"2": "√", "3": "∛", "4": "∜"}.get(power) or (
            "".join(map(str, raised)) if all(raised) else f"[{power}]"
        ) + "√"
    text = drawn(inner)
    simple = is_simple(text) and not (set(text) & set("⁰¹²³⁴⁵⁶⁷⁸⁹") and len(text) > 2)
    return [
        Run(sign if simple else sign + "(", at, argument.start, "root-open" if simple else "done"),
        *inner,
        Run("" if simple else ")", argument.stop, argument.after, "root-shut" if simple else "done"),
    ], argument.after


def _accent(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    argument = formula.argument(after, end)
    if argument is None:
        return None
    text = drawn(formula.part(argument.start, argument.stop))
    if not text and name not in known.OVER_EACH:
        return None
    if name in known.OVER_EACH:
        mark = known.OVER_EACH[name]
        text = "".join(char if unicodedata.combining(char) else char + mark for char in text if char != " ") or "___"
    elif name == "not":
        text = unicodedata.normalize("NFC", text[0] + known.ACCENTS[name]) + text[1:]
        return [Run(text, at, argument.after, "relation")], argument.after
    else:
        text = unicodedata.normalize("NFC", text + known.ACCENTS[name])
    return [Run(text, at, argument.after)], argument.after


@_with_argument
def _alphabet(formula: FormulaReader, name: str, at: int, argument: Argument) -> list[Run]:
    text = drawn(formula.part(argument.start, argument.stop))
    return [Run("".join(known.letter_in(name, char) for char in text), at, argument.after)]


def _around(before: str, behind: str, look: Look | None = None) -> Handler:
    @_with_argument
    def handle(formula: FormulaReader, _: str, at: int, argument: Argument) -> list[Run]:
        inner = [run._replace(look=run.look or look) for run in formula.part(argument.start, argument.stop)]
        return [
            Run(before, at, argument.start, "done", look),
            *inner,
            Run(behind, argument.stop, argument.after, "done", look),
        ]

    return handle


def _stacked(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    """Return the runs of one text over or under another: the main one, then the other as a script."""
    first = formula.argument(after, end)
    second = formula.argument(first.after, end) if first else None
    if first is None or second is None:
        return None
    other, main = drawn(formula.part(first.start, first.stop)), drawn(formula.part(second.start, second.stop))
    table, mark = (known.subscripts(), "_") if name == "underset" else (known.superscripts(), "^")
    script = "".join(table[c] for c in other) if all(c in table for c in other) else f"{mark}({other})"
    kind = "relation" if main in known.RELATIONS else "function" if main in known.FUNCTIONS else ""
    return [Run(main + script, at, second.after, kind)], second.after


def _arrow(formula: FormulaReader, name: str, at: int, after: int, end: int) -> Result:
    option = formula.option(after, end)
    argument = formula.argument(option.after if option else after, end)
    if argument is None:
        return None
    text = drawn(formula.part(argument.start, argument.stop))
    left, right = ("←─", "─") if "left" in name else ("─", "─→")
    return [Run(f"{left}({text}){right}" if text else f"{left}{right}", at, argument.after, "relation")], argument.after


def _colored(formula: FormulaReader, _: str, at: int, after: int, end: int) -> Result:
    color = formula.argument(after, end)
    return _plain(formula, "", at, color.after, end) if color else None


@_with_argument
def _phantom(formula: FormulaReader, _: str, at: int, argument: Argument) -> list[Run]:
    text = " " * len(drawn(formula.part(argument.start, argument.stop)))
    return [Run(text, at, argument.after, "grid-cell")]


def _line_break(formula: FormulaReader, _: str, at: int, after: int, __: int) -> Result:
    if formula.multiline and formula.depth == 1:
        return [Run("", at, after, "grid-line")], after
    return [Run("; ", at, after, "done")], after


def _by_name() -> dict[str, Handler]:
    groups: list[tuple[Iterable[str], Handler]] = [
        (known.SPACES, _space),
        (known.SILENT, _silent),
        (known.DROPPED, _dropped),
        (known.PLAIN, _plain),
        (known.TEXT | known.STRONG | known.EMPHASIS, _text),
        (("operatorname",), _operator),
        (("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom"), _fraction),
        (("sqrt",), _root),
        (known.ACCENTS.keys() | known.OVER_EACH.keys(), _accent),
        (known.ALPHABETS, _alphabet),
        (("boxed", "fbox", "framebox"), _around("⟦", "⟧", "strong")),
        (("pmod",), _around(" (mod ", ")")),
        (("tag",), _around("   (", ")")),
        (("overset", "stackrel", "underset"), _stacked),
        (("xrightarrow", "xleftarrow"), _arrow),
        (("textcolor", "colorbox"), _colored),
        (("phantom", "hphantom", "vphantom"), _phantom),
        (("substack",), _plain),
        (("\\",), _line_break),
    ]
    return {name: handler for names, handler in groups for name in names}


HANDLERS = _by_name()
"""The handler of each command with arguments or without a symbol."""
