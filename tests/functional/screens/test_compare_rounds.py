"""Rounds in the Compare screen: a prompt set asked in the background, then voted through blind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from o1lab.chat.rounds.control import start
from o1lab.chat.rounds.directory import RoundFolder, RoundPane
from o1lab.chat.rounds.runner import RoundRunner
from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.widgets.dialogs import ConfirmDialog, PickDialog
from screens.compare.rounds import RoundsScreen
from screens.compare.voting import VotingScreen, ballot_of, read_prompt
from store import branches, conversations
from tests.support.compare_lab import comparing, lab_with, shown, text_of, until
from tests.support.fault_server import FaultServer

PROMPTS = ("What is 1 + 1?", "What is 2 + 2?", "What is 3 + 3?")


@pytest.fixture
def left() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = ["From ", "the left."]
        yield server


@pytest.fixture
def right() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = ["From ", "the right."]
        yield server


@pytest.fixture
def lab(tmp_path: Path, left: FaultServer, right: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": left, "right": right})


async def asked(lab: Lab) -> RoundFolder:
    """A round that has been asked to its end."""
    panes = [RoundPane(model=name, label=name, temperature=0.0) for name in ("left", "right")]
    folder = start(lab, "three", PROMPTS, panes)
    status = await RoundRunner(lab, folder).work()
    assert status.state == "finished"
    return folder


def voted(screen: VotingScreen) -> int | None:
    """Return how many prompts have a vote; None while one is being saved or read."""
    return None if screen.busy or screen.sheet is None else screen.sheet.done


async def test_a_conversation_of_a_round_opens_blind(lab: Lab) -> None:
    folder = await asked(lab)
    async with comparing(lab, ("left",)) as (pilot, screen):
        await screen.controller.reopen(folder.conversation_id(0))
        assert screen.controller.hidden
        await until(pilot, lambda: "model A" in shown(pilot), "the hidden names")
        assert "other: " not in shown(pilot)
        texts = sorted(text_of(screen, place) for place in (0, 1))
        assert texts == [f"> {PROMPTS[0]}\nFrom the {name}." for name in ("left", "right")]


async def test_a_round_is_one_line_of_the_conversations_and_opens_to_them(lab: Lab) -> None:
    folder = await asked(lab)
    with closing(open_lab(lab)) as store:
        other = conversations.create(store.db, "About whales?", [("left", "left")], {})
        question = conversations.Message("q", other.id, 1, None, "user", "complete", "Is 3 + 3 a whale?")
        conversations.save_message(store.db, question)
        assert [(one.round, count) for one, count in conversations.grouped(store.db)] == [(None, 1), (folder.id, 3)]
        assert [count for _, count in conversations.grouped(store.db, text="3 + 3")] == [1, 1]
        assert len(conversations.page(store.db, round=folder.id)) == 3
        assert [one.title for one in conversations.page(store.db, text="3 + 3", round=folder.id)] == [PROMPTS[2]]

    def lists(pilot: Pilot[int], title: str) -> bool:
        dialog = pilot.app.screen
        return isinstance(dialog, PickDialog) and bool(dialog.choices) and f"─ {title} ─" in shown(pilot)

    async with comparing(lab, ("left",)) as (pilot, screen):
        await pilot.press("ctrl+o")
        await until(pilot, lambda: lists(pilot, "Conversations"), "the conversations")
        assert "Round three · 3 conversations" in shown(pilot) and PROMPTS[0] not in shown(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: lists(pilot, "Round three"), "those of the round")
        assert all(prompt in shown(pilot) for prompt in PROMPTS) and "whales" not in shown(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: lists(pilot, "Conversations"), "all again")
        await pilot.press(*"3 + 3")
        await until(pilot, lambda: "Round three · 1 conversation " in shown(pilot), "what matches")
        await pilot.press("down", "enter")
        await until(pilot, lambda: lists(pilot, "Round three"), "the matching one of the round")
        assert PROMPTS[2] in shown(pilot) and PROMPTS[0] not in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: screen.controller.turn == 1, "the conversation")
        assert screen.controller.session.record.id == folder.conversation_id(2)
    with closing(open_lab(lab)) as store:
        folder.settings_file.write_text("{")
    async with comparing(lab, ("left",)) as (pilot, _):
        await pilot.press("ctrl+o")
        await until(
            pilot, lambda: f"Round {folder.id} · 3 conversations" in shown(pilot), "a round without its settings"
        )


def votes_in(lab: Lab) -> list[conversations.Vote]:
    with closing(open_lab(lab)) as store:
        return conversations.votes(store.db)


async def test_a_prompt_set_is_asked_in_the_background_and_voted_through(lab: Lab, left: FaultServer) -> None:
    with closing(open_lab(lab)) as store:
        conversations.save_prompt_set(store.db, "three", list(PROMPTS))
    async with comparing(lab, ("left", "right"), size=(120, 30)) as (pilot, _):
        await pilot.press("escape", "b")
        await until(pilot, lambda: isinstance(pilot.app.screen, RoundsScreen), "the rounds")
        assert "No rounds yet" in shown(pilot)
        await pilot.press("ctrl+n", *"three", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        assert "Ask 3 prompts of three" in shown(pilot)
        assert "6 calls, to left, right." in shown(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "0/3" in shown(pilot) and "finished" in shown(pilot), "the round's end")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, VotingScreen), "the voting")
        voting = pilot.app.screen
        assert isinstance(voting, VotingScreen)
        await until(pilot, lambda: voting.shown is not None and not voting.busy, "the first prompt")
        assert "0 of 3 voted" in shown(pilot)
        assert "left" not in shown(pilot).replace("the left.", "")
        chosen = []
        for number in range(3):
            prompt = voting.shown
            assert prompt is not None
            place = next(at for at, one in enumerate(prompt.answers) if one.content == "From the left.")
            chosen.append(place)
            await pilot.press(str(place + 1))
            await until(
                pilot,
                lambda n=number: voted(voting) == n + 1,
                f"vote {number + 1}",
            )
        await until(pilot, lambda: "You have voted on every prompt." in shown(pilot), "the end")
        assert "left" not in shown(pilot)
        ballots = votes_in(lab)
        assert [(one.winner, one.blind) for one in ballots] == [("left", True)] * 3
        assert [one.candidates.index("left") for one in ballots] == chosen
        await pilot.press("u")
        await until(pilot, lambda: voted(voting) == 2, "the undo")
        assert len(votes_in(lab)) == 2
        assert voting.shown is not None
        await pilot.press("0")
        await until(pilot, lambda: voted(voting) == 3, "the tie")
        assert [(one.winner, one.blind) for one in votes_in(lab)][-1] == ("tie", True)
        await pilot.press("number_sign")
        await until(pilot, lambda: "STRENGTH" in shown(pilot) and "set:three" in shown(pilot), "the results")
        await pilot.press("p")
        await until(pilot, lambda: voting.shown is not None and not voting.busy, "the last prompt")
        await pilot.press("minus")
        await until(pilot, lambda: votes_in(lab)[-1].winner == "none", "another vote")
        assert not votes_in(lab)[-1].blind  # the names were seen
        await pilot.press("escape")
        await until(pilot, lambda: "3/3" in shown(pilot), "the list")


async def test_the_results_before_the_end_are_asked_for(lab: Lab) -> None:
    folder = await asked(lab)
    async with comparing(lab, ("left",)) as (pilot, _):
        voting = VotingScreen(pilot.app.screen.context, folder.id)
        pilot.app.push_screen(voting)
        await until(pilot, lambda: voting.shown is not None and not voting.busy, "the first prompt")
        await pilot.press("number_sign")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is voting, "no")
        assert voting.shown is not None
        first = voting.shown.conversation
        await pilot.press("n")
        await until(pilot, lambda: voting.at == 1 and not voting.busy, "the next prompt")
        await pilot.press("minus")
        await until(pilot, lambda: voted(voting) == 1, "the vote")
        assert voting.shown is not None and voting.shown.conversation == first  # the first without a vote
        await pilot.press("n", "n")
        await until(pilot, lambda: voting.at == 2 and not voting.busy, "the last prompt")
        await pilot.press("n")
        await until(pilot, lambda: "This is the last prompt." in shown(pilot), "the end")
    (ballot,) = votes_in(lab)
    assert (ballot.winner, ballot.winner_pane) == ("none", None)


async def test_undoing_a_vote_on_a_prompt_that_left_the_round_names_it(lab: Lab) -> None:
    folder = await asked(lab)
    async with comparing(lab, ("left",)) as (pilot, _):
        voting = VotingScreen(pilot.app.screen.context, folder.id)
        pilot.app.push_screen(voting)
        await until(pilot, lambda: voting.shown is not None and not voting.busy, "the first prompt")
        await pilot.press("1")
        await until(pilot, lambda: voted(voting) == 1, "the vote")
        with closing(open_lab(lab)) as store:  # in Compare, the left model answers again and is stopped
            (ballot,) = conversations.votes(store.db, round=folder.id)
            (_, first, _) = conversations.messages(store.db, ballot.conversation_id)
            again = replace(first, id=f"{first.id}-again", content="From", state="stopped")
            branches.save(store.db, [replace(first, shown=False), again], head=None)
        await pilot.press("u")
        await until(pilot, lambda: "its prompt is not in this list any more" in shown(pilot), "what is undone")
        assert votes_in(lab) == []
        await until(pilot, lambda: "0 of 2 voted on" in shown(pilot) and not voting.busy, "the others")


async def test_a_round_without_answers_says_so(lab: Lab) -> None:
    panes = [RoundPane(model=name, label=name, temperature=0.0) for name in ("left", "right")]
    folder = start(lab, "three", PROMPTS, panes)
    async with comparing(lab, ("left",)) as (pilot, _):
        voting = VotingScreen(pilot.app.screen.context, folder.id)
        pilot.app.push_screen(voting)
        await until(pilot, lambda: "No prompt of this round has all its answers yet" in shown(pilot), "why")
        await pilot.press("1", "u", "p", "escape")
        await until(pilot, lambda: pilot.app.screen is not voting, "the way back")
    assert votes_in(lab) == []


async def test_a_prompt_that_was_asked_in_other_words_is_voted_on_by_the_answers_that_are_shown(lab: Lab) -> None:
    folder = await asked(lab)
    with closing(open_lab(lab)) as store:
        for number, prompt in enumerate(PROMPTS):
            identity = folder.conversation_id(number)
            (_, first, _) = conversations.messages(store.db, identity)
            version = replace(first, id=f"{identity}-again", content="Once more.")
            branches.save(store.db, [replace(first, shown=False), version], head=None)
            other = conversations.Message(
                f"{identity}-other", identity, 2, None, "user", "complete", f"Tell me: {prompt}", parent=0
            )
            branches.save(store.db, [other], head=None)
        sheet, prompt, _ = read_prompt(store.db, folder.id, "ann", 0)
        assert len(sheet.order) == 3 and prompt is not None
        assert prompt.question in PROMPTS
        assert {one.content for one in prompt.answers} == {"Once more.", "From the right."}
        assert set(ballot_of(prompt, None, "tie", "ann", blind=True).candidates) == {"left", "right"}
        assert read_prompt(store.db, folder.id, "ann", 9)[2] == 2, "the last one, if prompts left the round meanwhile"
