"""Case studies: one item with the answers before and after, and the spans that annotators labelled, ready to print.

As in Figures 3 to 7 of the paper. All text is escaped for its format, so that model output cannot act on the page.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from o1lab.errors import UsageError
from o1lab.evaluate.report.render import TEX_ESCAPES
from o1lab.text import one_line, visible
from store import annotations as annotation_log
from store import evaluations, ratings
from store.evaluations import Evaluation, Turn
from store.sqlite import Database


class Labelled(NamedTuple):
    """A labelled span of a text, in code points, end excluded."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Part:
    """A section of an answer; ``role`` is user, thought or answer."""

    role: str
    text: str
    spans: tuple[Labelled, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One model's answer and its score."""

    evaluation_id: str
    model: str
    outcome: str
    scorer: str
    reason: str
    answer: str | None
    output_tokens: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One item with the answers before and after."""

    suite: str
    item: str
    question: str
    gold: tuple[str, ...]
    before: Side
    after: Side

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in order of appearance."""
        sides = (self.before, self.after)
        return tuple(dict.fromkeys(span.label for side in sides for part in side.parts for span in part.spans))


def case(db: Database, before: str, after: str, item: str, *, sample: int = 0) -> Case:
    """Return the case study of one item.

    Args:
        db: the lab's database.
        before: the id of the evaluation before, or its prefix.
        after: the id of the evaluation after, or its prefix.
        item: the id of the item.
        sample: which of the item's samples.

    Raises:
        NotFoundError: an evaluation, the item or its sample does not exist.
        UsageError: the item differs between the two evaluations.
    """
    one, other = evaluations.get(db, before), evaluations.get(db, after)
    if one.items_hash != other.items_hash and evaluations.item(db, one.id, item) != evaluations.item(
        db, other.id, item
    ):
        raise UsageError(
            f"The item '{item}' differs between {one.id} and {other.id}, so the answers cannot be compared.",
            "Choose two evaluations of the same version of a suite.",
        )
    row = evaluations.item(db, one.id, item)
    sides = [_side(db, side, item, sample) for side in (one, other)]
    return Case(one.suite_label, item, row.question, row.gold, sides[0], sides[1])


def _side(db: Database, evaluation: Evaluation, item: str, number: int) -> Side:
    seq = evaluations.find_sample(db, evaluation.id, item, number)
    _, one = evaluations.sample(db, seq)
    score = next((score for score in evaluations.scores_of(db, seq) if score.scorer == evaluation.scorer), None)
    outcome = one.state if one.state != "complete" else score.outcome if score else "unscored"
    trace_id = ratings.trace_of(db, seq)
    spans = [] if trace_id is None else [record for record in annotation_log.of_trace(db, trace_id) if record.span]
    found = [Labelled(*record.span, record.value) for record in spans if record.span]
    reason = one.reason if one.state != "complete" else score.reason if score else ""
    return Side(
        evaluation.id, evaluation.model, outcome, evaluation.scorer, reason, score.answer if score else None,
        one.output_tokens, tuple(_parts(one.turns, found)),
    )  # fmt: skip


def _parts(turns: Sequence[Turn], spans: Sequence[Labelled]) -> Iterable[Part]:
    """Yield the sections of all turns. Spans belong to the thought of the last turn, or else to its answer."""
    for number, turn in enumerate(turns):
        if number:
            yield Part("user", turn.user)
        own = tuple(sorted(spans)) if number == len(turns) - 1 else ()
        if turn.thought:
            yield Part("thought", turn.thought, own)
        if turn.answer:
            yield Part("answer", turn.answer, () if turn.thought else own)


# Marking.


class Piece(NamedTuple):
    """A piece of text with the labels that cover it; ``closing`` are the labels that end with it."""

    text: str
    labels: tuple[str, ...]
    closing: tuple[str, ...]


def pieces(part: Part) -> list[Piece]:
    """Split a text at the ends of its spans, which may overlap. The pieces joined are the text."""
    size = len(part.text)
    spans = [Labelled(max(one.start, 0), min(one.end, size), one.label) for one in part.spans]
    spans = [one for one in spans if one.start < one.end]
    cuts = sorted({0, size, *(one.start for one in spans), *(one.end for one in spans)})
    return [
        Piece(
            part.text[start:end],
            tuple(dict.fromkeys(one.label for one in spans if one.start <= start and end <= one.end)),
            tuple(dict.fromkeys(one.label for one in spans if one.end == end)),
        )
        for start, end in pairwise(cuts)
    ]


def verdict(side: Side) -> str:
    """Return outcome, scorer, answer and tokens as a phrase."""
    answer = f", answer {one_line(side.answer, 60)}" if side.answer else ""
    tokens = f", {side.output_tokens:,} tokens"
    return f"{side.outcome} by {side.scorer}{answer}{tokens}"


_TITLES = {"user": "User", "thought": "Thought", "answer": "Answer"}


# Markdown.

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$&:=\"'^])")


def as_markdown(one: Case) -> str:
    """Return a Markdown page. Labelled spans are bold, followed by their label in brackets."""
    name = one_line(f"{one.item}, {one.suite}", 200)
    lines = [f"# {_md(name)}", "", "## Question", "", _quoted(_md(one.question)), ""]
    if one.gold:
        lines += [f"Gold answer: {_md(', '.join(one.gold))}", ""]
    for title, side in (("Before", one.before), ("After", one.after)):
        lines += [f"## {title}: {_md(side.model)}", "", f"{_md(verdict(side))}", ""]
        for part in side.parts:
            lines += [f"### {_TITLES[part.role]}", "", _quoted(_marked(part, _md_piece)), ""]
    if one.labels:
        lines += [f"Labels: {', '.join(map(_md, one.labels))}", ""]
    return "\n".join(lines)


