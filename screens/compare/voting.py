"""Voting through a round, blind and shuffled: one key for each prompt; each vote is on disk before the next prompt."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from o1lab.chat import ranking
from o1lab.chat.contestants import asked_with
from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.keys import Binding, stepping
from screens.base.context import LabContext
from screens.base.screen import task
from screens.compare.drawing import draw_answer
from screens.compare.keys import VOTE
from screens.compare.panes import Panes
from screens.evaluate.blind import BlindScreen
from store import Store, conversations, rounds
from store.conversations import Message, Vote
from store.sqlite import Database

_KEYS = "\n\np goes back to the last prompt, u undoes your last vote, escape leaves."


@dataclass(frozen=True)
class Paper:
    """What is voted on: a prompt with its answers, in the order shown, and your vote so far."""

    conversation: str
    question: str
    answers: tuple[Message, ...]
    models: tuple[str, ...]
    vote: Vote | None


@dataclass(frozen=True)
class Pile:
    """A person's way through a round.

    Attributes:
        order: the conversations in the order in which this person sees them.
        votes: this person's votes, by conversation.
    """

    order: tuple[str, ...]
    votes: dict[str, Vote]

    @property
    def done(self) -> int:
        return sum(one in self.votes for one in self.order)

    @property
    def next_at(self) -> int | None:
        """The place of the first prompt without a vote."""
        return next((at for at, one in enumerate(self.order) if one not in self.votes), None)


class VotingScreen(BlindScreen):
    """The prompts of a round one by one, with the answers side by side and without the names."""

    TITLE = "VOTE"
    CSS_PATH: ClassVar[list[Any]] = [
        assets_dir() / "styles" / "evaluate_samples.tcss",
        assets_dir() / "styles" / "compare.tcss",
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"vote({n})", f"Vote for {n}", group=VOTE, tooltip=f"Vote that answer {n} is the best")
            for n in range(1, 10)
        ),
        Binding("0", "tie", "Tie", tooltip="Vote that the answers are equally good"),
        Binding("minus", "none_good", "None good", key_display="-", tooltip="Vote that no answer is good"),
        Binding("u", "undo", "Undo vote", tooltip="Withdraw your last vote and show its prompt"),
        Binding("p", "step(-1)", "Previous", tooltip="The prompt before, to read it or to vote again"),
        Binding("n", "step(1)", "Next", show=False, tooltip="The next prompt"),
        *stepping("prompt"),
        Binding("number_sign", "results", "Results", key_display="#",
                tooltip="Show the strengths; asks first while prompts have no vote"),
        Binding("tab", "walk(1)", "Next pane", show=False, tooltip="Go to the next pane"),
        Binding("shift+tab", "walk(-1)", "Previous pane", show=False, tooltip="Go to the pane before"),
        Binding("right", "turn_to(1)", "Pane to the right", show=False, tooltip="Go to the pane to the right"),
        Binding("left", "turn_to(-1)", "Pane to the left", show=False, tooltip="Go to the pane to the left"),
        Binding("escape", "back", "Leave", tooltip="Leave; every vote is saved, and voting resumes here"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, round_id: str) -> None:
        super().__init__(context)
        self.round = round_id
        self.panes = Panes(id="votes")
        self.panes.together = True
        self.pile = Pile((), {})
        self.paper: Paper | None = None
        self.at = 0
        self.seen = False  # the results name the models, so that later votes are not blind

    def compose_body(self) -> ComposeResult:
        yield Static(id="blind-question", markup=False)
        yield self.panes
        with VerticalScroll(id="blind-results", can_focus=False):
            yield Static(markup=False)
        yield Static(id="blind-judgement", markup=False)
        yield Static(id="blind-said", markup=False)

    def on_mount(self) -> None:
        self.go(None)

    def focus_answer(self) -> None:
        self.panes.focus_current()

    @task(group="voting")
    async def go(self, at: int | None) -> None:
        """Show the prompt at a position, or the first one without a vote."""
        await self._go(at)

    async def _go(self, at: int | None) -> None:
        self.busy = True
        try:
            me = self.context.annotator
            self.pile, self.paper, self.at = await self.read(read_paper, self.round, me, at)
            if self.paper is not None:
                await self._draw(self.paper)
            else:
                self._show_end()
        finally:
            self.busy = False
        self.refresh_bindings()

    async def _draw(self, paper: Paper) -> None:
        self.remove_class("-over")
        self.set_heading(f"{self.pile.done:,} of {len(self.pile.order):,} voted · prompt {self.at + 1:,}")
        self.query_one("#blind-question", Static).update(Text(visible(paper.question)))
        await self.panes.set_count(len(paper.answers))
        for place, (stream, answer) in enumerate(zip(self.panes.places, paper.answers, strict=True)):
            stream.set_title(f"{place + 1}")
            stream.fold_thoughts(True)
            draw_answer(stream, answer, "", hidden=True)
            stream.body.sticky = False
            stream.body.action_top()
        self.panes.name_places([(str(place + 1), " ") for place in range(len(paper.answers))])
        self.panes.focus_current()
        numbers = " ".join(str(place + 1) for place in range(len(paper.answers)))
        text = Text(f"{numbers} vote · 0 tie · - none good")
        if paper.vote is not None:
            text.append(f"   your vote: {words_of(paper, paper.vote)}", "dim")
        self.show_judgement(text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        paper = self.paper
        match action:
            case "vote":
                place = parameters[0]
                return paper is not None and isinstance(place, int) and place <= len(paper.answers)
            case "tie" | "none_good":
                return paper is not None
            case "undo":
                return bool(self.pile.votes)
        return super().check_action(action, parameters)

    # Voting. Keys are ignored while a vote is being written: they were meant for the prompt that was shown.

    def action_vote(self, place: int) -> None:
        self.vote(place - 1, "")

    def action_tie(self) -> None:
        self.vote(None, "tie")

    def action_none_good(self) -> None:
        self.vote(None, "none")

    def vote(self, place: int | None, word: str) -> None:
        """Save a vote for the answer in ``place``, or ``word``: a tie, or none; then show the next prompt."""
        if self.paper is not None and not self.busy:
            self.busy = True
            self._save(self.paper, ballot_of(self.paper, place, word, self.context.annotator, blind=not self.seen))

    @work(group="voting")
    async def _save(self, paper: Paper, ballot: Vote) -> None:
        try:
            await self.writer.do(write_vote, self.context.store, ballot)
        except Exception as error:
            self.busy = False
            self.say("NOT saved.")
            self.report(error)
            return
        if self.closing:
            return
        self.say(f"saved: {words_of(paper, ballot)}; u undoes it")
        await self._go(None)

    @task(group="voting")
    async def action_undo(self) -> None:
        """Withdraw your last vote in this round, and show its prompt again."""
        if self.busy or not self.pile.votes:
            return
        self.busy = True
        last = list(self.pile.votes.values())[-1]
        try:
            await self.writer.do(withdraw_vote, self.context.store, last.id)
        finally:
            self.busy = False
        self.say("Your vote is withdrawn.")
        await self._go(self.pile.order.index(last.conversation_id) if last.conversation_id in self.pile.order else None)

    @task(group="voting")
    async def action_step(self, by: int) -> None:
        """Show the next or previous prompt, voted on or not."""
        if self.busy:
            return
        at = self.at + by if self.paper is not None else len(self.pile.order) - 1
        if 0 <= at < len(self.pile.order):
            await self._go(at)
        else:
            self.say("This is the first prompt." if by < 0 else "This is the last prompt.")

    def action_results(self) -> None:
        """Show the strengths. Ask first while prompts have no vote: later votes would not be blind."""
        if self.busy:
            return
        if self.pile.next_at is None or self.seen:
            self.show_now()
            return
        question = "Show the results before all prompts are voted on?"
        detail = "They name the models, so later votes are not blind."
        self.app.push_screen(ConfirmDialog(question, detail, danger=True), self._answered)

    def _answered(self, yes: bool | None) -> None:
        if yes:
            self.show_now()

    @task(group="voting")
    async def show_now(self) -> None:
        """Show the results."""
        await self._show_results()

    def _show_end(self) -> None:
        """Say that no prompt is left. The results wait for a key: an undone vote may still be given blind."""
        total = len(self.pile.order)
        self.set_heading(f"{self.pile.done:,} of {total:,} voted")
        text = Text()
        if total:
            text.append("You have voted on every prompt.\n\n", "bold").append("# shows the results.")
        else:
            text.append("No prompt of this round has all its answers yet. The list of rounds shows how far it is.")
        self.show_results(text.append(_KEYS, "dim"))

    async def _show_results(self) -> None:
        found = await self.read(ranking.read, round=self.round)
        self.paper, self.seen = None, True
        self.set_heading(f"{self.pile.done:,} of {len(self.pile.order):,} voted")
        lines = ranking.ranking_lines(await self.in_thread(found.ranking))
        if tags := ranking.tally_lines(await self.in_thread(found.by_tag)):
            lines += ["", *tags]
        self.show_results(Text("\n".join(visible(line) for line in lines)).append(_KEYS, "dim"))
        self.refresh_bindings()

    # Panes.

    def action_walk(self, steps: int) -> None:
        """Move the focus to the next pane, in a circle."""
        self.action_turn_to(steps)

    def action_turn_to(self, steps: int) -> None:
        """Move the focus to another pane."""
        if count := len(self.panes.places):
            self.panes.show_place((self.panes.current + steps) % count)
            self.panes.focus_current()


def read_pile(db: Database, round_id: str, annotator: str) -> Pile:
    """Read a person's way through a round: shuffled, in an order that stays the same."""
    order = rounds.complete(db, round_id)
    random.Random(f"{round_id}:{annotator}").shuffle(order)  # noqa: S311 - an order, no secret
    mine = [one for one in conversations.votes(db, round=round_id) if one.annotator == annotator]
    return Pile(tuple(order), {one.conversation_id: one for one in mine})


