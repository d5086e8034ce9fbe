"""Drafts of chains that persons write: files that an editor and the writing screen share.

A draft is the text of the chain below a header, which also lists the lines of the thought: a hash of each, and the kind
of move if the writer marked it. An editor that changes lines therefore keeps the marks of the others. The file is
replaced atomically and synced at each save, so a killed program loses at most what it had not saved.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from o1lab.chains.parse import join, parse
from o1lab.chains.segmentation.moves import MOVE_OF_LETTER, Move, MoveKind, segment
from o1lab.errors import LabError, UsageError
from o1lab.files import write_text
from o1lab.paths import Lab, file_name
from o1lab.text import visible
from store.records import Problem, decode, encode

SCISSORS = "# ------------------------ >8 ------------------------"
_CUT = re.compile(rf"^{re.escape(SCISSORS)}[ \t\r]*$", re.MULTILINE)
_LINES = re.compile(r"^#lines(?P<lines>[^\n]*)$", re.MULTILINE)  # lines of the statement begin with "# "
_OPEN, _CLOSE = "<think>\n", "\n</think>\n\n"
_HEADER = """\
# Write the long thought between <think> and </think>: how you understand the problem, what you try, every doubt, every
# check, every dead end and how you return from it. Write the solution below </think>, with its answer in \\boxed{{}}.
# Lines above the cut are removed. If you write nothing below it, nothing is recorded.
#
# Problem {id}{gold}
#
{statement}
#
{lines}{scissors}
"""


class Line(NamedTuple):
    """One line of the thought, which is one move unless it is empty; ``kind`` is the writer's mark, if any."""

    text: str
    kind: MoveKind | None = None


@dataclass(frozen=True)
class Draft:
    """A chain that is being written."""

    lines: tuple[Line, ...] = ()
    solution: str = ""

    @property
    def thought(self) -> str:
        return "\n".join(line.text for line in self.lines)

    @property
    def raw(self) -> str:
        """The text of the trace."""
        return join(self.thought, self.solution, closed=True)

    @property
    def answer(self) -> str | None:
        """The final answer, as a trace of this text would have it."""
        found = parse(self.raw).answer_of(self.raw)
        return found.text if found else None

    def moves(self) -> list[Move]:
        """Return a move for each line of the thought that is not empty, without gaps.

        A line without a mark has the kind that the segmenter gives to its beginning.
        """
        bare = [line.text.strip() for line in self.lines]  # the segmenter looks for openings where lines begin
        found = segment("\n".join(bare))
        starts: list[tuple[int, MoveKind]] = []
        at = at_bare = 0
        for line, text in zip(self.lines, bare, strict=True):
            if text:
                kind = line.kind or next(move.kind for move in found if move.end > at_bare)
                starts.append((at if starts else 0, kind))
            at, at_bare = at + len(line.text) + 1, at_bare + len(text) + 1
        ends = [*(start for start, _ in starts[1:]), len(self.thought)][: len(starts)]
        return [Move(kind, start, end) for (start, kind), end in zip(starts, ends, strict=True)]

    def written(self, at: int, text: str, kind: MoveKind | None) -> Draft:
        """Return the draft with ``text`` as line ``at`` (or as a new line at the end), or without it if it is empty.

        Text of several lines becomes several moves.

        Raises:
            UsageError: the text contains a mark of thoughts.
        """
        check_line(text)
        new = tuple(Line(line.rstrip(), kind) for line in text.splitlines() if line.strip())
        return replace(self, lines=(*self.lines[:at], *new, *self.lines[at + 1 :]))


class DraftFile(NamedTuple):
    """A draft of the lab: its file, the beginning of its writer's name as in the file's name, and when it was saved."""

    problem_id: str
    writer: str
    path: Path
    saved_at: float


def check_line(text: str) -> None:
    """Check that a text can be part of a thought.

    Raises:
        UsageError: it contains a mark that opens or closes a thought.
    """
    parsed = parse(f"{_OPEN}{text}{_CLOSE}x")
    if parsed.thought_of(f"{_OPEN}{text}{_CLOSE}x") != text.strip() and text.strip():
        raise UsageError("A move cannot contain a mark of thoughts, such as </think>.", "Write it in other words.")


def draft_path(lab: Lab, problem_id: str, annotator: str) -> Path:
    """Return the file of the text while it is being written. No two annotators share one."""
    return lab.drafts / f"{problem_id}-{file_name(annotator)}.md"