def _md(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", visible(text)).replace("<", "&lt;").replace(">", "&gt;")


def _md_piece(piece: Piece) -> str:
    text = _md(piece.text)
    if not piece.labels:
        return text
    # Emphasis must not begin or end with white space, nor span lines.
    lines = [re.sub(r"^(\s*)(.*?)(\s*)$", r"\1**\2**\3", line) if line.strip() else line for line in text.split("\n")]
    tail = "".join(f" ⟦{_md(label)}⟧" for label in piece.closing)
    return "\n".join(lines) + tail


def _quoted(text: str) -> str:
    lines = (re.sub(r"^[ \t]+", lambda found: "&nbsp;" * len(found[0]), line) for line in text.split("\n"))
    return "\n".join(f"> {line}  " if line.strip() else ">" for line in lines)  # two spaces keep the line break


# HTML.

_STYLE = """
body { font: 15px/1.5 Georgia, serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid #ccc; padding-left: .8rem; }
mark { background: #ffe9a8; } mark + sup, sup { font: bold 10px sans-serif; color: #a33; }
h3 { font: bold 12px sans-serif; color: #555; text-transform: uppercase; margin: 1rem 0 .2rem; }
@media (max-width: 50rem) { .pair { display: block; } }
"""


def as_html(one: Case) -> str:
    """Return a self-contained HTML page without scripts. Labelled spans are marked."""
    name = one_line(f"{one.item}, {one.suite}", 200)

    def text(given: str) -> str:
        return html.escape(visible(given))

    def block(part: Part) -> str:
        return f'<h3>{_TITLES[part.role]}</h3><div class="text">{_marked(part, _html_piece)}</div>'

    sides = "".join(
        f"<section><h2>{title}: {text(side.model)}</h2><p>{text(verdict(side))}</p>{''.join(map(block, side.parts))}"
        "</section>"
        for title, side in (("Before", one.before), ("After", one.after))
    )
    gold = f"<p>Gold answer: {text(', '.join(one.gold))}</p>" if one.gold else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(name)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{text(name)}</h1>"
        f'<h2>Question</h2><div class="text">{text(one.question)}</div>{gold}<div class="pair">{sides}</div>'
        "</body></html>\n"
    )


def _html_piece(piece: Piece) -> str:
    text = html.escape(visible(piece.text))
    tail = "".join(f"<sup>{html.escape(visible(label))}</sup>" for label in piece.closing)
    return (
        f'<mark title="{html.escape(visible(", ".join(piece.labels)))}">{text}</mark>{tail}' if piece.labels else text
    )


# LaTeX.

_LATEX = str.maketrans({**TEX_ESCAPES, "'": r"\textquotesingle{}", "-": r"{-}", "\t": r"\quad{}"})


def as_latex(one: Case) -> str:
    """Return a LaTeX figure; its first lines name the packages it needs."""
    name = one_line(f"{one.item}, {one.suite}", 200)
    lines = [
        "% Needs: \\usepackage{fontspec} (XeLaTeX or LuaLaTeX), \\usepackage{textcomp},",
        "% \\usepackage{xcolor}, \\usepackage[breakable]{tcolorbox}.",
        "\\providecolor{caselabel}{HTML}{A33333}\\providecolor{casemark}{HTML}{9A6A00}",
        f"\\begin{{tcolorbox}}[breakable,title={{{_tex(name)}}}]",
        "\\textbf{Question.} " + _tex(one.question),
    ]
    if one.gold:
        lines.append(f"\\par\\textbf{{Gold answer.}} {_tex(', '.join(one.gold))}")
    for title, side in (("Before", one.before), ("After", one.after)):
        lines += [
            "\\tcblower" if title == "Before" else "\\par\\medskip\\hrule\\medskip",
            f"\\textbf{{{title}: {_tex(side.model)}}} \\emph{{({_tex(verdict(side))})}}",
        ]
        for part in side.parts:
            lines.append(f"\\par\\textbf{{{_TITLES[part.role]}.}} " + _marked(part, _tex_piece))
    return "\n".join([*lines, "\\end{tcolorbox}", ""])


def _tex(text: str) -> str:
    return re.sub(r"\n+", r"\\par ", visible(text).translate(_LATEX))


def _tex_piece(piece: Piece) -> str:
    text = _tex(piece.text)
    tail = "".join(f"\\textsuperscript{{\\color{{caselabel}}{_tex(label)}}}" for label in piece.closing)
    return f"{{\\color{{casemark}}\\bfseries {text}}}{tail}" if piece.labels else text


def _marked(part: Part, shown: Callable[[Piece], str]) -> str:
    return "".join(map(shown, pieces(part)))


FORMATS: dict[str, Callable[[Case], str]] = {".md": as_markdown, ".html": as_html, ".tex": as_latex}


def write(one: Case, path: Path) -> None:
    """Write a case study atomically, in the format of the file's suffix.

    Raises:
        UsageError: the suffix is unknown, or the file cannot be written.
    """
    from o1lab.files import atomic_write

    shown = FORMATS.get(path.suffix)
    if shown is None:
        raise UsageError(f"The suffix of {path.name} is not a known format.", f"Use one of {', '.join(FORMATS)}.")
    try:
        with atomic_write(path) as file:
            file.write(shown(one))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error
