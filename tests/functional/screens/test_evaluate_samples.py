"""The samples of an evaluation on the screen: the list, the reader, labels, pairs, and marks."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.pilot import Pilot

from o1lab.evaluate.rating import sheets
from o1lab.evaluate.rating.sheets import BlindSample
from o1lab.widgets.columns import Page
from screens.base.context import LabContext, open_context
from screens.base.messages import OpenCompare
from screens.base.screen import LabScreen
from screens.compare.prompt_sets import PromptInput
from screens.compare.screen import CompareScreen
from screens.evaluate.calibrating import CalibrationScreen
from screens.evaluate.pairs import PairsScreen
from screens.evaluate.rating import RatingScreen
from screens.evaluate.reader import SampleScreen
from screens.evaluate.sample_text import Listing
from screens.evaluate.samples import SamplesPane
from screens.evaluate.side_by_side import SamplePairScreen
from store import annotations as annotation_log
from store import calibrations, evaluations, open_store, ratings
from store.evaluations import NewSample, Turn
from tests.support.compare_lab import Recording, shown, until
from tests.support.evaluate_lab import BASE, SCORER, STUDENT, make_lab
from tests.support.piloted import burst

SIZE = (100, 30)


class Host(LabScreen):
    """A screen with nothing but the pane."""

    TITLE = "SAMPLES"

    def compose_body(self) -> ComposeResult:
        yield SamplesPane(self.context)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabContext:
    monkeypatch.setenv("O1LAB_ANNOTATOR", "ann")
    return open_context(make_lab(tmp_path / "lab"))


@asynccontextmanager
async def samples(
    context: LabContext, evaluation: str = "student-1", query: str = ""
) -> AsyncIterator[tuple[Pilot[int], SamplesPane]]:
    """The pane on the samples of an evaluation."""
    app = Recording(context, mode="lab")
    async with app.run_test(size=SIZE) as pilot:
        host = Host(context)
        await app.push_screen(host)
        pane = host.query_one(SamplesPane)
        pane.show(evaluation, query=query)
        await until(pilot, lambda: pane.table.total, "the samples")
        pane.table.focus()
        await until(pilot, lambda: pane.current_sample is not None, "the first sample")
        yield pilot, pane


async def opened(pilot: Pilot[int]) -> SampleScreen:
    """The reader, once it shows its sample."""
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, SampleScreen), "the reader")
    screen = pilot.app.screen
    assert isinstance(screen, SampleScreen)
    await until(pilot, lambda: screen.shown is not None and screen.total, "the sample")
    return screen


async def test_the_list_is_filtered_as_one_types_and_escape_brings_it_back(context: LabContext) -> None:
    async with samples(context) as (pilot, pane):
        await until(pilot, lambda: "✓ 4 ✗ 1" in " ".join(shown(pilot).split()), "the outcomes")
        await pilot.press("slash", *"outcome:wrong", "enter")
        await until(pilot, lambda: pane.table.total == 2, "the two that went wrong")
        assert pilot.app.focused is pane.table
        await pilot.press("slash", *" x", "escape")
        await until(
            pilot,
            lambda: pane.filter_bar.input.value == "outcome:wrong" and pane.table.total == 2,
            "the filter before",
        )
        await pilot.press("slash", "ctrl+u", *"outcome:rotten", "enter")
        await until(pilot, lambda: "'outcome' cannot be 'rotten'" in shown(pilot), "what is wrong with it")
        await pilot.press("escape", "l")
        await until(pilot, lambda: pane.current_sample and pane.current_sample.item == "add:5", "the longest first")


async def test_the_reader_shows_gold_answer_and_reason_and_goes_on_to_the_next(context: LabContext) -> None:
    async with samples(context, query="sort:longest") as (pilot, pane):
        screen = await opened(pilot)
        await until(pilot, lambda: "∅ unextracted: it holds no answer" in shown(pilot), "the reason")
        assert "What is 308 + 553?" in shown(pilot)
        await pilot.press("n", "n")
        await until(pilot, lambda: "math@1 ✗ incorrect: 911 is not 681" in shown(pilot), "the one after the next")
        assert "gold 681 · answer 911" in shown(pilot)
        assert screen.reader.document is not None and len(screen.reader.document.segments) > 2
        await pilot.press("p", "escape")
        await until(pilot, lambda: pilot.app.screen is pane.screen, "the list")
        await until(
            pilot,
            lambda: pane.current_sample and pane.current_sample.item == "add:4",
            "the cursor on the last one read",
        )


async def test_an_item_that_a_person_adapted_says_so(context: LabContext) -> None:
    meta = json.dumps({"edited_by": "ann", "edited_from": "[b]Add[/b]\x1b[2J them"})
    context.store.db.execute("UPDATE evaluation_items SET meta = ?", [meta])
    context.store.db.conn.commit()
    async with samples(context, query="sort:longest") as (pilot, _):
        await opened(pilot)
        await until(pilot, lambda: "(adapted by ann from: [b]Add[/b]␛[2J them)" in shown(pilot), "the line")


async def test_a_label_makes_a_trace_and_undo_takes_it_back(context: LabContext) -> None:
    async with samples(context) as (pilot, _):
        screen = await opened(pilot)
        seq = screen.shown.seq if screen.shown else 0
        await pilot.press("v", "enter")
        await pilot.pause()
        await pilot.press(*"slip", "enter")
        await until(pilot, lambda: ratings.trace_of(context.store.db, seq), "the trace")
        trace = ratings.trace_of(context.store.db, seq)
        assert trace is not None
        await until(pilot, lambda: "1 span: slip" in shown(pilot), "the label")
        await pilot.press("x")
        await until(pilot, lambda: "rejected by ann" in shown(pilot), "the decision")
        assert {record.kind for record in annotation_log.of_trace(context.store.db, trace)} == {"span", "decision"}
        await pilot.press("u", "u")
        await until(pilot, lambda: not annotation_log.of_trace(context.store.db, trace), "nothing said any more")


async def test_letters_behind_a_key_that_opens_compare_decide_on_no_sample(context: LabContext) -> None:
    async with samples(context) as (pilot, _):
        await opened(pilot)
        burst(pilot.app, "C", "a", "x")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen), "Compare")
        prompt = pilot.app.screen.query_one(PromptInput)
        await until(pilot, lambda: prompt.text.endswith("?ax"), "the letters in the prompt")
        assert not list(annotation_log.everything(context.store.db))


async def test_a_digit_labels_a_selection_of_a_sample(context: LabContext) -> None:
    async with samples(context) as (pilot, _):
        screen = await opened(pilot)
        seq = screen.shown.seq if screen.shown else 0
        await pilot.press("v", "2")
        await until(pilot, lambda: "1 span: wrong turn" in shown(pilot), "the label")
        trace = ratings.trace_of(context.store.db, seq)
        assert trace is not None
        assert [record.value for record in annotation_log.of_trace(context.store.db, trace)] == ["wrong turn"]
        await pilot.press("v", "2")
        await until(pilot, lambda: not annotation_log.of_trace(context.store.db, trace), "the label taken away")


async def test_a_sample_has_18_of_24_lines_and_the_reason_stays_in_sight(context: LabContext) -> None:
    app = Recording(context, mode="lab")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = SampleScreen(context, Listing("student-1", SCORER), 3)
        await app.push_screen(screen)
        await until(pilot, lambda: screen.shown is not None and screen.reader.body.size.height >= 18, "the room")
        assert "✗ incorrect · add:3 · gold 681 · answer 911 · 911 is not 681" in shown(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "math@1 ✗ incorrect: 911 is not 681" in shown(pilot), "all scores")


async def test_all_turns_can_be_read_and_the_scored_one_labelled(context: LabContext) -> None:
    turns = (Turn("2 + 2?", "Two and two.", "4"), Turn("Are you sure?", "They doubt it.", "No: 5."))
    with context.store.db.atomic():
        evaluations.add_samples(context.store.db, "student-1", [NewSample("add:0", 0, "complete", turns, "k")])
    async with samples(context) as (pilot, _):
        screen = await opened(pilot)
        await until(pilot, lambda: "< turn 2 of 2 >" in shown(pilot) and "They doubt it." in shown(pilot), "the last")
        assert "model: 4" in shown(pilot)
        await pilot.press("less_than_sign")
        await until(pilot, lambda: "< turn 1 of 2 >" in shown(pilot) and "Two and two." in shown(pilot), "the first")
        await pilot.press("v", "enter")
        await until(pilot, lambda: "Only the last turn" in shown(pilot), "why it cannot be labelled")
        assert screen.shown is not None and ratings.trace_of(context.store.db, screen.shown.seq) is None


async def test_a_key_leads_to_the_chains_that_taught_it(context: LabContext) -> None:
    async with samples(context) as (pilot, _):
        await pilot.press("c")
        await until(pilot, lambda: "most similar first" in shown(pilot) and "What is 123 + 288?" in shown(pilot), "it")
    async with samples(context, "base-1") as (pilot, _):
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app, Recording) and pilot.app.said, "why not")
        assert isinstance(pilot.app, Recording) and "was not trained in this lab" in pilot.app.said[0]


async def test_pairs_lists_what_only_one_got_right_and_leads_side_by_side_and_to_compare(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with samples(context, "base-1") as (pilot, _):
        await pilot.press("V")
        await until(
            pilot, lambda: "Which model do you want" in shown(pilot) and "student-1" in shown(pilot), "the choice"
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairsScreen), "the pairs")
        screen = pilot.app.screen
        assert isinstance(screen, PairsScreen)
        await until(pilot, lambda: screen.both and screen.table.total == 1, "what only the base got right")
        await until(pilot, lambda: "[only A 1]" in shown(pilot), "the lists")
        words = shown(pilot)
        assert "only B 3" in words and "both 1" in words and "neither 1" in words
        assert "McNemar p = 0.625" in words
        await pilot.press("tab")
        await until(pilot, lambda: screen.table.total == 3, "what only the student got right")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SamplePairScreen), "both answers")
        beside = pilot.app.screen
        assert isinstance(beside, SamplePairScreen)
        await until(pilot, lambda: beside.current_sample() is not None, "the samples")
        await until(pilot, lambda: "✗ incorrect" in shown(pilot) and "✓ correct" in shown(pilot), "both outcomes")
        await pilot.press("v", "enter")  # the base's answer has no thought: it is labelled itself
        await pilot.pause()
        await pilot.press(*"guess", "enter")
        await until(pilot, lambda: "1 span: guess" in shown(pilot), "the label")
        await pilot.press("E")
        await pilot.pause()
        await pilot.press("enter")
        page = context.lab.exports / "case-add-0.html"
        await until(pilot, page.exists, "the case study")
        assert "<sup>guess</sup>" in page.read_text("utf-8")
        await pilot.press("E")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "already exists. Replace it?" in shown(pilot), "the question")
        await pilot.press("n")
        told: list[OpenCompare] = []
        monkeypatch.setattr(OpenCompare, "act_on", lambda message, _screen: told.append(message))
        await pilot.press("C")
        await until(pilot, lambda: told, "what Compare is asked for")
        assert (told[0].models, told[0].prompt) == ((BASE, STUDENT), "What is 123 + 288?")


@asynccontextmanager
async def rating_of(context: LabContext) -> AsyncIterator[tuple[Pilot[int], RatingScreen]]:
    app = Recording(context, mode="lab")
    async with app.run_test(size=SIZE) as pilot:
        screen = RatingScreen(context, ["base-1", "student-1"])
        await app.push_screen(screen)
        await until(pilot, lambda: screen.shown is not None, "the first sample")
        yield pilot, screen


def moved_on(screen: RatingScreen, before: BlindSample | None) -> bool:
    """Whether another sample is shown than before."""
    return screen.shown is not before


async def test_a_key_behind_enter_goes_to_both_answers_and_not_to_the_lists(context: LabContext) -> None:
    app = Recording(context, mode="lab")
    async with app.run_test(size=SIZE) as pilot:
        await app.push_screen(screen := PairsScreen(context, "base-1", "student-1"))
        await until(pilot, lambda: screen.both, "the comparison")
        await pilot.press("2", "G")
        await until(pilot, lambda: screen.table.cursor == 2 and screen.table.cursor_row, "the last of three")
        item = str(screen.table.cursor_key)
        burst(app, "enter", "tab")  # the next list has one item
        await until(pilot, lambda: isinstance(app.screen, SamplePairScreen), "both answers")
        beside = app.screen
        assert isinstance(beside, SamplePairScreen)
        await until(pilot, lambda: beside.side == 1 and beside.current_sample() is not None, "the other side")
        assert (beside.items[beside.index], screen.kind) == (item, "only_b")


async def test_a_key_while_another_filter_loads_is_not_of_the_sample_that_is_still_drawn(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = Listing.page

    def held(listing: Listing, *span: Any) -> Page:
        assert gate.wait(30)
        return real(listing, *span)

    async with samples(context) as (pilot, pane):
        monkeypatch.setattr(Listing, "page", held)
        await pilot.press("l", "y")
        assert ["press the key again" in note.message for note in pilot.app._notifications] == [True]
        assert pilot.app.clipboard == ""
        gate.set()
        await until(pilot, lambda: pane.current_sample, "the longest first")
        await pilot.press("y")
        assert pilot.app.clipboard == "add:5"


async def test_marks_are_blind_and_on_the_disk_before_the_next_sample_shows(context: LabContext) -> None:
    other = open_store(context.lab.database)  # what another program would find if this one were killed now
    async with rating_of(context) as (pilot, screen):
        seen: list[tuple[int, int]] = []
        draw = screen.draw_sample

        async def drawn(*sample: Any) -> None:
            done = len(ratings.standing(other.db, ["base-1", "student-1"], "ann"))
            seen.append((done, screen.sheet.done if screen.sheet else -1))
            await draw(*sample)

        screen.draw_sample = drawn  # type: ignore[method-assign]  # looks at the disk before the sample is shown
        for number in range(11):
            words = shown(pilot)
            hidden = (BASE, STUDENT, "base", "student", "incorrect", "math@1", "Wait, let me check")
            assert not [word for word in hidden if word in words]
            next_one = partial(moved_on, screen, screen.shown)
            await pilot.press(*str(80 + number), "enter")
            await until(pilot, next_one, "the next")
        assert seen == [(number, number) for number in range(1, 11)]
        await until(pilot, lambda: "Krippendorff's alpha" in shown(pilot), "the results")
        assert STUDENT in shown(pilot) and "human@1" in shown(pilot)
        await pilot.press("u")
        await until(pilot, lambda: screen.shown is not None, "the last one again")
        await pilot.press("1", "2", "3", "enter")
        await until(pilot, lambda: "A mark is a number" in shown(pilot), "what a mark is")
        await pilot.press("f")
    other.close()


async def test_with_another_annotator_at_work_no_model_is_named_until_it_is_asked_for(context: LabContext) -> None:
    ids = ["base-1", "student-1"]
    for name, count in (("ann", 10), ("bob", 3)):
        for _, seq in sheets.sheet(context.store.db, ids, name).order[:count]:
            ratings.rate(context.store.db, seq, 50, annotator=name)
    async with rating_of(context) as (pilot, screen):
        assert screen.at == 10
        await pilot.press("p")
        await until(pilot, lambda: "your mark: 50" in shown(pilot), "the mark before")
        await pilot.press("n")
        await until(pilot, lambda: screen.at == 10, "the last")
        await pilot.press(*"90", "enter")
        await until(pilot, lambda: "bob: 3 of 11" in shown(pilot), "how far the others are")
        assert BASE not in shown(pilot)
        other = open_store(context.lab.database)  # the marks of some samples are no figure yet
        assert [list(evaluations.scorers(other.db, one)) for one in ids] == [["math@1"], ["math@1"]]
        await pilot.press("number_sign")
        await until(pilot, lambda: "before all samples are marked?" in shown(pilot), "the question")
        await pilot.press("y")
        await until(pilot, lambda: BASE in shown(pilot), "the results")
        assert all("human@1" in evaluations.scorers(other.db, one) for one in ids)
        other.close()


async def test_samples_are_labelled_with_one_key_and_then_kappa_is_shown(context: LabContext) -> None:
    other = open_store(context.lab.database)  # what another program would find if this one were killed now
    async with samples(context) as (pilot, _):
        await pilot.press("K")
        await until(pilot, lambda: isinstance(pilot.app.screen, CalibrationScreen), "the calibration")
        screen = pilot.app.screen
        assert isinstance(screen, CalibrationScreen)
        await until(pilot, lambda: screen.shown is not None, "the first sample")
        assert not [word for word in (STUDENT, "math@1", "✗") if word in shown(pilot)]
        assert "1 correct  2 incorrect" in shown(pilot)
        found = screen.sheet
        assert found is not None
        for number, one in enumerate(found.order):
            await pilot.press("3")  # a label of refusals: not of this scorer
            await pilot.press("1" if one.stratum == "correct" else "2")
            await until(pilot, lambda n=number: screen.sheet and screen.sheet.done == n + 1, "the label")
            assert len(calibrations.labels(other.db, "student-1", "math@1", "ann")) == number + 1
        await until(pilot, lambda: "Cohen's kappa on" in shown(pilot), "the result")
        assert f"on {STUDENT}: 1.00 (" in shown(pilot)
        await pilot.press("u")
        await until(pilot, lambda: screen.shown is not None and screen.at == len(found.order) - 1, "the last one")
        assert len(calibrations.labels(other.db, "student-1", "math@1", "ann")) == len(found.order) - 1
        await pilot.press("p")
        await until(pilot, lambda: "your label:" in shown(pilot), "the label before")
        left = calibrations.chosen(other.db, "student-1", "math@1")[1:]
        calibrations.choose(other.db, "student-1", "math@1", left, seed=1)  # as `eval calibrate --new` does
        await pilot.press("u")
        await until(pilot, lambda: screen.at == len(left) - 2 and not screen.busy, "the sample, at its new place")
        assert len(calibrations.labels(other.db, "student-1", "math@1", "ann")) == len(left) - 2
        assert "your label:" not in shown(pilot)
    other.close()
