"""The Traces screen, driven by its keys: list, filter, reader, narrow and wide, other programs on the same lab."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from o1lab.app import LabApp
from o1lab.ingest.importer import import_files
from o1lab.widgets.text_pane import EmptyState
from screens.base.context import open_context
from screens.filtering.filter_bar import FilterBar
from screens.traces.anchors import AnchorsScreen
from screens.traces.lens import LensScreen
from screens.traces.screen import TracesScreen
from screens.traces.tree import TreeDialog
from store import annotations as annotation_log
from store import problems, traces
from store.connection import open_store
from store.filters import TraceQuery
from store.records import NewProblem
from tests.support import compare_lab, search_tree
from tests.support.compare_lab import filter_by, shown
from tests.support.lab_seed import HOSTILE, add_raw, all_ids, make_lab, seeded_context, trace_of
from tests.support.piloted import burst

WIDE = (140, 40)
NARROW = (80, 24)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the app work until ``condition`` holds."""
    await compare_lab.until(pilot, condition, "what the test expects")


def traces_screen(app: LabApp) -> TracesScreen:
    screen = app.screen
    assert isinstance(screen, TracesScreen)
    return screen


async def ready(pilot: Pilot[int], app: LabApp) -> TracesScreen:
    """The screen once it shows a chain."""
    await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown is not None)
    return traces_screen(app)


def words(screen: TracesScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).content)


def typed(text: str) -> list[str]:
    """The key names for typing ``text``."""
    names = {
        " ": "space",
        ":": "colon",
        ">": "greater_than_sign",
        "=": "equals_sign",
        "-": "minus",
        '"': "quotation_mark",
    }
    return [names.get(character, character) for character in text]