def read_paper(db: Database, round_id: str, annotator: str, at: int | None) -> tuple[Pile, Paper | None, int]:
    """Read the prompt at a position, or the first one without a vote; None if there is none."""
    pile = read_pile(db, round_id, annotator)
    place = pile.next_at if at is None else at
    if place is None or not pile.order:
        return pile, None, len(pile.order)
    place = min(place, len(pile.order) - 1)  # a prompt may have left the round meanwhile
    identity = pile.order[place]
    record = conversations.get(db, identity)
    messages = [one for one in conversations.messages(db, identity, branches=True) if one.turn == 1]
    answers = [one for one in messages if one.pane is not None and one.shown]
    random.Random(f"{identity}:{annotator}").shuffle(answers)  # noqa: S311 - an order, no secret
    models = {pane.position: pane.model for pane in record.panes}
    question = next((one.content for one in messages if one.pane is None), "")
    names = tuple(models[one.pane] for one in answers if one.pane is not None)
    return pile, Paper(identity, question, tuple(answers), names, pile.votes.get(identity)), place


def ballot_of(paper: Paper, place: int | None, word: str, annotator: str, *, blind: bool) -> Vote:
    """Make the vote for the answer in ``place``; None for the ``word`` tie or none."""
    return Vote(
        paper.conversation, 1, word if place is None else paper.models[place], paper.models, blind, annotator,
        tuple(asked_with(one) for one in paper.answers), None if place is None else paper.answers[place].pane,
    )  # fmt: skip


def words_of(paper: Paper, ballot: Vote) -> str:
    """Return a vote in words, without a model's name."""
    panes = [one.pane for one in paper.answers]
    if ballot.winner_pane in panes:
        return f"answer {panes.index(ballot.winner_pane) + 1}"
    return {"tie": "a tie", "none": "none good"}.get(ballot.winner, "another answer")


def write_vote(store: Store, ballot: Vote) -> None:
    """Record a vote; it is committed when this returns. Call it in the writer's thread."""
    conversations.vote(store.db, ballot)


def withdraw_vote(store: Store, vote_id: str) -> None:
    """Withdraw a vote. Call it in the writer's thread."""
    conversations.withdraw(store.db, vote_id)
