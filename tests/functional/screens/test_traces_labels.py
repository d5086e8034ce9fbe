"""Labels and kinds of selected moves: one key each, said by the footer, on disk, undone and taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.app import LabApp
from o1lab.ingest.measuring import moves_of
from screens.base.context import LabContext
from screens.traces.side_by_side import Column, SideBySideScreen
from store import annotations as annotation_log
from store import labels, traces
from store.errors import BusyError
from store.records import Measured
from tests.functional.screens.test_traces import NARROW, WIDE, ready, until, words
from tests.functional.screens.test_traces_annotate import on_disk
from tests.support.compare_lab import shown
from tests.support.lab_seed import all_ids, seeded_context


@pytest.fixture
def context(tmp_path: Path) -> LabContext:
    return seeded_context(tmp_path / "lab", 8)


@pytest.fixture
def first(context: LabContext) -> str:
    """The first trace, with its moves stored as the app's own measuring stores them."""
    trace = next(all_ids(context.store))
    row, text = traces.get(context.store.db, trace), traces.text(context.store.db, trace)
    moves = moves_of(text)
    counts = {kind: sum(move.kind == kind for move in moves) for kind in row.moves or {}}
    packed = " ".join(f"{move.kind.letter}{move.end}" for move in moves)
    measured = Measured(trace, False, counts, row.answer, "correct", "", "hand-1", segments=packed, segmenter=1)
    traces.set_measures(context.store.db, [measured])
    return trace


async def test_a_digit_labels_what_is_selected_and_rates_otherwise(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: "0-5 Rate" in shown(pilot) and "1-9 Label" not in shown(pilot))
        await pilot.press("3")
        await until(pilot, lambda: on_disk(context) == [(first, "rating", "3")])
        await pilot.press("J", "J")
        await until(pilot, lambda: "1-9 Label" in shown(pilot) and "0-5 Rate" not in shown(pilot))
        await until(pilot, lambda: "1 slip  2 wrong turn  3 gap" in shown(pilot))
        await pilot.press("3")
        await until(pilot, lambda: "1 span: gap" in words(screen, "#remarks"))
        assert "saved" in words(screen, "#message") and "gap" in words(screen, "#message")
        moves = moves_of(traces.text(context.store.db, first))
        [span] = [record for record in annotation_log.of_trace(context.store.db, first) if record.kind == "span"]
        assert span.span == (moves[0].start, moves[1].end)  # one span over both moves
        assert screen.reader.body.selection_span is None
        body = screen.reader.body
        assert body.gutter_of(0, 0)[2].text == "3"  # the digit, not only its colour
        await until(pilot, lambda: "0-5 Rate" in shown(pilot))


