"""The rounds: a list of prompt sets asked in the background, with progress; enter votes through one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from o1lab.chat.contestants import Contestant, names
from o1lab.chat.panes import Settings
from o1lab.chat.rounds import control
from o1lab.chat.rounds.directory import RoundFolder, RoundPane, RoundSettings
from o1lab.format import counted, duration
from o1lab.inference.journal import FaultCount
from o1lab.jobs.directory import CountedStatus, JobInfo
from o1lab.paths import Lab, assets_dir
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from o1lab.widgets.columns import Column, Row
from o1lab.widgets.dialogs import ConfirmDialog, PickDialog, among
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
from screens.compare.prompt_sets import set_choices
from screens.compare.voting import VotingScreen, read_sheet
from screens.jobs.kind import InfoLine, PaneKind, Snapshot
from screens.jobs.lists import FactsView, JobTable
from screens.jobs.pane import JobsPane
from screens.jobs.text import (
    add_about,
    add_faults,
    add_progress,
    add_trouble,
    bar,
    doing,
    request_words,
    sign,
)
from store import Store

COLUMNS = (
    Column("sign", "", 2),
    Column("set", "prompt set", 12, flex=2),
    Column("models", "contestants", 14, flex=3, priority=2),
    Column("done", "answers", 11, justify="right"),
    Column("voted", "you voted", 10, justify="right"),
    Column("left", "left", 6, priority=1, justify="right"),
)


@dataclass(frozen=True)
class Line(InfoLine[CountedStatus, RoundSettings]):
    """A round in the list, with how many of its prompts can be voted on, and how many of those you voted on."""

    info: JobInfo[CountedStatus, RoundSettings]
    votable: int
    voted: int

    @property
    def prompt_set(self) -> str:
        return self.settings.prompt_set if self.settings is not None else "?"

    @property
    def contestants(self) -> str:
        panes = self.settings.panes if self.settings is not None else ()
        return ", ".join(names(Contestant.of(one.model, one.model_dump()) for one in panes).values())


@dataclass(frozen=True)
class Detail:
    """The selected round."""

    line: Line
    folder: str
    faults: tuple[FaultCount, ...]
    pausing: bool


def poll(lab: Lab, store: Store, annotator: str, selected: str | None) -> Snapshot[Line, Detail]:
    """Read the rounds; ``selected`` in detail, or the newest when it is None or gone. Runs in a thread."""
    lines = []
    with store.explained():
        for info in control.ROUNDS.infos(lab):
            sheet = read_sheet(store.db, info.id, annotator)
            lines.append(Line(info, len(sheet.order), sheet.done))
    line = next((one for one in lines if one.id == selected), lines[0] if lines else None)
    if line is None:
        return Snapshot((), None)
    folder = RoundFolder(lab.rounds / line.id)
    faults = tuple(folder.faults()) if line.status.faults else ()  # reads the journal in full
    detail = Detail(line, str(folder.path), faults, folder.pause_file.exists())
    return Snapshot(tuple(lines), detail)


def row(line: Line, *, marked: bool) -> Row:
    """Make the row of a round."""
    status = line.status
    left = status.seconds_left if line.active else None
    return Row(line.id, {
        "sign": Text.assemble(("●" if marked else " ", "bold"), sign(line.state)),
        "set": one_line(f"{line.prompt_set} · {line.name}" if line.name else line.prompt_set, 60),
        "models": one_line(line.contestants, 120),
        "done": f"{status.done:,}/{status.requested:,}",
        "voted": f"{line.voted:,}/{line.votable:,}",
        "left": "" if left is None else duration(left),
    }, line)  # fmt: skip


def header(detail: Detail) -> Text:
    """Format the state and the progress of a round."""
    line, status = detail.line, detail.line.status
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{line.id} ", "bold").append(*sign(line.state)).append(f" {line.state}")
    words = request_words(line.state, active=line.active, pausing=detail.pausing)
    text.append(f" {words}" if words else doing(line.info)).append("\n")
    parts = (("█", "green", status.done), ("×", "bold red", status.failed))
    text.append_text(bar(parts, status.requested))
    add_progress(text, status.done + status.failed, status.requested, status.seconds_left if line.active else None)
    return text


def facts(detail: Detail) -> Text:
    """Format everything else about a round. Verdicts by contestant are left out: they would not be blind."""
    line, status = detail.line, detail.line.status
    text = Text()
    add_trouble(text, line.state, status)
    if line.votable > line.voted:
        text.append(f"enter: vote on {counted(line.votable - line.voted, 'prompt')}, blind and shuffled\n\n", "bold")
    elif line.votable:
        text.append("enter: the results of your votes, and of others\n\n", "bold")
    add_about(text, line.info)
    for one in line.settings.panes if line.settings is not None else ():
        words = [f"{name} {value}" for name, value in one.model_dump(exclude={"model", "label"}).items()
                 if value is not None]  # fmt: skip
        text.append(f"{one_line(one.model, 40)}  ", "bold").append(f"{one_line(' · '.join(words), 200)}\n")
    spent = f"{status.input_tokens:,} + {status.output_tokens:,} tokens"
    text.append(f"spent  {spent}" + (f", ${status.cost_usd:.4f}" if status.priced else "") + "\n")
    text.append(f"folder  {one_line(detail.folder, 200)}\n", "dim")
    add_faults(text, detail.faults)
    return text


class RoundsScreen(LabScreen):
    """The list on top, the round under the cursor below.

    Args:
        context: The lab.
        refs: The models of Compare's panes, the contestants of a new round.
        settings: Their settings.
    """

    TITLE = "ROUNDS"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "compare.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n,insert", "new_run", "New round", tooltip="Ask a prompt set of the panes of Compare"),
        Binding("escape", "back", "Back", tooltip="Back to Compare; rounds go on in the background"),
    ]

    def __init__(self, context: LabContext, refs: Sequence[ModelRef], settings: Settings) -> None:
        super().__init__(context)
        self.refs, self.settings = refs, settings
        view = FactsView("the round", header, facts, id="round")
        kind = PaneKind(
            jobs=control.ROUNDS,
            next_action="Press ctrl+n to ask a prompt set of the models in Compare's panes.",
            poll=lambda selected: poll(context.lab, context.store, context.annotator, selected),
            facts=view.whole,
        )
        table = JobTable(COLUMNS, row, id="round-list")
        self.jobs: JobsPane[Line, Detail] = JobsPane(context, kind, table, view, id="rounds")

    def compose_body(self) -> ComposeResult:
        yield self.jobs

    def on_mount(self) -> None:
        self.query_one("#round-list").focus()

    def on_screen_resume(self) -> None:
        self.jobs.start_polling()

    def on_screen_suspend(self) -> None:
        self.jobs.stop_polling()

    @on(JobsPane.Opened)
    def _opened(self, event: JobsPane.Opened) -> None:
        self.app.push_screen(VotingScreen(self.context, event.line.id))

    # A new round.

    @task(exclusive=True, group="new", dialog=True)
    async def action_new_run(self) -> None:
        """Choose a prompt set, and ask it after confirmation."""
        choices = among(await self.read(set_choices))
        dialog = PickDialog("Ask which prompt set?", choices, empty="No prompt set: in Compare, w saves a prompt.")
        if (name := await self.app.push_screen_wait(dialog)) is not None:
            await self._ask(name, control.panes_of(self.refs, self.settings))

    @on(JobsPane.NewLikeThis)
    @task(exclusive=True, group="new", dialog=True)
    async def _like_this(self, event: JobsPane.NewLikeThis) -> None:
        settings = RoundSettings(**event.values)
        await self._ask(settings.prompt_set, settings.panes)

    async def _ask(self, name: str, panes: Sequence[RoundPane]) -> None:
        prompts = await self.in_thread(control.prompts_of, self.context.store, name)
        who = ", ".join(names(Contestant.of(one.model, one.model_dump()) for one in panes).values())
        question = f"Ask {counted(len(prompts), 'prompt')} of {one_line(name, 40)} in the background?"
        detail = f"{counted(len(prompts) * len(panes), 'call')}, to {who}."
        if not await self.app.push_screen_wait(ConfirmDialog(question, detail, yes="Ask", no="Not yet")):
            return
        folder = await self.in_thread(self._launch, name, prompts, panes)
        self.jobs.open_job(folder.id)

    def _launch(self, name: str, prompts: Sequence[str], panes: Sequence[RoundPane]) -> RoundFolder:
        folder = control.start(self.context.lab, name, prompts, panes)
        control.ROUNDS.launch(folder)
        return folder