def list_drafts(lab: Lab) -> list[DraftFile]:
    """Return the drafts of a lab, the latest first.

    Raises:
        LabError: the folder cannot be read.
    """
    try:
        found = [(path, path.stat().st_mtime) for path in lab.drafts.glob("*-*.md") if not path.name.startswith(".")]
    except OSError as error:
        raise LabError(f"The drafts in {lab.drafts} cannot be read: {error.strerror}.") from error
    named = [(path.stem.partition("-"), path, at) for path, at in found]
    files = [DraftFile(problem, writer, path, at) for (problem, _, writer), path, at in named]
    return sorted(files, key=lambda one: one.saved_at, reverse=True)


def template(problem: Problem, lines: str = "") -> str:
    """Return the initial content of the file; ``lines`` lists the lines of the thought."""
    # The indentation keeps a statement from looking like the cut.
    statement = "\n".join(f"#   {line}".rstrip() for line in visible(problem.statement).splitlines())
    gold = "" if problem.answer is None else f" (gold answer: {visible(problem.answer)!r})"
    header = _HEADER.format(id=problem.id, gold=gold, statement=statement, lines=lines, scissors=SCISSORS)
    return header + _OPEN + _CLOSE


def body_of(text: str) -> str:
    """Return what is below the cut of a file."""
    cut = _CUT.search(text)
    body = text[cut.end() if cut else 0 :]
    return body.removeprefix("\r").removeprefix("\n")


def read_draft(path: Path) -> tuple[Draft, bytes]:
    """Read a draft; its content identifies the version for :func:`save_draft`.

    Raises:
        LabError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
        text = decode(content)
    except FileNotFoundError:
        return Draft(), b""
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"The draft {path} cannot be read: {error}.", "Correct it in an editor, or move it.") from error
    return draft_of(text), content


def draft_of(text: str) -> Draft:
    """Return the draft in the content of a file."""
    body = body_of(text)
    close = body.find(_CLOSE)
    if body.startswith(_OPEN) and close >= 0 and body.count("</think>") == 1:
        thought, solution = body[len(_OPEN) : max(close, len(_OPEN))], body[close + len(_CLOSE) :]
    else:
        parsed = parse(body)
        thought, solution = parsed.thought_of(body), parsed.solution_of(body)
    lines = thought.split("\n") if thought else []
    kinds = _kinds(text, lines)
    return Draft(tuple(map(Line, lines, kinds)), solution.rstrip("\n"))


def is_by_lines(text: str) -> bool:
    """Whether the writing screen has saved the file, so that each line of the thought is a move."""
    return _listed(text) is not None


def save_draft(path: Path, problem: Problem, draft: Draft, before: bytes) -> bytes:
    """Save a draft; it is on disk when this returns.

    Args:
        path: the file.
        problem: the problem, for the header.
        draft: the draft.
        before: the content that the file had when this program read or saved it last.

    Returns:
        The new content.

    Raises:
        LabError: the file cannot be written, or another program has changed it, and it is left as it is.
    """
    try:
        now = path.read_bytes() if path.exists() else b""
        if now != before:
            raise LabError(
                f"Another program has changed the draft {path}.",
                "Copy what is not saved, leave this screen and open the draft again.",
            )
        head = template(problem, f"#lines {' '.join(map(_tag, draft.lines))}\n").removesuffix(_OPEN + _CLOSE)
        text = f"{head}{_OPEN}{draft.thought}{_CLOSE}{draft.solution}\n"
        write_text(path, text)
    except OSError as error:
        raise LabError(f"Cannot write the draft {path}: {error.strerror}.", "Check the disk of the lab.") from error
    return encode(text)


def _tag(line: Line) -> str:
    return f"{line.kind.letter if line.kind else ''}:{_hash(line.text)}"


def _hash(text: str) -> str:
    return hashlib.sha256(encode(text)).hexdigest()[:8]


def _listed(text: str) -> str | None:
    """Return the list of lines in the header of a file; None without one."""
    cut = _CUT.search(text)
    listed = _LINES.search(text, 0, cut.start()) if cut else None
    return listed["lines"] if listed else None


def _kinds(text: str, lines: Sequence[str]) -> list[MoveKind | None]:
    """Return the marked kind of each line; of changed lines it is not known."""
    kinds: list[MoveKind | None] = [None] * len(lines)
    tags = [tag.partition(":") for tag in (_listed(text) or "").split()]
    matcher = SequenceMatcher(None, [tag[2] for tag in tags], [_hash(line) for line in lines], autojunk=False)
    for old, new, size in matcher.get_matching_blocks():
        for at in range(size):
            kinds[new + at] = MOVE_OF_LETTER.get(tags[old + at][0])
    return kinds