async def test_the_list_shows_the_chain_under_the_cursor_with_its_problem_and_verdict(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        assert screen.table.total == 8
        assert "gold 411 · answer 411 ✓ correct" in words(screen, "#title")
        await pilot.press("j", "j")
        await until(pilot, lambda: "✗ incorrect" in words(screen, "#title"))
        assert "gold 411 · answer 401" in words(screen, "#title")
        assert "What is 123 + 288?" in words(screen, "#statement-text")
        assert screen.reader.document is not None
        assert "401" in screen.reader.document.thought
        assert "8 traces · 0 accepted" in words(screen, "#heading")  # type: ignore[arg-type]


async def test_the_reader_shows_the_conversation_that_a_trace_answers(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", 0)
    store = open_store(lab.database)
    turns = [("system", "Be brief."), ("user", "What is 1 + 1?"), ("assistant", "2"), ("user", "Sure?")]
    context = tuple({"role": role, "content": text} for role, text in turns)
    raw = "<think>\nYes.\n</think>\n\n2"
    problem = NewProblem("What is 1 + 1?", "hand")
    trace = replace(trace_of(problem, "m", f"PREFACE {raw}"), context=context, outside=((0, 7),))
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    store.close()
    app = LabApp(open_context(lab), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        shown = words(screen, "#statement-text")
        assert shown.startswith("(4 messages: i shows them) What is 1 + 1?")
        assert all(f"[{role}] {text}" in shown for role, text in turns)
        assert screen.reader.document is not None
        assert screen.reader.document.solution == "PREFACE\n\n2"


async def test_a_filter_narrows_the_list_while_it_is_typed_and_enter_leaves_the_line(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 40), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("slash", *typed("verdict:wrong sort:-chars"))
        await until(pilot, lambda: screen.table.total == 10)
        await pilot.press("enter")
        await until(pilot, lambda: screen.table.has_focus)
        assert screen.query_now.descending
        await pilot.press("slash", *typed(" subtracting"), "escape")
        await until(pilot, lambda: screen.table.has_focus)
        assert screen.query_now.source == "verdict:wrong sort:-chars"
        await until(pilot, lambda: screen.table.total == 10)


async def test_escape_after_a_click_into_the_filter_goes_back_to_the_list(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.click("#filter-line")
        await pilot.press("escape")
        await until(pilot, lambda: screen.table.has_focus)
        assert screen.table.total == 8


async def test_the_filter_line_takes_a_burst_of_keys_in_order(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("slash", *typed("verdict:wrong"))
        burst(app, "ctrl+u", *"wait", "enter")
        await until(pilot, lambda: screen.query_now.source == "wait" and screen.table.has_focus)


async def test_a_burst_of_keys_is_read_as_if_they_came_one_by_one(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 8)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        # The a and the x of a filter decide on nothing, and the j behind enter is no letter of it.
        burst(app, "slash", *"axa", "ctrl+u", *"max", "enter", "j")
        await until(pilot, lambda: screen.query_now.source == "max" and screen.table.has_focus)
        await pilot.pause()
        assert screen.query_one(FilterBar).input.value == "max"
        assert list(annotation_log.everything(context.store.db)) == []


@pytest.mark.parametrize(("key", "kind"), [("percent_sign", LensScreen), ("colon", AnchorsScreen)])
@pytest.mark.parametrize("moves", [("j",), ("enter", "full_stop")], ids=["list", "reader"])
async def test_a_screen_of_a_chain_opens_on_the_one_under_the_cursor(
    tmp_path: Path, moves: tuple[str, ...], key: str, kind: type[LensScreen | AnchorsScreen]
) -> None:
    context = seeded_context(tmp_path / "lab", 8)
    ids = list(all_ids(context.store))
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot, app)
        burst(app, *moves, key)  # the chain of the second row has not been read yet
        await until(pilot, lambda: isinstance(app.screen, kind))
        assert isinstance(app.screen, kind) and app.screen.trace_id == ids[1]


async def test_words_search_the_texts(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 40), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await filter_by(pilot, '"start over"')
        await until(pilot, lambda: screen.table.total == 10)
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.model == "Sky-T1-14B")


async def test_a_filter_that_means_nothing_says_so_under_the_line_and_keeps_the_list(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await filter_by(pilot, "verdict:maybe")
        assert "cannot be 'maybe'" in words(screen, "#filter-help")
        assert screen.query_one(FilterBar).has_class("-wrong")
        assert screen.query_one(FilterBar).input.has_focus
        assert screen.table.total == 8


async def test_eighty_columns_show_one_pane_at_a_time(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        chain, folded = screen.query_one("#chain"), screen.query_one("#folded")
        assert screen.table.display
        assert not chain.display
        await pilot.press("enter")
        await until(pilot, lambda: chain.display and not screen.table.display)
        assert screen.reader.body.has_focus
        assert folded.display
        assert "1/8" in words(screen, "#folded")
        await pilot.press("full_stop")
        await until(pilot, lambda: "2/8" in words(screen, "#folded"))
        await pilot.press("escape")
        await until(pilot, lambda: screen.table.has_focus and screen.table.display)
        await pilot.press("tab")
        await until(pilot, lambda: screen.reader.body.has_focus)
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: screen.table.display and chain.display)


@pytest.mark.parametrize("size", [NARROW, pytest.param(WIDE, marks=pytest.mark.exhaustive)])
async def test_enter_before_the_rows_came_opens_the_chain_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    gate = threading.Event()
    real = traces.page

    def held(*arguments: Any, **options: Any) -> Any:
        assert gate.wait(30)
        return real(*arguments, **options)

    monkeypatch.setattr(traces, "page", held)
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.table.has_focus)
        screen = traces_screen(app)
        await pilot.press("enter")
        assert screen.shown is None
        gate.set()
        await until(pilot, lambda: screen.reader.body.has_focus)
        assert screen.shown is not None
        await pilot.press("escape", "j")
        await until(pilot, lambda: screen.shown is not None and screen.table.cursor_key == screen.shown.row.id)
        assert screen.table.has_focus


async def test_an_empty_lab_names_the_next_action(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 0), mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: app.screen.has_class("-empty"))
        assert app.screen.query_one(EmptyState).display
        await pilot.press("a", "x", "t", "m", "e", "d", "asterisk", "c", "y", "u", "i")
        await pilot.pause()
        assert app.is_running


async def test_another_screen_opens_a_filter_and_a_trace(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 240)
    ids = list(all_ids(context.store))
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        screen.open("teacher:gemma", ids[238])
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.id == ids[238])
        await until(pilot, lambda: screen.target() == ids[238])
        await until(pilot, lambda: screen.table.cursor_key == ids[238])
        assert screen.reader.body.has_focus
        screen.open("verdict:nonsense", None)
        await until(pilot, lambda: len(app._notifications) == 1)
        assert screen.query_now.source == "teacher:gemma"


async def test_what_another_program_wrote_appears_and_the_cursor_stays(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", 12)
    app = LabApp(open_context(lab), mode="traces")
    other = open_store(lab.database)
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await filter_by(pilot, "decision:none")
        await pilot.press("j", "j", "j")
        ids = list(all_ids(other))
        await until(pilot, lambda: screen.target() == ids[3])
        await screen.look_for_changes().wait()
        annotation_log.annotate(other.db, ids[0], "decision", "accept", annotator="somebody else")
        await screen.look_for_changes().wait()
        await until(pilot, lambda: screen.table.total == 11 and screen.target() == ids[3])
        assert screen.table.cursor == 2
        annotation_log.annotate(other.db, ids[3], "tag", "seen", annotator="somebody else")
        await screen.look_for_changes().wait()
        await until(pilot, lambda: "#seen" in words(screen, "#remarks"))
    other.close()


@pytest.mark.parametrize("size", [NARROW, pytest.param(WIDE, marks=pytest.mark.exhaustive)])
async def test_hostile_chains_are_shown_literally(tmp_path: Path, size: tuple[int, int]) -> None:
    context = seeded_context(tmp_path / "lab", 0)
    raw = f"<think>{HOSTILE * 3}\n{'x' * 1_000_000}</think>{HOSTILE}"
    add_raw(context.store, raw, statement=f"{HOSTILE} What is it?", model=f"m{HOSTILE}")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=size) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("i", "enter")
        await until(pilot, lambda: screen.reader.body.has_focus)
        svg = app.export_screenshot()
        strips = ["".join(s.text for s in screen.reader.body.render_line(y)) for y in range(8)]
        assert any("[bold red]not markup[/]" in line for line in strips)
        assert any("␛" in line for line in strips)
        for forbidden in ("\x1b", "\x07", "\x00", "\u202e", "\u2066", "\x9b"):
            assert forbidden not in svg
            assert all(forbidden not in line for line in strips)
        await pilot.press("G", "g", "a")
        await until(pilot, lambda: "accepted by tester" in words(screen, "#remarks"))


async def test_many_traces_are_a_lower_bound_until_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "AT_ONCE", 5)
    app = LabApp(seeded_context(tmp_path / "lab", 12), mode="traces")
    store = app.context.store
    everything, go_on = list(all_ids(store)), threading.Event()
    count, progress = traces.count, annotation_log.progress
    # Counting all of them waits until the test lets it go on.
    monkeypatch.setattr(traces, "count", lambda *args, **more: (more or go_on.wait(60)) and count(*args, **more))
    monkeypatch.setattr(
        annotation_log,
        "progress",
        lambda *args, **more: (more["at_most"] or go_on.wait(60)) and progress(*args, **more),
    )
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "5+ traces" in words(screen, "#heading"))
        assert "5+ to do" in words(screen, "#heading")
        await until(pilot, lambda: words(screen, "#folded").startswith("1/12+ "))  # the page that was read has 12
        assert not screen.table.exact
        screen.open("", everything[9])  # beyond what is counted
        await until(pilot, lambda: screen.target() == everything[9])
        go_on.set()
        await until(pilot, lambda: screen.table.exact and "12 traces" in words(screen, "#heading"))
        await until(pilot, lambda: words(screen, "#folded").startswith("10/12 "))
        assert "+" not in words(screen, "#heading")
        await pilot.press("a")
        await until(pilot, lambda: "1 accepted" in words(screen, "#heading"))
        assert "12 traces" in words(screen, "#heading")


