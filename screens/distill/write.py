"""Writing a chain by hand: the problem, the moves written so far, the line being typed, the solution and its verdict.

The draft is saved at every line, and a line shows as saved only when it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.timer import Timer
from textual.widgets import Static, TextArea

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.chains.verify import Verdict, VerifierPool
from o1lab.distill.drafts import Draft, draft_path, read_draft, save_draft
from o1lab.distill.handwritten import check_complete, record
from o1lab.errors import UsageError
from o1lab.ingest.verifying import verify_pairs
from o1lab.paths import assets_dir
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import ConfirmDialog, PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import PlainArea
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.reader.document import ReaderDocument, Segment, Sign
from o1lab.widgets.rendered import rendered_text
from o1lab.widgets.text_pane import TallText
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task, words_of
from screens.base.writer import Writer
from screens.compare.prompt_sets import PromptInput
from screens.traces.text import VERDICTS
from store import Store
from store.records import Problem, TraceRow

IDLE_S = 0.5
"""The solution is saved and verified after this many seconds without a key."""
KINDS: tuple[MoveKind | None, ...] = (None, *MoveKind)
_KEYS = {MoveKind.BACKTRACK: "alt+b,alt+k", MoveKind.CONCLUDE: "alt+f,alt+e"}  # many terminals send alt+b as ctrl+left


@dataclass(frozen=True)
class Checked:
    """The answer of a draft and the verdict on it."""

    answer: str | None
    verdict: Verdict


class MoveInput(PromptInput):
    """The line of the move that is being typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "send", "Save move", tooltip="Save this line as a move")]