async def test_a_letter_over_selected_characters_says_where_it_works(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter", "v", "v")
        await until(pilot, lambda: "SELECT 1 char ·" in shown(pilot) and "Kind" not in shown(pilot))
        for number, letter in enumerate("UPCRBVF", 1):
            await pilot.press(letter)
            said = [one.message for one in app._notifications]
            assert said == ["only while moves are selected: esc, then v once"] * number
        assert screen.reader.body.selection_span is not None
        await pilot.press("escape", "v")
        await until(pilot, lambda: "SELECT 1 move" in shown(pilot) and "UPCRBVF Kind" in shown(pilot))
        await pilot.resize_terminal(*NARROW)
        moves = "SELECT 1 move · UPCRBVF kind · jk more · v chars · ⏎ own label · esc"
        await until(pilot, lambda: moves in shown(pilot))
        await pilot.press("v")
        chars = "SELECT 1 char · hjklwb move the end · o other end · ⏎ own label · esc"
        await until(pilot, lambda: chars in shown(pilot))
        assert on_disk(context) == []


async def test_a_label_is_taken_away_by_its_digit_and_by_undo(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter", "v")
        for digit in ("9", "0"):
            await pilot.press(digit)
            said = f"No label has the digit {digit}"
            await until(pilot, lambda said=said: any(said in one.message for one in app._notifications))
        assert on_disk(context) == []  # no rating either
        await pilot.press("1")
        await until(pilot, lambda: "1 span: slip" in words(screen, "#remarks"))
        await pilot.press("v", "2")
        await until(pilot, lambda: "2 spans: slip, wrong turn" in words(screen, "#remarks"))
        await pilot.press("v", "1")
        await until(pilot, lambda: "1 span: wrong turn" in words(screen, "#remarks"))
        assert "undid" in words(screen, "#message") and "slip" in words(screen, "#message")
        await pilot.press("u")
        await until(pilot, lambda: "span" not in words(screen, "#remarks"))
        assert [kind for _, kind, _ in on_disk(context)] == ["span", "span", "undo", "undo"]


async def test_a_selection_by_characters_is_labelled_too(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter", "v", "v", "l", "l", "l", "4")
        await until(pilot, lambda: "1 span: key idea" in words(screen, "#remarks"))
        [record] = annotation_log.of_trace(context.store.db, first)
        assert record.span == (0, 4)


async def test_a_letter_corrects_the_kind_of_selected_moves(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        body = screen.reader.body
        kinds = list(body.segments.kinds)
        moves = traces.get(context.store.db, first).moves
        assert moves is not None and kinds[0] != "backtrack"
        await pilot.press("enter", "v", "B")
        await until(pilot, lambda: body.segments.kinds[0] == "backtrack")
        assert "the move: backtrack" in words(screen, "#message")
        await until(pilot, lambda: f"corrected from {kinds[0]}: tester" in shown(pilot))
        after = traces.get(context.store.db, first).moves
        assert after == moves | {"backtrack": moves["backtrack"] + 1, kinds[0]: moves[kinds[0]] - 1}
        await pilot.press("K", "J", "J", "V")  # the first three moves at once
        await until(pilot, lambda: body.segments.kinds[:3] == ["verify"] * 3)
        assert "3 moves: verify" in words(screen, "#message") and "3 moves corrected" in words(screen, "#remarks")
        await pilot.press("u")
        await until(pilot, lambda: body.segments.kinds[:3] == ["backtrack", *kinds[1:3]])
        await pilot.press("u")
        await until(pilot, lambda: list(body.segments.kinds) == kinds)
        assert traces.get(context.store.db, first).moves == moves
        assert "corrected" not in words(screen, "#remarks")


async def test_letters_keep_their_meaning_when_nothing_is_selected(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        body = screen.reader.body
        await pilot.press("enter", "]", "F")
        await until(pilot, lambda: 1 in body._folded)
        await pilot.press("v", "escape", "=", "B", "V")
        await pilot.pause()
        assert on_disk(context) == []


async def test_labels_are_given_side_by_side(context: LabContext, first: str) -> None:
    labels.add(context.store.db, "my own", digit=8, colour="white")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, SideBySideScreen) and len(app.screen.query(Column)) == 3)
        await until(pilot, lambda: next(iter(app.screen.query(Column))).reader.body.has_focus)
        await pilot.press("v", "8")
        await until(pilot, lambda: on_disk(context) == [(first, "span", "my own")])
        await until(pilot, lambda: "1 span: my own" in shown(pilot))
        await pilot.press("v", "V")
        await until(pilot, lambda: on_disk(context)[1:] == [(first, "move", "verify")])


async def test_the_labels_are_changed_in_a_dialog_and_each_change_is_saved(context: LabContext, first: str) -> None:
    annotation_log.annotate(context.store.db, first, "span", "slip", annotator="tester", span=(0, 4))
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("L")
        await until(pilot, lambda: "1  slip  red · 1 span" in shown(pilot))
        await pilot.press("2")
        await until(pilot, lambda: "saved: slip has the digit 2; wrong turn has the digit 1" in shown(pilot))
        digits = {one.name: one.digit for one in labels.every(context.store.db)}
        assert (digits["slip"], digits["wrong turn"]) == (2, 1)
        await until(pilot, lambda: "1  wrong turn" in shown(pilot))
        await pilot.press("o")
        await until(pilot, lambda: "saved: slip is yellow" in shown(pilot))
        await pilot.press("e")
        await until(pilot, lambda: "New name of the label" in shown(pilot))
        await pilot.press("ctrl+u", *"gap", "enter")
        await until(pilot, lambda: "NOT saved: The lab has a label 'gap' already." in shown(pilot))
        await pilot.press("e")
        await until(pilot, lambda: "New name of the label" in shown(pilot))
        await pilot.press("ctrl+u", *"error", "enter")
        await until(pilot, lambda: "saved: slip is error" in shown(pilot))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "Name of the new label" in shown(pilot))
        await pilot.press(*"guess", "enter")
        await until(pilot, lambda: "saved: guess has the digit 7" in shown(pilot))
        await pilot.press("D")
        await until(pilot, lambda: "saved: guess is removed" in shown(pilot))
        assert "guess" not in labels.known(context.store.db)
        await pilot.press("u")
        await until(pilot, lambda: "undone" in shown(pilot))
        assert labels.get(context.store.db, "guess").digit == 7
        await pilot.press("escape")
        await until(pilot, lambda: "1 span: error" in words(screen, "#remarks"))
        await pilot.press("enter", "v", "7")
        await until(pilot, lambda: "2 spans: error, guess" in words(screen, "#remarks"))


async def test_an_undo_that_fails_can_be_repeated(
    context: LabContext, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await ready(pilot, app)
        await pilot.press("L")
        await until(pilot, lambda: "1  slip" in shown(pilot))
        await pilot.press("0")
        await until(pilot, lambda: "saved: slip has no digit" in shown(pilot))

        def busy(*_: object) -> bool:
            raise BusyError("The lab is busy.", "Try again.")

        with monkeypatch.context() as patch:
            patch.setattr(labels, "restore", busy)
            await pilot.press("u")
            await until(pilot, lambda: "The lab is busy." in shown(pilot))
        await pilot.press("u")
        await until(pilot, lambda: "undone" in shown(pilot))
        assert labels.get(context.store.db, "slip").digit == 1


async def test_changes_of_somebody_else_are_not_undone_in_the_dialog(context: LabContext, first: str) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot, app)
        await pilot.press("L")
        await until(pilot, lambda: "1  slip" in shown(pilot))
        await until(pilot, lambda: "D Remove u Undo" in shown(pilot) and "Cancel" not in shown(pilot))
        await pilot.press("u")
        await until(pilot, lambda: "nothing to undo" in shown(pilot))
        await pilot.press("0")
        await until(pilot, lambda: "saved: slip has no digit" in shown(pilot))
        labels.recolour(context.store.db, "gap", "white")
        await pilot.press("u")
        await until(pilot, lambda: "NOT undone: somebody else" in shown(pilot))
        assert labels.get(context.store.db, "gap").colour == "white"


async def test_the_list_counts_what_is_written_on_traces(context: LabContext, first: str) -> None:
    note = [("note", "Look again."), ("tag", "odd"), ("tag", "long")]
    for kind, value in note:
        annotation_log.annotate(context.store.db, first, kind, value, annotator="ben")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=(80, 30)) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "n1 #2" in shown(pilot))
        await pilot.press("enter", "v", "1")
        await until(pilot, lambda: "1 span: slip" in words(screen, "#remarks"))
        await pilot.press("escape")
        await until(pilot, lambda: "l1 n1 #2 @2" in shown(pilot))
        await pilot.press("u")
        await until(pilot, lambda: "l1" not in shown(pilot) and "n1 #2" in shown(pilot))