async def test_the_end_of_many_traces_is_the_last_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "AT_ONCE", 150)
    app = LabApp(seeded_context(tmp_path / "lab", 260), mode="traces")
    store, go_on, count = app.context.store, threading.Event(), traces.count
    monkeypatch.setattr(traces, "count", lambda *args, **more: (more or go_on.wait(60)) and count(*args, **more))
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("G")
        await until(pilot, lambda: screen.table.cursor >= 149)
        go_on.set()
        await until(pilot, lambda: screen.target() == list(all_ids(store))[-1])
        assert screen.table.cursor == 259


async def test_every_action_is_in_the_palette(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        titles = " | ".join(command.title for command in app.get_system_commands(screen))
        for action in (
            "Accept", "Reject", "Skip", "Rate 5", "Tags", "Note", "Edit", "Undo", "Filter", "Sort", "Dataset",
            "Decide all", "Random queue", "Export annotations", "Side by side", "Copy id", "Next to do", "Problem",
        ):  # fmt: skip
            assert f"{action} (" in titles


@pytest.mark.parametrize(
    "text", ["carry", "carry -mistake", "carry -mistake sort:-added", "wait sort:chars", '"start over"']
)
def test_a_search_pages_and_counts_what_it_finds(tmp_path: Path, text: str) -> None:
    db = seeded_context(tmp_path / "lab", 40).store.db
    query = TraceQuery.parse(text)
    found = traces.ids(db, query)
    assert 0 < len(found) < 41
    assert [row.id for row in traces.page(db, query, limit=15, offset=5)] == found[5:20]
    assert traces.count(db, query) == len(found)


async def test_the_search_tree_of_a_chain(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", 4)
    hostile = search_tree.nodes()
    hostile[6]["text"] = "\x1b]0;owned\x07[red]x[/]"
    (tmp_path / "tree.json").write_text(json.dumps(search_tree.row(nodes=hostile)), "utf-8")
    store = open_store(lab.database)
    import_files(store, [tmp_path / "tree.json"])
    store.close()
    app = LabApp(open_context(lab), mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("H")
        await until(
            pilot, lambda: "was not made from a search tree" in "".join(one.message for one in app._notifications)
        )
        await pilot.press("G")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.synthesis == "tree search")
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, TreeDialog))
        await until(pilot, lambda: "step b." in shown(pilot))
        picture = shown(pilot)
        assert "8 nodes, searched by mcts" in picture
        assert "dead ends 2, dead end depth any, dead end order highest; a plain" in picture
        assert "↩ ✗    0.2     step e." in picture and "▸ ✓    0.4     \\boxed{42}" in picture
        assert "␛]0;owned␇[red]x[/]" in picture and "\x1b" not in picture
        await pilot.press("H")
        await until(pilot, lambda: app.screen is screen)


async def test_a_damaged_tree_is_a_sentence(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", 0)
    (tmp_path / "tree.json").write_text(json.dumps(search_tree.row()), "utf-8")
    store = open_store(lab.database)
    import_files(store, [tmp_path / "tree.json"])
    store.db.execute("UPDATE trees SET tree = '[{}]'")
    store.close()
    app = LabApp(open_context(lab), mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("H")
        await until(pilot, lambda: "cannot be read: nodes[0].id" in "".join(one.message for one in app._notifications))
        assert app.screen is screen


async def test_a_chain_has_18_of_24_lines_and_what_is_left_out_is_a_key_away(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 8), mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: screen.reader.body.has_focus and screen.reader.body.size.height >= 18)
        assert "gold 411 · answer 411" in words(screen, "#folded")
        assert "What is 123 + 288?" in shown(pilot)
        assert "to do" in shown(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "2/8" in words(screen, "#folded"))
        await pilot.press("comma")
        await until(pilot, lambda: "accepted by tester" in shown(pilot))
        await pilot.press("i")
        await until(pilot, lambda: "✓ correct" in shown(pilot))
        await pilot.resize_terminal(80, 50)
        await until(pilot, lambda: screen.query_one("#title").display and "\n" not in words(screen, "#folded"))
