"""Formulas and Markdown found in text, and the whole text rendered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.cells import cell_len

from o1lab.chains.mathtext import symbols as known
from o1lab.chains.mathtext.formula import Formula
from o1lab.chains.mathtext.grid import ENVIRONMENT
from o1lab.chains.mathtext.rendering import Look, Rendering, Run
from o1lab.chains.mathtext.spacing import spaced

_LONGEST_INLINE = 600
_LONGEST_DISPLAY = 6000
"""Code points in which a formula must end; without its end the delimiter is text."""

_PART = 8000
"""Code points after which a part ends at the next empty line."""

_INDENT = "  "
"""Before a formula on lines of its own."""

_CODE_BLOCK = re.compile(
    r"^[ \t]*(```|~~~)[^\n]*\n(?:.*?\n)?[ \t]*\1[ \t]*(?=\n|\Z)"
    r"|\[asy\](?:(?!\[asy\]).)*?\[/asy\]|\\begin\{asy\}(?:(?!\\begin).)*?\\end\{asy\}",
    re.MULTILINE | re.DOTALL,
)
_OPENING = re.compile(
    r"(?P<code>`+)|(?P<dollars>\$\$?)|\\(?P<bracket>[\[(])|(?P<environment>\\begin\s*\{)|\\(?P<escaped>[$%&#_*])"
    r"|(?P<command>\\[A-Za-z]{2,})|(?P<strong>\*\*)|(?P<emphasis>(?<![\w*])\*(?=[^\s*]))"
    r"|(?P<power>(?<=[\w)\]])\^)|^(?P<heading>\#{1,6}[ \t]+)|^(?P<bullet>[ \t]*[-*+][ \t]+)",
    re.MULTILINE,
)
_POWER = re.compile(r"\^(?:\{[^{}\n]{1,40}\}|[-−]?\d+|\([-−+\w/ ]{1,20}\)|[A-Za-z](?!\w)|\\circ)")
_STRONG = re.compile(r"\*\*(?=[^\s*])((?:[^*\n]|\*(?!\*)){1,400}?)(?<=\S)\*\*")
_EMPHASIS = re.compile(r"\*(?=[^\s*])([^*\n]{1,200}?)(?<=[^\s*])\*(?![\w*])")
_MATHEMATICAL = re.compile(r"\\[A-Za-z]|[\^_=]")
_EMPTY_LINE = re.compile(r"\n[ \t]*\n")


class Part(NamedTuple):
    """A part of a text that is rendered by itself: code points [start, stop)."""

    start: int
    stop: int
    is_code: bool


def parts_of(text: str) -> Iterator[Part]:
    """Yield the parts of a text: code blocks, and the text between them, cut at an empty line when it is long."""
    at = 0
    for block in _CODE_BLOCK.finditer(text):
        yield from _cut(text, at, block.start())
        yield Part(block.start(), block.end(), True)
        at = block.end()
    yield from _cut(text, at, len(text))


def _cut(text: str, at: int, end: int) -> Iterator[Part]:
    while end - at > _PART:
        empty = _EMPTY_LINE.search(text, at + _PART, end)
        stop = empty.end() if empty else end
        yield Part(at, stop, False)
        at = stop
    if at < end:
        yield Part(at, end, False)


def render(text: str) -> Rendering:
    """Return ``text`` with its LaTeX drawn as Unicode and its Markdown styled.

    Text that is not understood, and code blocks, are drawn as source.
    """
    return render_parts(text, parts_of(text))


def render_parts(text: str, parts: Iterator[Part] | list[Part]) -> Rendering:
    """Return the rendering of ``text``, of which only the given ``parts`` are rendered and the rest is unchanged."""
    markup = _Markup(text)
    for part in parts:
        markup.keep(part.start)
        if part.is_code:
            markup.keep(part.stop, "code")
        else:
            markup.scan(part.stop)
    markup.keep(len(text))
    return markup.out.finish()


class _Markup:
    """Renders a text from its beginning to its end.

    Attributes:
        at: The code point of the text that is next.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out = Rendering(text)
        self.look: Look | None = None
        self._handlers: dict[str, Callable[[re.Match[str], int], bool]] = {
            "code": self.code, "dollars": self.dollars, "bracket": self.bracket, "environment": self.environment,
            "escaped": self.escaped, "command": self.command, "strong": self.strong, "emphasis": self.emphasis,
            "power": self.power, "heading": self.heading, "bullet": self.bullet,
        }  # fmt: skip

    def keep(self, stop: int, look: Look | None = None) -> None:
        """Draw the text up to ``stop`` unchanged."""
        if stop > self.at:
            self.out.add(self.text[self.at : stop], stop - self.at, look or self.look)
            self.at = stop

    def hide(self, stop: int, *, closing: bool = False) -> None:
        """Draw nothing for the text up to ``stop``."""
        if closing:
            self.out.close(stop - self.at)
        else:
            self.out.add("", stop - self.at)
        self.at = stop

    def scan(self, end: int) -> None:
        """Render the text up to ``end``; what a handler declines it has not drawn."""
        position = self.at
        while (found := _OPENING.search(self.text, position, end)) is not None:
            done = self._handlers[found.lastgroup or ""](found, end)
            position = self.at if done else found.end()
        self.keep(end)

    def inside(self, start: int, stop: int, look: Look) -> None:
        """Render the text up to ``stop``, from ``start`` on with a look."""
        self.hide(start)
        outer, self.look = self.look, self.look or look
        self.scan(stop)
        self.look = outer

    # What may begin.

    def code(self, found: re.Match[str], end: int) -> bool:
        close = self.text.find(found[0], found.end(), min(end, found.end() + _LONGEST_INLINE))
        if close < 0 or "\n\n" in self.text[found.end() : close]:
            return False
        self.keep(close + len(found[0]), None) if self.look else self._code(found.start(), close + len(found[0]))
        return True

    def _code(self, start: int, stop: int) -> None:
        self.keep(start)
        self.keep(stop, "code")

    def dollars(self, found: re.Match[str], end: int) -> bool:
        text, start = self.text, found.end()
        if found[0] == "$$":
            close = text.find("$$", start, min(end, start + _LONGEST_DISPLAY))
            if close < 0 or _EMPTY_LINE.search(text, start, close):
                return False
            return self.formula(found.start(), start, close, close + 2, display=True)
        if found.start() and text[found.start() - 1] in "\\$":
            return False
        limit = min(end, start + _LONGEST_INLINE)
        close = text.find("$", start, limit)
        while close > 0 and (text[close - 1] == "\\" or text.count("{", start, close) > text.count("}", start, close)):
            close = text.find("$", close + 1, limit)  # an escaped one, or a formula inside a text inside the formula
        if close < 0 or text[close + 1 : close + 2].isdigit():
            return False
        spaced_out = text[start].isspace() or text[close - 1].isspace()
        if spaced_out and not _MATHEMATICAL.search(text, start, close):
            return False  # between two prices
        if text.count("\n", start, close) > 2 or _EMPTY_LINE.search(text, start, close):
            return False
        return self.formula(found.start(), start, close, close + 1, display=False)

    def bracket(self, found: re.Match[str], end: int) -> bool:
        display = found["bracket"] == "["
        limit = min(end, found.end() + (_LONGEST_DISPLAY if display else _LONGEST_INLINE))
        close = self.text.find("\\]" if display else "\\)", found.end(), limit)
        while close > 0 and self.text[close - 1] == "\\":  # \\] is a line break and a bracket
            close = self.text.find("\\]" if display else "\\)", close + 1, limit)
        if close < 0 or _EMPTY_LINE.search(self.text, found.end(), close):
            return False
        return self.formula(found.start(), found.end(), close, close + 2, display=display)

    def environment(self, found: re.Match[str], end: int) -> bool:
        begun = ENVIRONMENT.match(self.text, found.start(), end)
        if begun is None:
            return False
        close = self.text.find(f"\\end{{{begun[1]}{begun[2]}}}", begun.end(), min(end, begun.end() + _LONGEST_DISPLAY))
        if close < 0:
            return False
        stop = close + len(f"\\end{{{begun[1]}{begun[2]}}}")
        return self.formula(found.start(), found.start(), stop, stop, display=True)

    def escaped(self, found: re.Match[str], _: int) -> bool:
        self.keep(found.start())
        self.hide(found.start() + 1)
        self.keep(found.end())
        return True

    def command(self, found: re.Match[str], end: int) -> bool:
        name = found[0][1:]
        takes = name in _BARE and self.text.startswith(("{", "["), found.end())
        if not takes and name not in known.symbols():
            return False
        line = self.text.find("\n", found.end(), end)
        formula = Formula(self.text, line if line >= 0 else end, bare=True)
        runs, after = formula.atom(found.start(), formula.end)
        if after == found.end() and runs[0].text == found[0]:
            return False
        while after < formula.end and self.text[after] in "^_":
            more, after = formula.atom(after, formula.end)
            runs += more
        around = self.text[max(found.start() - 1, 0) : found.start()], self.text[after : after + 1]
        return self.draw(found.start(), spaced(runs, around=around), after)

    def power(self, found: re.Match[str], end: int) -> bool:
        script = _POWER.match(self.text, found.start(), end)
        if script is None:
            return False
        runs, after = Formula(self.text, script.end()).atom(found.start(), script.end())
        return runs[0].text[0] != "^" and self.draw(found.start(), spaced(runs), after)

    def strong(self, found: re.Match[str], end: int) -> bool:
        match = _STRONG.match(self.text, found.start(), end)
        if match is None:
            return False
        self.keep(found.start())
        self.inside(match.start(1), match.end(1), "strong")
        self.hide(match.end(), closing=True)
        return True

    def emphasis(self, found: re.Match[str], end: int) -> bool:
        match = _EMPHASIS.match(self.text, found.start(), end)
        if match is None or not any(char.isalpha() for char in match[1]):
            return False
        self.keep(found.start())
        self.inside(match.start(1), match.end(1), "emphasis")
        self.hide(match.end(), closing=True)
        return True

    def heading(self, found: re.Match[str], end: int) -> bool:
        self.keep(found.start())
        line = self.text.find("\n", found.end(), end)
        self.inside(found.end(), line if line >= 0 else end, "heading")
        return True

    def bullet(self, found: re.Match[str], _: int) -> bool:
        mark = found.start() + len(found[0]) - len(found[0].lstrip())
        self.keep(mark)
        self.out.add("•", 1, self.look)
        self.at = mark + 1
        self.keep(found.end())
        return True

    # Formulas.

    def draw(self, start: int, runs: list[Run], stop: int) -> bool:
        self.keep(start)
        if self.look:
            runs = [run._replace(look=run.look or self.look) for run in runs]
        self.out.extend(runs)
        self.at = stop
        return True

    def formula(self, opened: int, start: int, close: int, stop: int, *, display: bool) -> bool:
        """Draw the formula [start, close), whose delimiters begin at ``opened`` and end at ``stop``."""
        if not self.text[start:close].strip():
            return False
        self.keep(opened)
        if display:
            line = self.text.rfind("\n", 0, opened) + 1
            alone = not self.text[line:opened].strip()
            blank = len(self.text[start:close]) - len(self.text[start:close].lstrip())
            opening = (
                [Run(_INDENT if alone else "\n" + _INDENT, opened, start + blank)] if start + blank > opened else []
            )
            column = len(_INDENT) if opening else 0
            if alone or not opening:
                column += cell_len(self.text[line:opened])
            start += blank
        else:
            opening, column = [Run("", opened, start)] if start > opened else [], 0
        formula = Formula(self.text, close, multiline=display)
        runs = [*opening, *spaced(formula.sequence(start, close), column)]
        while display and len(runs) > 1 and not runs[-1].text.strip():
            last = runs.pop()
            close = last.start
        if stop > close:
            runs.append(Run("", close, stop, "close"))
        return self.draw(opened, runs, stop)


_BARE = frozenset().union(
    ("frac", "dfrac", "tfrac", "cfrac", "sqrt", "binom", "dbinom", "boxed", "fbox", "operatorname", "pmod"),
    ("mathrm", "mathit", *known.ALPHABETS),
    *(known.TEXT, known.STRONG, known.EMPHASIS, known.ACCENTS, known.OVER_EACH),
)
"""Commands with an argument that are read outside formulas too."""