class WriteScreen(LabScreen):
    """The screen; ``recorded`` is called with the trace when the chain is finished."""

    TITLE = "WRITE"
    CSS_PATH = assets_dir() / "styles" / "distill.tcss"
    AUTO_FOCUS = "#line"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r,ctrl+s", "finish", "Finish", tooltip="Record the chain as a trace, verified"),
        Binding("tab", "part(1)", "Next part", tooltip="Moves, line, solution"),
        Binding("shift+tab", "part(-1)", "Previous part", show=False, tooltip="Solution, line, moves"),
        Binding("ctrl+t", "kind", "Kind", tooltip="Mark the kind of the move: the next of the seven"),
        *(Binding(_KEYS.get(one, f"alt+{one.letter.lower()}"), f"kind('{one}')", f"Mark as {one}", show=False,
                  tooltip=f"The line is of the kind {one}") for one in MoveKind),
        Binding("enter", "change", "Change move", tooltip="Change the current move; an emptied one is removed"),
        Binding("escape", "back", "Back", tooltip="Leave; the draft is kept"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, problem: Problem, recorded: Callable[[TraceRow], None]) -> None:
        super().__init__(context)
        self.problem = problem
        self.draft = Draft()
        self.saved = Draft()
        """The draft as it is on disk."""
        self.kind: MoveKind | None = None
        """The mark of the line being typed."""
        self.at: int | None = None
        """The line that is being changed; None for a new one."""
        self.checked: Checked | None = None
        self._recorded = recorded
        self._content = b""
        self._writer = Writer(context.store)
        self._pool = VerifierPool()
        self._idle: Timer | None = None
        self._leaving = False
        self._refused: Draft | None = None
        """The draft that could not be saved on leaving; a second escape leaves without it."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="write-problem", markup=False)
        with VerticalScroll(id="statement", can_focus=False):
            yield TallText(rendered_text(self.problem.statement), id="statement-text", markup=False)
        yield ChainReader(id="moves")
        yield Static(id="line-title", markup=False)
        yield MoveInput(placeholder="type a move; enter saves it and begins the next", id="line")
        yield Static(id="solution-title", markup=False)
        yield PlainArea(
            placeholder="the solution, with its answer in \\boxed{}", id="solution", soft_wrap=True,
            show_line_numbers=False, compact=True, highlight_cursor_line=False, tab_behavior="focus",
        )  # fmt: skip
        yield Static(id="verdict", markup=False)
        yield Static(id="message", markup=False)

    async def on_unmount(self) -> None:
        with suppress(Exception):  # no screen is left to report it
            await self._writer.do(self._save, self.draft)  # the app may end before the solution was idle
        await self._writer.close()
        self._pool.close()

    @property
    def path(self) -> Path:
        return draft_path(self.context.lab, self.problem.id, self.context.annotator)

    @property
    def line(self) -> PromptInput:
        return self.query_one("#line", PromptInput)

    @property
    def solution(self) -> PlainArea:
        return self.query_one("#solution", PlainArea)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    @property
    def unsaved(self) -> list[int]:
        """The indexes of the lines that are not on disk as they are shown."""
        saved = self.saved.lines
        return [at for at, line in enumerate(self.draft.lines) if at >= len(saved) or saved[at] != line]

    def on_mount(self) -> None:
        where = f"{self.problem.source} {self.problem.key}".strip()
        gold = "none known" if self.problem.answer is None else one_line(self.problem.answer, 40)
        title = Text.assemble((one_line(where, 60), "bold"), (f"  gold {gold}  {self.problem.id[:12]}", "dim"))
        self.query_one("#write-problem", Static).update(title)
        self.line.disabled = self.solution.disabled = True  # until the draft has been read
        self.open()

    def say(self, message: str | Text) -> None:
        """Show a message at the bottom of the screen."""
        self.query_one("#message", Static).update(message if isinstance(message, Text) else Text(visible(message)))

    # Reading and saving.

    @task()
    async def open(self) -> None:
        """Read the draft, and continue at its end."""
        try:
            self.saved, self._content = await self.in_thread(read_draft, self.path)
        except Exception:
            self.say(Text("The draft cannot be read, so nothing can be written here.", "bold red"))
            raise
        self.draft = self.saved
        self.line.disabled = self.solution.disabled = False
        with self.prevent(TextArea.Changed):
            self.solution.text = self.draft.solution
        self.solution.move_cursor(self.solution.document.end)
        self.line.focus()
        if self._content:
            self.say(f"opened the draft {self.path.name}: {len(self.draft.moves())} moves")
        self.show()
        self.check()

    @work
    async def save(self) -> None:
        """Save the draft; what is shown as saved is on disk."""
        draft = self.draft
        try:
            await self._writer.do(self._save, draft)
        except Exception as error:
            if not self.closing:
                self.say(Text.assemble(("NOT saved: ", "bold red"), words_of(error)))
                self.show()
            return
        if not self.closing:
            self.show()

    def _save(self, draft: Draft) -> None:
        """Save a draft in the writer's thread."""
        if draft != self.saved:
            self._content = save_draft(self.path, self.problem, draft, self._content)
            self.saved = draft

    def change(self, draft: Draft) -> None:
        """Make this the draft, show it and save it."""
        self.draft = draft
        self.show()
        self.save()

    def show(self) -> None:
        """Show the moves with a sign at those that are not saved, and the state of line and solution."""
        moves, unsaved = self.draft.moves(), set(self.unsaved)
        lines = [at for at, line in enumerate(self.draft.lines) if line.text.strip()]
        waiting = (move for at, move in zip(lines, moves, strict=True) if at in unsaved)
        signs = tuple(Sign(move.start, "…", "bold yellow", "not saved yet") for move in waiting)
        place = self.reader.body.current
        segments = tuple(Segment(str(move.kind), move.start, move.end) for move in moves)
        self.reader.load(ReaderDocument(self.draft.thought, "", segments, (), signs))
        if moves:
            at_end = self.at is None and not self.reader.has_focus_within
            self.reader.body.go_to_move(len(moves) - 1 if at_end else max(min(place, len(moves) - 1), 0))
        self._show_titles()

    def _show_titles(self) -> None:
        count = len(self.draft.moves())
        number = count + 1 if self.at is None else self._number(self.at)
        kind = Text(f"{self.kind.letter} {self.kind}", "bold") if self.kind else Text("kind from the text", "dim")
        verb = "move" if self.at is None else "changing move"
        self.query_one("#line-title", Static).update(Text.assemble((f"{verb} {number} ", "bold"), kind))
        solution = self.draft.solution
        state = "empty" if not solution else "saved" if solution == self.saved.solution else "not saved yet"
        self.query_one("#solution-title", Static).update(Text.assemble(("solution ", "bold"), (state, "dim")))
        saved = f"{left} not saved" if (left := len(self.unsaved)) else "all saved"
        self.set_heading(f"{count} moves · {saved} · {self.context.annotator}")

    def _number(self, at: int) -> int:
        """Return the number of the move on a line."""
        return sum(bool(line.text.strip()) for line in self.draft.lines[: at + 1])

    def _line_of(self, move: int) -> int:
        """Return the line of a move, given its index."""
        return [at for at, line in enumerate(self.draft.lines) if line.text.strip()][move]

    # The line.

    @on(TextArea.Changed, "#line")
    def _line_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._leaving = False

    @on(PromptInput.Sent)
    def _line_sent(self, event: PromptInput.Sent) -> None:
        event.stop()
        at = len(self.draft.lines) if self.at is None else self.at
        if not event.text.strip() and self.at is None:
            self.say("Type a move first; tab goes to the solution.")
            return
        try:
            draft = self.draft.written(at, event.text, self.kind)
        except UsageError as error:
            self.say(f"{error.message} {error.hint}")
            return
        self.say("" if event.text.strip() else f"removed move {self._number(at)}")
        self.line.write("")
        self.kind = self.at = None
        self.change(draft)

    def action_change(self) -> None:
        """Put the current move into the line, to change it."""
        move = self.reader.current_move
        if self.focused is not self.reader.body or move is None:
            return
        if self.line.text.strip():
            self.say("Finish the line that you are typing first: enter saves it.")
            return
        self.at = self._line_of(move[0] - 1)
        text, self.kind = self.draft.lines[self.at]
        self.line.write(text)
        self.set_focus(self.line)
        self.say("enter saves the change; without text the move is removed")
        self._show_titles()

    def action_kind(self, name: str = "") -> None:
        """Mark the kind of the move being typed, or of the current move while the moves have the focus."""
        move = self.reader.current_move
        if self.focused is self.reader.body and move is not None:
            at = self._line_of(move[0] - 1)
            text, kind = self.draft.lines[at]
            self.change(self.draft.written(at, text, _next(kind, name)))
        else:
            self.kind = _next(self.kind, name)
            self._show_titles()

    # The solution.

    @on(TextArea.Changed, "#solution")
    def _solution_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        before, self.draft = self.draft, Draft(self.draft.lines, self.solution.text)
        if before.solution.count("\n") != self.draft.solution.count("\n"):
            self.save()
        if self._idle is not None:
            self._idle.stop()
        self._idle = self.set_timer(IDLE_S, self._solution_idle)
        self._show_titles()

    def _solution_idle(self) -> None:
        self.save()
        self.check()

    @task(exclusive=True, group="check")
    async def check(self) -> None:
        """Verify the answer of the draft against the gold answer."""
        checked = await self.in_thread(_check, self.context.store, self._pool, self.draft, self.problem.answer)
        self.checked = checked
        sign, style = VERDICTS[checked.verdict.status]
        answer = "none yet" if checked.answer is None else one_line(checked.answer, 40)
        self.query_one("#verdict", Static).update(
            Text.assemble(
                ("answer ", "dim"), answer, " ", (f"{sign} {checked.verdict.status}", style),
                (f": {one_line(checked.verdict.reason, 80)}", "dim"), no_wrap=True, overflow="ellipsis",
            )
        )  # fmt: skip

    # Leaving.

    def would_lose(self) -> str:
        return "The line of the chain that you are typing." if self.line.text.strip() else ""

    def action_part(self, by: int) -> None:
        """Go to the next or previous part: the moves, the line, the solution."""
        parts = [self.reader.body, self.line, self.solution]
        here = parts.index(self.focused) if self.focused in parts else 0
        self.set_focus(parts[(here + by) % len(parts)])  # at once: the next key may have been typed already

    @task(exclusive=True, group="leave")
    async def action_back(self) -> None:
        """Leave the screen; the draft is kept. A second escape drops a line not entered, or what cannot be saved."""
        if self.at is not None:
            self.at = self.kind = None
            self.line.write("")
            self.say("The move was not changed.")
            self._show_titles()
            return
        if self.line.text.strip() and not self._leaving:
            self._leaving = True
            self.say("The line is not saved: enter saves it, esc again drops it.")
            return
        draft = self.draft
        try:
            await self._writer.do(self._save, draft)
        except Exception as error:
            if self._refused != draft:
                self._refused = draft
                self.say(Text.assemble(("NOT saved; esc again drops it: ", "bold red"), words_of(error)))
                return
        self.dismiss()

    @task(exclusive=True, group="leave", dialog=True)
    async def action_finish(self) -> None:
        """Record the chain as a trace, with its verdict, and remove the draft."""
        if self.line.text.strip():
            self.say("Finish the line that you are typing first: enter saves it.")
            return
        await self._writer.do(self._save, self.draft)
        self.show()
        draft = self.draft
        try:
            check_complete(draft)
        except UsageError as error:
            self.say(f"{error.message} {error.hint}")
            return
        checked = await self.in_thread(_check, self.context.store, self._pool, draft, self.problem.answer)
        if checked.verdict.status != "correct":
            question = f"The answer is {checked.verdict.status}. Record the chain anyway?"
            if not await self.app.push_screen_wait(ConfirmDialog(question, checked.verdict.reason, danger=True)):
                return
        licence = await self.app.push_screen_wait(PromptDialog("Licence of your text (may be empty)"))
        if licence is None:
            return
        if self.draft != draft:
            self.say("The chain was changed in the meantime, so it is not recorded yet: finish it again.")
            return
        row = await self._writer.do(self._record, draft, licence.strip() or None)
        self._recorded(row)
        self.dismiss()

    def _record(self, draft: Draft, licence: str | None) -> TraceRow:
        """Record the trace in the writer's thread; the draft is removed once the trace is in the database."""
        context = self.context
        row = record(context.store, self.problem, draft, annotator=context.annotator, licence=licence, pool=self._pool)
        self.path.unlink(missing_ok=True)
        return row


def _check(store: Store, pool: VerifierPool, draft: Draft, gold: str | None) -> Checked:
    with store.explained():
        return Checked(answer := draft.answer, verify_pairs(store.db, pool, [(gold, answer)])[0])


def _next(kind: MoveKind | None, name: str) -> MoveKind | None:
    """Return the kind called ``name``, or none if it is marked already; without a name the next of the kinds."""
    if name:
        return None if kind == name else MoveKind(name)
    return KINDS[(KINDS.index(kind) + 1) % len(KINDS)]
