"""Annotating on the Traces screen: nothing is confirmed before it is on the disk, lost, or said of another trace."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from o1lab.app import LabApp
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.form import FieldRow
from screens.base.context import LabContext
from screens.compare.edit_dialog import EditDialog
from screens.forms.dataset import DatasetForm
from screens.traces import annotate
from screens.traces.actions import Action, Written
from screens.traces.dialogs import BulkDialog
from screens.traces.side_by_side import Column, SideBySideScreen
from screens.train.screen import TrainScreen
from store import annotations as annotation_log
from store import datasets, traces
from store.connection import Store, open_store
from store.filters import TraceQuery
from tests.functional.screens.test_traces import NARROW, WIDE, ready, traces_screen, typed, until, words
from tests.functional.screens.test_train import points
from tests.support.compare_lab import filter_by, paste, shown
from tests.support.fake_runs import metric_line, write_run
from tests.support.lab_seed import all_ids, seeded_context
from tests.support.piloted import burst


def on_disk(context: LabContext) -> list[tuple[str, str, str]]:
    """What a fresh process would find: (trace, kind, value) of every record."""
    fresh = open_store(context.lab.database)
    try:
        return [(record.trace_id, record.kind, record.value) for record in annotation_log.everything(fresh.db)]
    finally:
        fresh.close()


@pytest.fixture
def context(tmp_path: Path) -> LabContext:
    return seeded_context(tmp_path / "lab", 12)


@pytest.fixture
def ids(context: LabContext) -> list[str]:
    return list(all_ids(context.store))


async def test_a_decision_is_on_disk_before_it_is_confirmed_and_the_next_trace_comes(
    context: LabContext, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = annotate.write

    def held(store: Store, annotator: str, act: Action) -> Written:
        assert gate.wait(30)
        return real(store, annotator, act)

    monkeypatch.setattr(annotate, "write", held)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("a")
        await pilot.pause()
        assert words(screen, "#message") == ""
        assert screen.target() == ids[0]
        gate.set()
        await until(pilot, lambda: "saved" in words(screen, "#message"))
        assert "tester: accepted · add:0 solver" in words(screen, "#message")
        assert on_disk(context) == [(ids[0], "decision", "accept")]
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.id == ids[1])
        assert screen.table.cursor_key == ids[1]
        await until(pilot, lambda: "1 accepted" in words(screen, "#heading"))


async def test_fast_keys_are_said_of_the_trace_they_were_pressed_on(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        # Away from the trace before its decision is written: the next key is of the row below.
        burst(app, "a", "j", "x", "4", "j", "z")
        await until(pilot, lambda: len(on_disk(context)) == 4)
        expected = [
            (ids[0], "decision", "accept"),
            (ids[1], "decision", "reject"),
            (ids[1], "rating", "4"),
            (ids[2], "decision", "skip"),
        ]
        recorded = on_disk(context)
        assert [record[1:] for record in recorded] == [record[1:] for record in expected]
        assert recorded[0] == expected[0]
        assert len({record[0] for record in recorded if record[1] == "decision"}) == 3
        assert screen.is_current


def hold_pages(monkeypatch: pytest.MonkeyPatch, which: Callable[[TraceQuery, int], object]) -> threading.Event:
    """Let the pages of the list wait, if ``which`` holds of their filter and first row, until the event is set."""
    gate = threading.Event()
    real = traces.page

    def held(db: Any, query: TraceQuery, *, limit: int, offset: int = 0) -> Any:
        if which(query, offset):
            assert gate.wait(30)
        return real(db, query, limit=limit, offset=offset)

    monkeypatch.setattr(traces, "page", held)
    return gate


async def test_a_key_pressed_before_its_row_came_is_said_of_that_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = seeded_context(tmp_path / "many", 240)
    last = list(all_ids(context.store))[-1]
    gate = hold_pages(monkeypatch, lambda _query, offset: offset)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("G", "4")
        assert screen.table.cursor_row is None
        assert on_disk(context) == []
        gate.set()
        await until(pilot, lambda: on_disk(context) == [(last, "rating", "4")])


async def test_a_key_while_another_filter_loads_is_not_of_the_earlier_list(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = hold_pages(monkeypatch, lambda query, _offset: query.source)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        screen.apply(TraceQuery.parse("verdict:wrong"))
        await pilot.press("a")
        assert words(screen, "#message") == "Nothing was recorded. The list is loading: press the key again."
        gate.set()
        await until(pilot, lambda: screen.target() is not None)
        assert on_disk(context) == []


async def test_a_key_while_the_list_is_read_again_is_of_the_row_that_is_drawn(
    context: LabContext, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        gate = hold_pages(monkeypatch, lambda _query, _offset: True)
        screen.table.reload()
        burst(app, "j", "4")
        await until(pilot, lambda: on_disk(context) == [(ids[1], "rating", "4")])
        gate.set()


async def test_keys_that_repeat_before_the_next_trace_came_are_one_decision(
    context: LabContext, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = annotate.write

    def held(store: Store, annotator: str, act: Action) -> Written:
        assert gate.wait(30)
        return real(store, annotator, act)

    monkeypatch.setattr(annotate, "write", held)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        burst(app, "a", "a", "a", "3", "j", "x", "k")
        await pilot.pause()
        gate.set()
        await until(pilot, lambda: len(on_disk(context)) == 3)
        assert on_disk(context) == [
            (ids[0], "decision", "accept"),
            (ids[0], "rating", "3"),
            (ids[1], "decision", "reject"),
        ]
        # The cursor is back on the first trace, whose decision was written last of all but one: nothing jumps away
        # from a trace the person went to on purpose after the key.
        await until(pilot, lambda: screen.target() is not None)


async def test_what_waits_is_written_when_the_app_is_left(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        await pilot.press("a", "q")
    assert on_disk(context) == [(ids[0], "decision", "accept")]


async def test_a_list_of_what_is_to_do_goes_on_from_its_place(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await filter_by(pilot, "decision:none")
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: screen.target() == ids[2])
        for number in (3, 4, 5):
            await pilot.press("x")
            await until(pilot, lambda number=number: screen.target() == ids[number])  # type: ignore[misc]
        assert screen.reader.body.has_focus
        await until(pilot, lambda: screen.table.total == 9)
        assert "3/9" in words(screen, "#folded")


async def test_a_failed_write_says_so_and_stays_on_the_trace(
    context: LabContext, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: Store, annotator: str, act: Action) -> Written:
        import sqlite3

        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(annotate, "write", full)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: "NOT saved" in words(screen, "#message"))
        assert "accepted" in words(screen, "#message")
        assert screen.target() == ids[0]
        assert any("disk" in note.message and "full" in note.message for note in app._notifications)


async def test_a_key_that_shows_another_screen_waits_for_the_keys_before_it(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        burst(app, "j", "4", "f1")
        await until(pilot, lambda: app.current_mode == "lab" and on_disk(context) != [])
        assert on_disk(context) == [(ids[1], "rating", "4")]


async def test_a_label_typed_ahead_of_its_dialog_decides_on_nothing(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        burst(app, "enter", "v", "enter", *"axz", "enter")
        await until(pilot, lambda: on_disk(context) != [])
        assert on_disk(context) == [(ids[0], "span", "axz")]


async def test_letters_behind_the_key_that_continues_a_chain_go_to_its_dialog(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        burst(app, "ctrl+e", "a", "x")
        await until(pilot, lambda: isinstance(app.screen, EditDialog))
        dialog = app.screen
        assert isinstance(dialog, EditDialog)
        await until(pilot, lambda: "ax" in dialog.text)
        assert not on_disk(context)


async def test_tags_note_rating_and_span_are_recorded_and_shown(context: LabContext, ids: list[str]) -> None:
    annotation_log.annotate(context.store.db, ids[5], "tag", "careful", annotator="tester")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog))
        app.screen.query_one(Input).value = "careful, two words"
        await pilot.press("enter")
        await until(pilot, lambda: "#two words" in words(screen, "#remarks"))
        await until(pilot, lambda: "tester: tagged #careful, tagged #two words · " in words(screen, "#message"))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog))
        assert app.screen.query_one(Input).value == "careful, two words, "
        app.screen.query_one(Input).value = "two words"
        await pilot.press("enter")
        await until(pilot, lambda: "#careful" not in words(screen, "#remarks"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog))
        await paste(pilot, "nice check")
        await pilot.press("enter")
        await until(pilot, lambda: "“nice check”" in words(screen, "#remarks"))
        await pilot.press("5")
        await until(pilot, lambda: "rated 5/5" in words(screen, "#remarks"))
        await pilot.press("enter", "J", "J", "enter")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog))
        await paste(pilot, "opening")
        await pilot.press("enter")
        await until(pilot, lambda: "1 span: opening" in words(screen, "#remarks"))
        span = next(record for record in annotation_log.of_trace(context.store.db, ids[0]) if record.kind == "span")
        assert span.span is not None
        thought = traces.text(context.store.db, ids[0]).thought
        assert thought[slice(*span.span)].startswith("Okay, so I need to find 123 + 288.")
        assert screen.target() == ids[0]


async def test_undo_takes_back_and_returns_to_the_trace(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: screen.target() == ids[1])
        await pilot.press("u")
        await until(pilot, lambda: screen.target() == ids[0] and "undid " in words(screen, "#message"))
        assert "saved" not in words(screen, "#message")
        assert traces.get(context.store.db, ids[0]).decision is None
        await until(pilot, lambda: "to do" in words(screen, "#remarks"))
        await pilot.press("u")
        await until(pilot, lambda: "nothing to undo" in words(screen, "#message"))


async def test_a_bulk_decision_shows_what_it_concerns_and_is_undone_at_once(
    context: LabContext, ids: list[str]
) -> None:
    annotation_log.annotate(context.store.db, ids[2], "decision", "accept", annotator="somebody")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("asterisk")
        await until(pilot, lambda: isinstance(app.screen, BulkDialog))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert len(on_disk(context)) == 1, "only what was there"
        await filter_by(pilot, "verdict:wrong")
        await pilot.press("asterisk")
        await until(pilot, lambda: isinstance(app.screen, BulkDialog))
        dialog = app.screen
        assert isinstance(dialog, BulkDialog)
        assert (dialog.chosen.total, dialog.chosen.own) == (3, 0)
        assert dialog.chosen.models == {"Gemma-27B": 3}
        await pilot.press("x")
        await until(pilot, lambda: "3 traces rejected" in words(screen, "#message"))
        assert traces.counts(context.store.db, TraceQuery.parse(""), "decision") == {"": 10, "reject": 2}
        assert traces.ids(context.store.db, TraceQuery.parse("agreement:disputed")) == [ids[2]]
        await pilot.press("u")
        await until(pilot, lambda: "undid one decision on 3 traces" in words(screen, "#message"))
        assert traces.counts(context.store.db, TraceQuery.parse(""), "decision") == {"": 11, "accept": 1}


async def test_a_random_queue_holds_n_traces_and_escape_leaves_it(context: LabContext) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("Q")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog))
        app.screen.query_one(Input).value = "5"
        await pilot.press("enter")
        await until(pilot, lambda: screen.table.total == 5)
        await until(pilot, lambda: "queue: 5 traces" in words(screen, "#heading"))
        await pilot.press("escape")
        await until(pilot, lambda: screen.table.total == 12)


async def test_what_was_accepted_becomes_a_dataset_with_a_hash(context: LabContext, ids: list[str]) -> None:
    for one in (ids[0], ids[4]):
        annotation_log.annotate(context.store.db, one, "decision", "accept", annotator="tester")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DatasetForm))
        app.screen.query_one(Input).value = "not/a name"
        await pilot.press("enter")
        assert isinstance(app.screen, DatasetForm)
        app.screen.query_one(Input).value = "first"
        await pilot.press("enter")
        await until(pilot, lambda: "hash" in words(screen, "#message"))
        made = datasets.get(context.store.db, "first")
        assert (made.rows, made.query, made.phase) == (2, "decision:accept", 2)
        assert made.hash in words(screen, "#message")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_what_is_typed_replaces_the_suggested_name_of_a_dataset(context: LabContext, ids: list[str]) -> None:
    annotation_log.annotate(context.store.db, ids[0], "decision", "accept", annotator="tester")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DatasetForm) and "⏎ Create" in shown(pilot))
        await pilot.press("tab")
        await until(pilot, lambda: "⏎ Create" not in shown(pilot) and "^r Create" in shown(pilot))
        await pilot.press("shift+tab", *typed("mine"), "enter")
        await until(pilot, lambda: "dataset mine: 1 row, hash" in words(screen, "#message"))
        assert [one.name for one in datasets.all_datasets(context.store.db)] == ["mine"]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_the_form_of_a_dataset_offers_what_distill_offers(context: LabContext, ids: list[str]) -> None:
    store = context.store
    datasets.create(store.db, "old", TraceQuery.parse(f"id:{ids[0]}"))
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("d")
        await until(pilot, lambda: "No trace of this filter is accepted yet" in shown(pilot))
        form = app.screen
        assert isinstance(form, DatasetForm)
        fields = {name: form.query_one(f"#row-{name}", FieldRow) for name in ("name", "keep", "per_problem", "mix")}
        fields["keep"].set_text("all")
        await until(pilot, lambda: "9 rows of 12 traces" in shown(pilot))
        fields["per_problem"].set_text("shortest")
        await until(pilot, lambda: "3 rows of 12 traces" in shown(pilot) and "not the shortest" in shown(pilot))
        fields["mix"].set_text("nowhere")
        await until(pilot, lambda: "There is no dataset 'nowhere'" in shown(pilot))
        fields["mix"].set_text("old")
        await until(pilot, lambda: "mixed with old; of them, 3 rows of 12 traces" in shown(pilot))
        fields["name"].set_text("new")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "The traces of the filter are the dataset new-own (3 rows)" in shown(pilot))
        made = datasets.get(store.db, "new")
        assert made.query == "new-own + old"
        assert set(datasets.trace_ids(store.db, "new")) == {ids[0], *datasets.trace_ids(store.db, "new-own")}
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_right_and_wrong_chains_become_pairs_in_the_form_of_a_dataset(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot, app)
        await pilot.press("d")
        await until(pilot, lambda: "No trace of this filter is accepted yet" in shown(pilot))
        form = app.screen
        fields = {name: form.query_one(f"#row-{name}", FieldRow) for name in ("name", "keep", "per_problem")}
        fields["keep"].set_text("pairs")
        await until(pilot, lambda: "6 pairs of chains" in shown(pilot) and "3  neither correct nor" in shown(pilot))
        fields["per_problem"].set_text("shortest")
        await until(pilot, lambda: "Pairs are not mixed" in shown(pilot))
        fields["per_problem"].set_text("all")
        fields["name"].set_text("better")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "rows    6 pairs" in shown(pilot))
        assert datasets.get(context.store.db, "better").kind == "pairs"
        await pilot.press("escape")


async def test_annotations_are_exported_as_jsonl(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("a", "E")
        await until(pilot, lambda: "wrote 1 annotation to" in words(screen, "#message"))
    [path] = context.lab.exports.glob("annotations-*.jsonl")
    [line] = path.read_text("utf-8").splitlines()
    assert json.loads(line)["trace_id"] == ids[0]


async def test_copying_gives_the_trace_id(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        await pilot.press("y")
        assert app.clipboard == ids[0]


def an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(program))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(LabApp, "suspend", lambda self: nullcontext())


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob("o1lab-edit-*/*"))


async def test_an_edited_chain_is_a_new_trace_with_its_parent_verified_again(
    context: LabContext, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_editor(tmp_path, monkeypatch, 'sed -i "s/401/411/g" "$1"')
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.target() == ids[2])
        await pilot.press("e")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.parent_id == ids[2])
        assert screen.shown is not None
        row = screen.shown.row
        assert (row.verdict, row.synthesis, row.answer) == ("correct", "human", "411")
        assert row.measured_by is not None
        assert traces.get(context.store.db, ids[2]).verdict == "incorrect"
        assert on_disk(context) == [(ids[2], "edit", row.id)]
        assert drafts(tmp_path) == []


async def test_an_undone_edit_leaves_its_trace_under_the_cursor_and_says_so(
    context: LabContext, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_editor(tmp_path, monkeypatch, 'sed -i "s/401/411/g" "$1"')
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.target() == ids[2])
        await pilot.press("e")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.parent_id == ids[2])
        assert screen.shown is not None
        edited = screen.shown.row.id
        await until(pilot, lambda: screen.target() == edited)
        await pilot.press("k", "u")
        await until(pilot, lambda: screen.target() == edited)
        assert f"undid the edit; its text is kept as trace {edited[:8]}: x rejects it" in words(screen, "#message")
        await pilot.press("x")
        await until(pilot, lambda: on_disk(context)[-1] == (edited, "decision", "reject"))
        assert annotation_log.of_trace(context.store.db, ids[2]) == []


async def test_what_happened_while_the_editor_was_open_is_shown_afterwards(
    context: LabContext, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(context.lab.runs, "eeee0005", "running", steps=10)
    line = json.dumps(metric_line(11, 100))
    an_editor(tmp_path, monkeypatch, f"cat >> {run.metrics} <<'END'\n{line}\nEND")  # the worker goes on meanwhile
    app = LabApp(context, mode="train")
    async with app.run_test(size=WIDE) as pilot:
        train = app.screen
        assert isinstance(train, TrainScreen)
        await until(pilot, lambda: points(train, "eeee0005") == 10)
        await pilot.press("f2")
        screen = await ready(pilot, app)
        await pilot.press("e")
        await until(pilot, lambda: "The text is unchanged" in words(screen, "#message"))
        annotation_log.annotate(context.store.db, ids[0], "tag", "seen", annotator="somebody else")
        await until(pilot, lambda: "#seen" in words(screen, "#remarks"))  # its own clock ticks on
        await pilot.press("f4")
        await until(pilot, lambda: points(train, "eeee0005") == 11)


async def test_an_edit_that_comes_to_nothing_records_nothing_and_keeps_the_text(
    context: LabContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        for script, told, kept in (
            ("true", "The text is unchanged", 0),
            ('sed -i "s/411/412/" "$1"; exit 1', "Your text is kept in", 1),
            ('printf "caf\\351" > "$1"', "Your text is kept in", 2),
        ):
            an_editor(tmp_path, monkeypatch, script)
            screen.say("")
            await pilot.press("e")
            await until(pilot, lambda told=told: told in words(screen, "#message"))  # type: ignore[misc]
            assert on_disk(context) == []
            assert len(drafts(tmp_path)) == kept


@pytest.mark.parametrize(("size", "columns"), [(NARROW, 2), (WIDE, 3)])
async def test_chains_of_one_problem_stand_side_by_side(
    context: LabContext, ids: list[str], size: tuple[int, int], columns: int
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=size) as pilot:
        await ready(pilot, app)
        await pilot.press("c")
        await until(
            pilot, lambda: isinstance(app.screen, SideBySideScreen) and len(app.screen.query(Column)) == columns
        )
        beside = app.screen
        assert isinstance(beside, SideBySideScreen)
        await until(pilot, lambda: next(iter(beside.query(Column))).reader.body.has_focus)
        assert beside.target() == ids[0]
        await pilot.press("tab", "tab", "tab")
        await until(pilot, lambda: beside.target() == ids[3])
        last = list(beside.query(Column))[-1]
        await until(pilot, lambda: last.reader.body.has_focus and last.chain is not None)
        assert last.chain is not None
        assert last.chain.row.id == ids[3]
        before = last.reader.body.scroll_offset.y
        await pilot.press("space")
        await until(pilot, lambda: last.reader.body.scroll_offset.y > before)
        assert next(iter(beside.query(Column))).reader.body.scroll_offset.y == 0
        await pilot.press("x")
        await until(pilot, lambda: on_disk(context) == [(ids[3], "decision", "reject")])
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not beside)
        screen = traces_screen(app)
        await until(pilot, lambda: "1 rejected" in words(screen, "#heading"))


async def test_the_first_wrong_step_is_marked_at_the_move_and_taken_back(context: LabContext, ids: list[str]) -> None:
    annotation_log.annotate(
        context.store.db, ids[0], "wrong_step", "1", annotator="m [bold]x[/]\x1b[2J", span=(0, 10), run_id="r1"
    )
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("X")
        await until(pilot, lambda: "Press tab" in words(screen, "#message"))
        assert len(on_disk(context)) == 1
        await pilot.press("tab", "]", "]", "X")
        await until(pilot, lambda: "first wrong step: move 3" in words(screen, "#message"))
        assert on_disk(context)[1:] == [(ids[0], "wrong_step", "3")]
        body = screen.reader.body
        await until(pilot, lambda: set(body.signs) == {0, 2})
        assert body.signs[0][0].label == "first wrong step: judge m [bold]x[/]␛[2J"
        assert "✗" in "".join(
            drawn.text for drawn in body.gutter_of(0, body.sections[0].text.line_of(body.segments[2][1]))
        )
        await until(pilot, lambda: "✗ step 3 tester" in words(screen, "#remarks"))
        await pilot.press("A")
        await until(pilot, lambda: set(body.signs) == {0})
        await pilot.press("u")
        await until(pilot, lambda: set(body.signs) == {0, 2})
        await pilot.press("X")
        await until(pilot, lambda: set(body.signs) == {0})
        assert "verdict on the steps withdrawn" in words(screen, "#message")
        assert [record[2] for record in on_disk(context)] == ["1", "3", "none", "", "withdrawn"]
