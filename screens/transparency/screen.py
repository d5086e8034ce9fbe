"""Transparency: works scored by the index of the paper, and the lab's score of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList, Static

from o1lab.evaluate.report import render
from o1lab.evaluate.report.cells import Table
from o1lab.paths import assets_dir
from o1lab.text import one_line
from o1lab.transparency.framework import Framework, find_framework
from o1lab.transparency.leaderboard import leaderboard
from o1lab.transparency.methods import MethodFacts, compare_methods, methods_table
from o1lab.transparency.scores import EARNS, SELF, ScoredWork, all_works, check_allowed, check_answer, score
from o1lab.transparency.self_score import LabScore, last_score, score_lab
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.dialogs import export_file
from screens.base.screen import LabScreen, task
from screens.transparency import lessons
from screens.transparency import text as text_of
from store import transparency as log
from store.sqlite import Database

METHODS = "methods"
"""The key of the cell of the synthesis methods in the list of works."""
LESSON = "lesson"
"""The key of the cell of what distillation did to the students."""
_FRAME = 6
"""Columns of the border, the padding and the scrollbar of the text below the items."""
_FORMATS = {".md": "md", ".tex": "latex", ".json": "json", ".txt": "terminal"}


@dataclass(frozen=True)
class Board:
    """Everything that the screen shows, read at once."""

    framework: Framework
    works: tuple[ScoredWork, ...]
    lab: LabScore | None

    def work(self, key: str) -> ScoredWork | None:
        return next((one for one in self.works if _key(one) == key), None)


def _key(one: ScoredWork) -> str:
    return f"{'published' if one.published else 'own'}:{one.name}"


class TransparencyScreen(LabScreen):
    """Works at the left, the items of one at the right, the answers to an item below."""

    TITLE = "TRANSPARENCY"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "transparency.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "answer('yes')", "Yes", tooltip="The work publishes this"),
        Binding("x", "answer('no')", "No", tooltip="The work does not publish this"),
        Binding("z", "answer('not_used')", "Not used", tooltip="The work says openly that it does not use this"),
        Binding("backspace", "answer('withdrawn')", "Withdraw", show=False, tooltip="Withdraw your answer"),
        Binding("r", "score_lab", "Score the lab", tooltip="Score this lab by the checks of its records"),
        Binding("ctrl+n,insert", "add_work", "Add a work", tooltip="Add a work to score"),
        Binding("E", "export", "Export",
                tooltip="Write the leaderboard, the methods or a lesson to a file; the ending selects the format"),
        Binding("tab", "other_list(1)", "Next pane", show=False, tooltip="Go to the next list"),
        Binding("shift+tab", "other_list(-1)", "Previous pane", show=False, tooltip="Go to the previous list"),
    ]  # fmt: skip

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.board: Board | None = None
        self.methods: list[MethodFacts] | None = None  # read when they are first shown
        self.lesson_page: lessons.LessonPage | None = None  # read when it is shown
        self.lessons: dict[str, lessons.RunLesson] = {}
        self.work_key = SELF
        self.item_id = ""
        self._new: list[str] = []  # works without an answer yet

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="index"):
            yield CellList(id="works")
            with Vertical():
                yield CellList(id="items")
                yield TextPane("answers", id="answers")
        yield Static(id="index-note", markup=False)

    def on_mount(self) -> None:
        self.query_one("#works").focus()

    def on_screen_resume(self) -> None:
        self.read_again()

    @task(exclusive=True, group="board")
    async def read_again(self) -> None:
        """Read all works and the last score of the lab, and show them."""
        framework = await self.in_thread(find_framework, self.context.lab)
        self.board = await self.read(_board, framework)
        self.methods, self.lesson_page = None, None
        self.lessons.clear()
        self._show()

    @task(exclusive=True, group="methods")
    async def read_methods(self) -> None:
        """Read the figures of the synthesis methods, and show them."""
        self.methods = await self.in_thread(compare_methods, self.context.lab, self.context.store)
        self._show_items()

    @task(exclusive=True, group="lessons")
    async def read_lessons(self) -> None:
        """Read which students and curves there are, and show them."""
        self.lesson_page = await self.in_thread(lessons.read_page, self.context.lab, self.context.store)
        self._show_items()

    @task(exclusive=True, group="lesson")
    async def read_lesson(self, run: str) -> None:
        """Measure what distillation did to a student, and show it."""
        self.lessons[run] = await self.in_thread(lessons.read_lesson, self.context.lab, self.context.store, run)
        self._show_detail()

    def _show(self) -> None:
        if self.board is None:
            return
        board = self.board
        own = {one.name for one in board.works if not one.published}
        new = [score(board.framework, name, ()) for name in self._new if name not in own]
        board = self.board = replace(board, works=(*board.works, *new))
        cells = {SELF: text_of.lab_cell(board.lab, board.framework)}
        cells[METHODS] = text_of.methods_cell()
        cells[LESSON] = lessons.page_cell()
        cells |= {_key(one): text_of.work_cell(one, board.framework) for one in board.works}
        if self.work_key not in cells:
            self.work_key = SELF
        self.query_one("#works", CellList).show(cells, self.work_key)
        self._show_items()

    def _show_items(self) -> None:
        board = self.board
        if board is None:
            return
        cells: dict[str, Text] = {}
        if self.work_key == METHODS:
            if self.methods is None:
                self.read_methods()
            cells = {one.name: text_of.method_cell(one) for one in self.methods or ()}
        elif self.work_key == LESSON:
            if self.lesson_page is None:
                self.read_lessons()
            else:
                cells = lessons.cells(self.lesson_page)
        elif self.work_key == SELF:
            judged = {one.item.id: one.finding.answer for one in board.lab.items} if board.lab else {}
            cells = {one.id: text_of.item_cell(one, judged.get(one.id)) for one in board.framework.items}
        elif (shown := board.work(self.work_key)) is not None:
            cells = {
                one.item.id: text_of.item_cell(one.item, one.answer, disputed=one.is_disputed) for one in shown.items
            }
        if self.item_id not in cells:
            self.item_id = next(iter(cells), "")
        self.query_one("#items", CellList).show(cells, self.item_id)
        self._show_detail()

    def _show_detail(self) -> None:
        board = self.board
        if board is None:
            return
        shown = board.work(self.work_key)
        judged = board.lab.items if board.lab is not None else ()
        found = next((one for one in judged if one.item.id == self.item_id), None)  # none if the framework has changed
        if self.work_key == METHODS:
            method = next((one for one in self.methods or () if one.name == self.item_id), None)
            detail = text_of.method_detail(method)
        elif self.work_key == LESSON:
            detail = self._lesson_detail()
        elif self.work_key == SELF and board.lab is not None and found is not None:
            detail = text_of.lab_detail(found, board.lab)
        elif shown is not None and shown.items:
            detail = text_of.work_detail(next(one for one in shown.items if one.item.id == self.item_id), shown)
        elif shown is not None:
            detail = text_of.published_detail(board.framework)
        else:
            detail = Text("r scores the latest finished run of this lab by its records.", "dim")
        self.set_class(self.work_key == LESSON, "-lesson")
        self.query_one("#answers", TextPane).show(detail)
        self.set_heading(f"{board.framework.title}, {board.framework.total} points")

    def _lesson_detail(self) -> Text:
        page, pane = self.lesson_page, self.query_one("#answers")
        width = min(pane.scrollable_content_region.width, pane.outer_size.width - _FRAME)
        if page is None or not self.item_id:
            return lessons.empty(page)
        if (curve := page.curve(self.item_id)) is not None:
            return lessons.curve_detail(curve, width, pane.size.height)
        if self.item_id not in self.lessons:
            self.read_lesson(self.item_id)
        return lessons.run_detail(self.lessons.get(self.item_id), width, pane.size.height)

    def on_resize(self, _event: events.Resize) -> None:
        if self.work_key == LESSON:
            self.call_after_refresh(self._show_detail)

    @on(OptionList.OptionHighlighted, "#works")
    def _work_chosen(self, event: OptionList.OptionHighlighted) -> None:
        self.work_key = event.option_id or SELF
        self._show_items()

    @on(OptionList.OptionHighlighted, "#items")
    def _item_chosen(self, event: OptionList.OptionHighlighted) -> None:
        self.item_id = event.option_id or ""
        self._show_detail()

    @on(OptionList.OptionSelected, "#works")
    def _work_entered(self) -> None:
        self.query_one("#items").focus()

    def action_other_list(self, by: int) -> None:
        """Move between works, items and the text below them."""
        places = [self.query_one(name) for name in ("#works", "#items", "#answers")]
        at = next((number for number, place in enumerate(places) if place.has_focus), 0)
        places[(at + by) % len(places)].focus()

    @task(exclusive=True, group="score")
    async def action_score_lab(self) -> None:
        """Score the latest finished run of the lab, and say what changed."""
        self._note("Scoring the lab.")
        framework = await self.in_thread(find_framework, self.context.lab)
        try:
            found = await self.in_thread(score_lab, self.context.lab, self.context.store, framework)
        except Exception:
            self._note("")
            raise
        changes = ", ".join(f"{item} {before} → {after}" for item, before, after in found.changes)
        since = f" since {found.last[:16].replace('T', ' ')}: {changes or 'no change'}" if found.last else ""
        self._note(f"Run {found.run_id}: {found.total} of {framework.total}{since}")
        self.work_key = SELF
        self.board = replace(await self.read(_board, framework), lab=found)
        self._show()

    @task(exclusive=True, group="answer", dialog=True)
    async def action_answer(self, answer: str) -> None:
        """Answer the item under the cursor, after asking for evidence where the answer needs it."""
        # The cursors, not what is shown: the messages of a key that was pressed just before may still be queued.
        board = self.board
        key, item_id = (self.query_one(name, CellList).cursor_id for name in ("#works", "#items"))
        shown = board.work(key) if board is not None and key is not None else None
        fixed = key in (None, METHODS, LESSON) or (shown is not None and shown.published)
        if board is None or item_id is None or key is None or fixed:
            self._note("Choose an item of this lab or of a work of your own; ctrl+n adds a work.")
            return
        name, item = (shown.name if shown is not None else SELF), board.framework.item(item_id)
        evidence = ""
        if answer != log.WITHDRAWN:
            check_allowed(item, answer)
        if answer in EARNS:
            title = f"Evidence that {one_line(item.title, 40)}: {answer.replace('_', ' ')}"
            typed = await self.app.push_screen_wait(PromptDialog(title, placeholder="a link, a file or a quotation"))
            if typed is None:
                return
            evidence = typed.strip()
        if answer != log.WITHDRAWN:
            await self.in_thread(check_answer, item, answer, evidence)
        by = self.context.annotator
        await self.read(log.add, board.framework.name, name, item.id, answer, scorer=by, evidence=evidence)
        scored_again = "; r scores the lab again" if name == SELF else ""
        self._note(f"{one_line(name, 40)}: {item.id} {answer.replace('_', ' ')} is recorded{scored_again}.")
        self.read_again()

    @task(exclusive=True, group="answer", dialog=True)
    async def action_add_work(self) -> None:
        """Ask for the name of a work to score."""
        name = await self.app.push_screen_wait(PromptDialog("Name of the work"))
        if name is None or not name.strip():
            return
        self._new.append(name.strip())
        self.work_key = f"own:{name.strip()}"
        self.read_again()

    @task(exclusive=True, group="write", dialog=True)
    async def action_export(self) -> None:
        """Write what is shown to a file: the leaderboard, the synthesis methods, or a lesson or curve."""
        board, methods = self.board, self.methods if self.work_key == METHODS else None
        if board is None:
            return
        if self.work_key == LESSON:
            if self.lesson_page is None or not self.item_id:
                self._note("There is no lesson yet: no training run of this lab has finished.")
                return
            what = "lesson"
            name, forms, content = lessons.writer(self.lesson_page, self.item_id, self.lessons.get(self.item_id))
        elif methods is not None:
            what, name, forms, content = "synthesis methods", "methods.md", _FORMATS, _writer(methods_table(methods))
        else:
            what, name, forms = "leaderboard", "tti.md", _FORMATS
            content = _writer(leaderboard(board.framework, board.works))
        await export_file(self, what, [name], forms, content)

    def _note(self, words: str) -> None:
        self.query_one("#index-note", Static).update(Text(one_line(words, 300)))


def _board(db: Database, framework: Framework) -> Board:
    works = all_works(framework, log.current(db, framework.name))
    return Board(framework, tuple(works), last_score(db, framework))


def _writer(table: Table) -> Callable[[str], str]:
    """Return a function that renders a table in a format, by the format's name."""
    return lambda form: render.RENDERERS[form](table)
