"""Voting through a round, blind and shuffled: one key for each prompt; each vote is on disk before the next prompt."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.chat.contestants import asked_with
from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.compare.keys import PANE_KEYS, VOTE_KEYS
from screens.compare.panes import Panes, draw_answer
from screens.compare.votes import result_lines
from screens.evaluate.blind import BlindScreen, judging_keys
from store import conversations, rounds
from store.conversations import Message, Vote
from store.sqlite import Database


@dataclass(frozen=True)
class BlindPrompt:
    """A prompt with its answers, in the order shown, and your vote so far."""

    conversation: str
    question: str
    answers: tuple[Message, ...]
    models: tuple[str, ...]
    vote: Vote | None


@dataclass(frozen=True)
class VotingSheet:
    """The prompts of a round in the order in which a person sees them.

    Attributes:
        order: The conversations.
        votes: This person's votes, by conversation, the latest last.
    """

    order: tuple[str, ...]
    votes: dict[str, Vote]

    @property
    def done(self) -> int:
        return sum(one in self.votes for one in self.order)

    @property
    def next_at(self) -> int | None:
        """The position of the first prompt without a vote."""
        return next((at for at, one in enumerate(self.order) if one not in self.votes), None)


class VotingScreen(BlindScreen[VotingSheet, BlindPrompt]):
    """The prompts of a round one by one, with the answers side by side and without the names."""

    TITLE = "VOTE"
    NOUN = "prompt"
    DONE = "voted on"
    JUDGEMENT = "vote"
    UNDONE = "Your vote is withdrawn."
    CSS_PATH: ClassVar[list[Any]] = [
        assets_dir() / "styles" / "evaluate_samples.tcss",
        assets_dir() / "styles" / "compare.tcss",
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *VOTE_KEYS,
        *judging_keys("prompt", "vote"),
        Binding("number_sign", "results", "Results", key_display="#",
                tooltip="Show the strengths; asks first while prompts have no vote"),
        *PANE_KEYS,
        Binding("escape", "back", "Leave", tooltip="Leave; every vote is saved, and voting resumes here"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, round_id: str) -> None:
        super().__init__(context)
        self.round = round_id
        self.panes = Panes(id="votes")
        self.panes.together = True

    def compose_answer(self) -> ComposeResult:
        yield self.panes

    def focus_answer(self) -> None:
        self.panes.focus_current()

    def read_at(self, db: Database, at: int | None) -> tuple[VotingSheet, BlindPrompt | None, int]:
        return read_prompt(db, self.round, self.context.annotator, at)

    def undo_last(self, db: Database) -> tuple[bool, int | None]:
        sheet = read_sheet(db, self.round, self.context.annotator)
        if not sheet.votes:
            return False, None
        last = list(sheet.votes.values())[-1]
        conversations.withdraw(db, last.id)
        known = last.conversation_id in sheet.order
        return True, sheet.order.index(last.conversation_id) if known else None

    @property
    def asks_for_results(self) -> bool:
        return not self.unblinded and self.sheet is not None and self.sheet.next_at is not None

    async def draw_sample(self, sheet: VotingSheet, shown: BlindPrompt) -> None:
        self.query_one("#blind-question", Static).update(Text(visible(shown.question)))
        await self.panes.set_count(len(shown.answers))
        for place, (stream, answer) in enumerate(zip(self.panes.places, shown.answers, strict=True)):
            stream.set_title(f"{place + 1}")
            stream.body.folding = True
            draw_answer(stream, answer, "", hidden=True)
            stream.body.sticky = False
            stream.body.action_top()
        numbers = [str(place + 1) for place in range(len(shown.answers))]
        self.panes.name_places([(number, " ") for number in numbers])
        self.panes.focus_current()
        text = Text(f"{' '.join(numbers)} vote · 0 tie · - none good")
        if shown.vote is not None:
            text.append(f"   your vote: {words_of(shown, shown.vote)}", "dim")
        self.show_judgement(text)

    async def draw_end(self) -> None:
        """Say that no prompt is left. The results wait for a key: an undone vote may still be given blind."""
        text = Text()
        if self.sheet is not None and self.sheet.order:
            text.append("You have voted on every prompt.\n\n", "bold").append("# shows the results.")
        else:
            text.append("No prompt of this round has all its answers yet. The list of rounds shows how far it is.")
        self.show_results(text)

    async def draw_results(self) -> None:
        self.show_results(Text(visible("\n".join(await result_lines(self, self.round)))))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        shown = self.shown
        match action:
            case "vote":
                place = parameters[0]
                return shown is not None and isinstance(place, int) and place <= len(shown.answers)
            case "tie" | "none_good":
                return shown is not None
            case "undo":
                return self.sheet is not None and bool(self.sheet.votes)
        return super().check_action(action, parameters)

    def action_vote(self, place: int) -> None:
        """Vote for an answer."""
        self.vote(place - 1, "")

    def action_tie(self) -> None:
        """Vote that the answers are equally good."""
        self.vote(None, "tie")

    def action_none_good(self) -> None:
        """Vote that no answer is good."""
        self.vote(None, "none")

    def vote(self, place: int | None, word: str) -> None:
        """Save a vote for the answer in ``place``, or ``word``: a tie, or none; then show the next prompt."""
        if (shown := self.shown) is not None:
            ballot = ballot_of(shown, place, word, self.context.annotator, blind=not self.unblinded)
            self.save(f"saved: {words_of(shown, ballot)}; u undoes it", conversations.vote, ballot)

    def action_walk(self, steps: int) -> None:
        """Move the focus to the next pane; after the last, the first."""
        self.action_turn_to(steps)

    def action_turn_to(self, steps: int) -> None:
        """Move the focus to another pane."""
        self.panes.turn(steps)


def read_sheet(db: Database, round_id: str, annotator: str) -> VotingSheet:
    """Read the prompts of a round for a person: shuffled, in an order that stays the same."""
    order = rounds.complete(db, round_id)
    random.Random(f"{round_id}:{annotator}").shuffle(order)  # noqa: S311 - an order, no secret
    mine = [one for one in conversations.votes(db, round=round_id) if one.annotator == annotator]
    return VotingSheet(tuple(order), {one.conversation_id: one for one in mine})


def read_prompt(
    db: Database, round_id: str, annotator: str, at: int | None
) -> tuple[VotingSheet, BlindPrompt | None, int]:
    """Read the prompt at a position, or the first one without a vote; None if there is none."""
    sheet = read_sheet(db, round_id, annotator)
    place = sheet.next_at if at is None else at
    if place is None or not sheet.order:
        return sheet, None, len(sheet.order)
    place = min(place, len(sheet.order) - 1)  # a prompt may have left the round meanwhile
    identity = sheet.order[place]
    record = conversations.get(db, identity)
    messages = [one for one in conversations.messages(db, identity, branches=True) if one.turn == 1]
    answers = [one for one in messages if one.pane is not None and one.shown]
    random.Random(f"{identity}:{annotator}").shuffle(answers)  # noqa: S311 - an order, no secret
    models = {pane.position: pane.model for pane in record.panes}
    question = next((one.content for one in messages if one.pane is None), "")
    names = tuple(models[one.pane] for one in answers if one.pane is not None)
    return sheet, BlindPrompt(identity, question, tuple(answers), names, sheet.votes.get(identity)), place


def ballot_of(prompt: BlindPrompt, place: int | None, word: str, annotator: str, *, blind: bool) -> Vote:
    """Make the vote for the answer in ``place``; None for the ``word`` tie or none."""
    return Vote(
        prompt.conversation, 1, word if place is None else prompt.models[place], prompt.models, blind, annotator,
        tuple(asked_with(one) for one in prompt.answers), None if place is None else prompt.answers[place].pane,
    )  # fmt: skip


def words_of(prompt: BlindPrompt, ballot: Vote) -> str:
    """Return a vote in words, without a model's name."""
    panes = [one.pane for one in prompt.answers]
    if ballot.winner_pane in panes:
        return f"answer {panes.index(ballot.winner_pane) + 1}"
    return {"tie": "a tie", "none": "none good"}.get(ballot.winner, "another answer")
