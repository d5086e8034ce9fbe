"""The Compare screen, driven by its keys, against servers that answer and misbehave over real HTTP."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from o1lab.paths import Lab
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from o1lab.widgets.dialogs import PickDialog
from o1lab.widgets.form import FieldRow
from screens.base.messages import OpenTraces
from screens.compare.dialogs import ModelsDialog, SettingsDialog
from screens.train.form import TrainForm
from store import conversations, datasets, open_store, pairs, problems
from store.errors import StoreError
from store.records import NewProblem
from store.sqlite import Database
from tests.support.compare_lab import Recording, answered, ask, comparing, lab_with, saved, shown, text_of, until
from tests.support.fault_server import ANSWER, THOUGHT, FaultServer
from tests.support.lab_seed import HOSTILE, fill
from tests.support.piloted import burst

QUESTION = "What is 964 + 494?"
BOTH = ("left", "right")


@pytest.fixture
def left() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def right() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, left: FaultServer, right: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": left, "right": right})


async def test_both_panes_answer_one_prompt(lab: Lab) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        for place in (0, 1):
            assert text_of(screen, place) == f"> {QUESTION}\n{''.join(ANSWER)}"
        assert screen.prompt.text == ""
        assert shown(pilot).count("5 tok · ttft") == 2


async def test_the_first_token_is_seen_before_the_last_exists(lab: Lab, left: FaultServer) -> None:
    left.mode = "gated"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await until(pilot, lambda: ANSWER[0].strip() in text_of(screen, 0), "the first token")
        await until(pilot, lambda: "".join(ANSWER) in text_of(screen, 1), "the other pane's answer")
        assert "".join(ANSWER) not in text_of(screen, 0)  # the server has not made the rest yet
        assert not left.release.is_set()
        assert "answering" in shown(pilot)
        left.release.set()
        await answered(pilot, screen)
        assert "".join(ANSWER) in text_of(screen, 0)


@pytest.mark.parametrize(
    "fault",
    [
        ("500", "has an internal error (500)", ""),
        ("half", "was cut off", "The answer "),
        pytest.param(("cut", "was cut off", "The answer "), marks=pytest.mark.exhaustive),
        pytest.param(("429", "asks to slow down", ""), marks=pytest.mark.exhaustive),
        pytest.param(("401", "refused the key", ""), marks=pytest.mark.exhaustive),
        pytest.param(("html-200", "sent text/html instead of a stream", ""), marks=pytest.mark.exhaustive),
    ],
    ids=lambda fault: fault[0],
)
async def test_one_pane_failing_leaves_the_other_alone_and_can_be_retried(
    lab: Lab, left: FaultServer, right: FaultServer, fault: tuple[str, str, str]
) -> None:
    left.mode, sentence, kept = fault
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert sentence in " ".join(text_of(screen, 0).split())
        assert kept in text_of(screen, 0)
        assert "".join(ANSWER) in text_of(screen, 1)
        assert "failed · ctrl+r tries again" in shown(pilot)
        left.mode = "ok"
        await pilot.press("ctrl+r")
        await answered(pilot, screen)
        assert text_of(screen, 0) == f"> {QUESTION}\n{''.join(ANSWER)}"
        assert len(left.requests) == 2
        assert len(right.requests) == 1
    assert [(m.state, m.shown) for m in saved(lab) if m.pane == 0] == [("failed", False), ("complete", True)]


async def test_a_pane_that_hangs_is_stopped_alone(lab: Lab, left: FaultServer) -> None:
    left.mode = "hang"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await until(pilot, lambda: not screen.controller.states[1].busy, "the other pane's end")
        assert screen.controller.states[0].busy
        await pilot.press("escape", "s")
        await until(pilot, lambda: not screen.controller.busy, "the stop")
        assert "stopped" in shown(pilot)
        await until(pilot, left.gone.is_set, "the server to notice")
        left.mode = "ok"
        await pilot.press("r")
        await answered(pilot, screen)
        assert "".join(ANSWER) in text_of(screen, 0)


async def test_stopping_keeps_what_came(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    left.mode = right.mode = "gated"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await until(pilot, lambda: all("The" in text_of(screen, place) for place in (0, 1)), "first tokens")
        await pilot.press("escape", "Z")
        await answered(pilot, screen)
        assert text_of(screen, 0) == f"> {QUESTION}\nThe "
    assert [(m.state, m.content) for m in saved(lab) if m.pane is not None] == [("stopped", "The ")] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_keeps_what_came(
    number: signal.Signals, lab: Lab, left: FaultServer, right: FaultServer
) -> None:
    left.mode = right.mode = "gated"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await until(pilot, lambda: all("The" in text_of(screen, place) for place in (0, 1)), "first tokens")
        signal.raise_signal(number)
        await until(pilot, lambda: pilot.app.return_code == 128 + number, "the end of the app")
    assert [(m.state, m.content) for m in saved(lab) if m.pane is not None] == [("stopped", "The ")] * 2


async def test_what_a_server_refuses_is_shown_in_its_pane(lab: Lab, left: FaultServer) -> None:
    left.mode = "no-temperature"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert "• left does not accept temperature, so it is omitted" in text_of(screen, 0)
        assert "•" not in text_of(screen, 1)
        await ask(pilot, screen, "Again?")
        await answered(pilot, screen)
        assert text_of(screen, 0).count("•") == 1
        screen.controller.draw()  # as when the conversation is opened again
        assert "• left does not accept temperature, so it is omitted" in text_of(screen, 0)


async def test_regenerating_replaces_an_answer(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        left.answer = ["Another ", "one."]
        await pilot.press("escape", "r")
        await answered(pilot, screen)
        assert text_of(screen, 0) == f"> {QUESTION}\nAnother one."
        assert len(right.requests) == 1
    assert [(m.shown, m.content) for m in saved(lab) if m.pane == 0] == [
        (False, "".join(ANSWER)),
        (True, "Another one."),
    ]


async def test_a_retry_that_brings_nothing_leaves_the_answer_before(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        left.mode = "500"
        await pilot.press("escape", "r")
        await answered(pilot, screen)
        assert "".join(ANSWER) in text_of(screen, 0)
        assert "The previous answer is kept." in text_of(screen, 0)
    assert [m.state for m in saved(lab) if m.pane == 0] == ["complete"]


async def test_thought_and_answer_are_told_apart_and_the_thought_folds(
    lab: Lab, left: FaultServer, right: FaultServer
) -> None:
    left.mode, right.mode = "reasoning", "no-opening"
    async with comparing(lab, BOTH, size=(130, 30)) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        for place in (0, 1):
            body = screen.panes.places[place].body
            texts = dict(zip(body.parts, (section.text.text for section in body.sections), strict=True))
            assert texts["thought"].strip() == "".join(THOUGHT)
            assert texts["answer"].strip() == "".join(ANSWER)
        await until(pilot, lambda: "▾ thought (3 tokens)" in shown(pilot), "the thought, open")
        await pilot.press("escape", "f")
        await until(pilot, lambda: "▸ thought (3 tokens)" in shown(pilot), "the thought, folded")
        await until(pilot, lambda: "(3 thought)" in shown(pilot), "its size in the pane's foot")


async def test_turns_go_on_from_what_was_said(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, "First?")
        await answered(pilot, screen)
        await ask(pilot, screen, "Second?")
        await answered(pilot, screen)
        assert [m["content"] for m in left.requests[1]["messages"]] == ["First?", "".join(ANSWER), "Second?"]
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.controller.turn == 0, "a new conversation")
        await ask(pilot, screen, "Third?")
        await answered(pilot, screen)
        assert [m["content"] for m in left.requests[2]["messages"]] == ["Third?"]


async def test_a_known_problem_gets_its_verdict(lab: Lab, right: FaultServer) -> None:
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, [NewProblem(QUESTION, "hand", answer="1458")])
    store.close()
    right.answer = ["So the answer is \\boxed{1448}."]
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        # A high speed takes the place of the word.
        await until(pilot, lambda: "✓" in shown(pilot) and "✗" in shown(pilot), "the verdicts")


async def test_enter_sends_what_was_typed_before_it_and_ctrl_j_breaks_the_line(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        burst(pilot.app, "a", "1", "ctrl+j", "x", "enter", "q")
        await until(pilot, lambda: screen.controller.turn, "the question")
        await answered(pilot, screen)
        assert left.requests[0]["messages"][-1]["content"] == "a1\nx"
        assert screen.controller.ballot is None


async def test_a_blind_vote_names_nobody_before_it(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    left.answer, right.answer = ["From the left."], ["From the right."]
    async with comparing(lab, BOTH) as (pilot, screen):
        await pilot.press("escape", "B")
        await until(pilot, lambda: screen.controller.settings.blind, "blind")
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        page = shown(pilot)
        assert "1 model A" in page
        assert "2 model B" in page
        assert "other: left" not in page
        assert "ttft" not in page  # a pane's speed tells who it is
        await pilot.press("escape", "2")
        await until(pilot, lambda: screen.controller.ballot is not None, "the vote")
        await pilot.pause()
        winner = "right" if "right" in text_of(screen, 1) else "left"
        assert f"2 B was other: {winner}" in shown(pilot)
        await until(pilot, lambda: f"{winner} 1/1" in shown(pilot), "the tally")
        store = screen.context.store
        (vote,) = conversations.votes(store.db)
        assert (vote.winner, vote.blind, vote.annotator) == (winner, True, "tester")
        assert vote.candidates == (("left", "right") if winner == "right" else ("right", "left"))


async def test_blind_votes_become_a_dataset_of_pairs(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    left.answer, right.answer = ["From the left."], ["From the right."]
    async with comparing(lab, BOTH) as (pilot, screen):
        await pilot.press("escape", "B")
        await until(pilot, lambda: screen.controller.settings.blind, "blind")
        await pilot.press("d")
        await until(pilot, lambda: "its name:" in shown(pilot), "the question")
        await pilot.press("enter")
        app = pilot.app
        assert isinstance(app, Recording)
        await until(pilot, lambda: any("There is no pair (votes: none in the lab)." in one for one in app.said), "why")
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "1")
        await until(pilot, lambda: screen.controller.ballot is not None, "the vote")
        await pilot.press("d")
        await until(pilot, lambda: "its name:" in shown(pilot), "the question")
        await pilot.press("enter")
        await until(pilot, lambda: "1 from votes" in shown(pilot), "the dataset")
        db = screen.context.store.db
        (made,) = datasets.all_datasets(db)
        (row,) = pairs.rows(db, made.name)
        (vote,) = conversations.votes(db)
        assert (row.chosen.model, row.chosen.statement) == (vote.winner, QUESTION)
        assert row.chosen.solution == f"From the {vote.winner}."
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TrainForm), "the form of a run")
        form = app.screen
        await until(pilot, lambda: form.query("#row-objective"), "its fields")
        rows = {name: form.query_one(f"#row-{name}", FieldRow) for name in ("objective", "learning_rate")}
        await until(pilot, lambda: rows["objective"].text == "dpo", "the objective")
        assert rows["learning_rate"].text == "2e-05"


async def test_blind_hides_why_a_pane_failed(lab: Lab, left: FaultServer) -> None:
    left.mode = "500"
    async with comparing(lab, BOTH) as (pilot, screen):
        await pilot.press("escape", "B")
        await until(pilot, lambda: screen.controller.settings.blind, "blind")
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        everything = text_of(screen, 0) + text_of(screen, 1)
        assert "This model failed." in everything
        assert left.url not in everything


async def test_a_tie_and_none_good_are_votes_too(lab: Lab) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        db = screen.context.store.db
        for key, winner in (("0", "tie"), ("minus", "none")):
            await pilot.press("escape", key)
            await until(pilot, lambda w=winner: [v.winner for v in conversations.votes(db)] == [w], winner)


async def test_models_are_chosen_by_keyboard(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    async with comparing(lab, ("left",)) as (pilot, screen):
        await pilot.press("escape", "ampersand")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelsDialog), "the dialog")
        await pilot.press(*"right", "space", "enter")
        await until(pilot, lambda: [ref.id for ref in screen.controller.refs] == ["left", "right"], "both models")
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert left.requests and right.requests
        await pilot.press("escape", "D")
        await until(pilot, lambda: [ref.id for ref in screen.controller.refs] == ["right"], "one pane less")
        assert screen.prompt.text == QUESTION  # ready to be asked again


async def test_settings_reach_the_server(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsDialog), "the dialog")
        dialog = pilot.app.screen
        dialog.query_one("#top_p", Input).value = "7"
        await pilot.press("enter")
        await until(pilot, lambda: "top-p" in str(dialog.query_one(".hint").render()), "the refusal")
        dialog.query_one("#top_p", Input).value = "0.9"
        dialog.query_one("#temperature", Input).value = "0.7"
        dialog.query_one("#max_tokens", Input).value = "77"
        dialog.query_one("#system").text = "Be brief."  # type: ignore[attr-defined]
        dialog.query_one("#temperature").focus()
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen, "the dialog's end")
        assert "temperature 0.7 · top-p 0.9 · max 77 · seed 1 · system prompt" in shown(pilot)
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        body = left.requests[0]
        assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.7, 0.9, 77, 1)
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_saved_conversations_are_found_reopened_and_exported(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, "About whales?")
        await answered(pilot, screen)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.controller.turn == 0, "a new conversation")
        await ask(pilot, screen, "About ants?")
        await answered(pilot, screen)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the dialog")
        await pilot.press(*"whales", "enter")
        await until(
            pilot, lambda: screen.controller.turn and screen.controller.session.question() == "About whales?", "it"
        )
        await pilot.pause()
        assert text_of(screen, 1) == f"> About whales?\n{''.join(ANSWER)}"
        await ask(pilot, screen, "And krill?")
        await answered(pilot, screen)
        assert left.requests[-1]["messages"][0]["content"] == "About whales?"
        await pilot.press("escape", "E")
        await until(pilot, lambda: list(lab.exports.glob("*.md")), "the export")
        (page,) = lab.exports.glob("*.md")
        assert "About whales?" in page.read_text("utf-8")
        assert "And krill?" in page.read_text("utf-8")


async def test_prompt_sets_are_saved_and_stepped_through(lab: Lab, left: FaultServer) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        for text in ("One?", "Two?"):
            screen.prompt.text = text
            await pilot.press("escape", "w")
            await until(pilot, lambda: pilot.app.screen is not screen, "the dialog")
            await pilot.press("enter")
            await until(pilot, lambda: pilot.app.screen is screen, "the dialog's end")
        await until(
            pilot,
            lambda: conversations.prompt_sets(screen.context.store.db) == {"prompts": ["One?", "Two?"]},
            "the set",
        )
        await pilot.press("L")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the dialog")
        await pilot.press("enter")
        await until(pilot, lambda: screen.prompt.text == "One?", "the first prompt")
        assert "prompts 1/2" in shown(pilot)
        await pilot.press("enter")
        await answered(pilot, screen)
        await pilot.press("n")
        assert screen.prompt.text == "Two?"
        await pilot.press("enter")
        await until(pilot, lambda: len(left.requests) == 2, "the second question")
        await answered(pilot, screen)
        assert [m["content"] for m in left.requests[1]["messages"]] == ["Two?"]  # each is asked afresh
        await pilot.press("p")
        assert screen.prompt.text == "One?"


async def test_an_answer_becomes_a_trace(lab: Lab, left: FaultServer) -> None:
    left.mode = "reasoning"
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "T")
        db = screen.context.store.db

        def rows() -> list[tuple[object, ...]]:
            return list(db.execute("SELECT model, source FROM traces"))

        await until(pilot, rows, "the trace")
        assert rows() == [("left", "chat")]


def trained_run(lab: Lab, name: str, trace_id: str) -> None:
    """A finished run with one checkpoint and two rows, as the trainer leaves it."""
    run = lab.runs / name
    checkpoint = run / "checkpoints" / "step-50"
    checkpoint.mkdir(parents=True)
    (checkpoint / "adapter_config.json").write_text("{}")
    (checkpoint / "adapter_model.safetensors").write_bytes(b"")
    (run / "recipe.yaml").write_text("base: smollm2-135m\n")
    (run / "status.json").write_text(json.dumps({"state": "finished"}))
    rows = [
        {"trace_id": "0" * 16, "prompt": "What is 111 + 222?", "thought": "No carry.", "solution": "333"},
        {"trace_id": trace_id, "prompt": "What is 964 + 495?", "thought": "Carry one.", "solution": "1459"},
    ]
    (run / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


async def test_an_answer_of_a_student_leads_to_the_chains_that_taught_it(
    lab: Lab, left: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(lab.database)
    taught = fill(store, 4)[0]
    store.close()
    trained_run(lab, "demo", taught)

    async def open_here(ref: ModelRef, manager: object = None) -> ModelAddress:
        return ModelAddress(left.url, ref.id, "none")

    monkeypatch.setattr("screens.compare.controller.open_model", open_here)
    async with comparing(lab, ("demo/50", "right")) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the dialog")
        await until(pilot, lambda: "What is 964 + 495?" in shown(pilot), "the chains")
        opened = []
        monkeypatch.setattr(OpenTraces, "act_on", lambda message, _screen: opened.append(message.trace_id))
        await pilot.press("enter")
        await until(pilot, lambda: opened == [taught], "the way to Traces")
        await pilot.press("f5")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        await pilot.press("right", "c")  # the endpoint beside it was not trained here
        await pilot.pause()
        assert pilot.app.screen is screen


async def test_three_panes_are_tabs_at_80_columns(tmp_path: Path, left: FaultServer, right: FaultServer) -> None:
    with FaultServer() as third:
        lab = lab_with(tmp_path / "lab", {"left": left, "right": right, "third": third})
        async with comparing(lab, ("left", "right", "third"), size=(80, 24)) as (pilot, screen):
            await ask(pilot, screen, QUESTION)
            await answered(pilot, screen)
            assert [pane.display for pane in screen.panes.places] == [True, False, False]
            await pilot.press("tab", "tab")
            assert [pane.display for pane in screen.panes.places] == [False, True, False]
            assert "[ · 2 other: right ]" in shown(pilot)
            await pilot.press("tab", "tab")
            assert screen.prompt.has_focus
            await pilot.resize_terminal(130, 30)
            await pilot.pause()
            assert [pane.display for pane in screen.panes.places] == [True, True, True]


async def test_model_output_is_shown_literally(lab: Lab, left: FaultServer) -> None:
    left.answer = [HOSTILE.replace("\ud800", ""), "[link=http://x]x[/link]", "end"]
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, "\x1b[31mred? [b]x[/b]")
        await answered(pilot, screen)
        page = shown(pilot)
        assert "[bold red]not markup[/]" in " ".join(page.replace("│", " ").replace("┃", " ").split())
        assert not any(ord(char) < 32 and char != "\n" for char in page)
        assert "\u202e" not in page


async def test_a_missing_key_is_a_sentence_in_its_pane(lab: Lab) -> None:
    config = lab.config.read_text("utf-8").replace('name = "left"', 'name = "left"\nkey_env = "NO_SUCH_KEY"', 1)
    lab.config.write_text(config, "utf-8")
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert "NO_SUCH_KEY is not set" in text_of(screen, 0)
        assert "".join(ANSWER) in text_of(screen, 1)


async def test_a_run_that_trains_here_is_mentioned(lab: Lab) -> None:
    status = lab.runs / "demo-run" / "status.json"
    status.parent.mkdir(parents=True)
    status.write_text(json.dumps({"state": "running", "host": os.uname().nodename, "pid": os.getpid()}))
    async with comparing(lab, BOTH) as (pilot, screen):
        await until(pilot, lambda: "demo-run is training on this machine" in shown(pilot), "the notice")
        assert screen.prompt.has_focus


async def test_letters_are_in_the_palette_while_one_writes(lab: Lab) -> None:
    async with comparing(lab, BOTH) as (pilot, screen):
        await pilot.press("ctrl+p")
        await until(pilot, lambda: pilot.app.screen is not screen, "the palette")
        await pilot.press(*"models (esc")
        await until(pilot, lambda: "Models (esc, then &)" in shown(pilot), "the command")


async def test_an_answer_that_cannot_be_saved_stays_on_the_screen_with_the_reason(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = conversations.save_message

    def full(db: Database, message: conversations.Message) -> None:
        if message.pane == 0:
            raise StoreError("The disk is full.", "Make room.")
        save(db, message)

    monkeypatch.setattr(conversations, "save_message", full)
    async with comparing(lab, BOTH) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert "".join(ANSWER) in text_of(screen, 0)
        assert "The disk is full." in text_of(screen, 0)
        assert "failed · ctrl+r tries again" in shown(pilot)
        assert "".join(ANSWER) in text_of(screen, 1)
        monkeypatch.undo()
        await pilot.press("ctrl+r")
        await answered(pilot, screen)
        assert "The disk is full." not in text_of(screen, 0)
    assert [m.state for m in saved(lab) if m.pane == 0] == ["complete"]
