"""The paged table: few rows held, never blocked, the cursor stays on its row."""

from __future__ import annotations

import asyncio
import threading

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from o1lab.widgets.columns import HELD_ROWS, Column, Page, Row, share_width
from o1lab.widgets.paged_table import PagedTable

COLUMNS = [
    Column("name", "name", 10, flex=1),
    Column("size", "size", 6, justify="right", priority=1),
    Column("note", "note", 20, priority=2),
]


class Source:
    """Rows 0 to ``total`` under a key that survives renumbering."""

    def __init__(self, total: int) -> None:
        self.keys = list(range(total))
        self.asked: list[tuple[int, int]] = []

    def fetch(self, offset: int, limit: int) -> Page:
        self.asked.append((offset, limit))
        rows = [row(key) for key in self.keys[offset : offset + limit]]
        return Page(rows, len(self.keys))

    def locate(self, key: str | int) -> int | None:
        return self.keys.index(int(key)) if key in self.keys else None


def row(key: int, note: str = "") -> Row:
    return Row(key, {"name": f"row {key}", "size": Text(str(key), style="red"), "note": note})


class Harness(App[None]):
    def __init__(self, table: PagedTable) -> None:
        super().__init__()
        self.table = table
        self.said: list[tuple[str, object]] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_paged_table_row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        self.said.append(("at", event.row.key))

    def on_paged_table_row_selected(self, event: PagedTable.RowSelected) -> None:
        self.said.append(("open", event.row.key))

    def on_paged_table_fetch_failed(self, event: PagedTable.FetchFailed) -> None:
        self.said.append(("failed", str(event.error)))

    def shown(self) -> list[str]:
        return [self.table.render_line(y).text.rstrip() for y in range(self.table.size.height)]


async def settled(pilot: Pilot[None], table: PagedTable) -> None:
    """Until no page is on its way."""
    await pilot.pause()
    while table.busy:
        await pilot.pause()
    await pilot.pause()


async def test_a_hundred_thousand_rows_are_paged_and_few_are_held() -> None:
    source = Source(100_000)
    table = PagedTable(COLUMNS, source.fetch)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        assert table.total == 100_000
        assert app.shown()[1].startswith("▸ row 0")
        for at in range(0, 100_000, 7_000):
            table.move_to(at)
            await settled(pilot, table)
            assert table.cursor_key == at
        await pilot.press("G")
        await settled(pilot, table)
        assert table.cursor_key == 99_999
        assert app.shown()[-1].startswith("▸ row 99999")
        assert table.held <= HELD_ROWS
        assert max(limit for _, limit in source.asked) <= HELD_ROWS
        await pilot.press("k", "enter")
        assert app.said[-2:] == [("at", 99_998), ("open", 99_998)]


async def test_a_slow_fetch_blocks_nothing_and_shows_that_rows_are_coming() -> None:
    gate = threading.Event()
    source = Source(500)

    def slow(offset: int, limit: int) -> Page:
        if offset:
            gate.wait(10)
        return source.fetch(offset, limit)

    table = PagedTable(COLUMNS, slow)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        while not table.total:
            await pilot.pause()
        await pilot.press("G")
        assert table.cursor == 499
        assert table.cursor_row is None
        assert "…" in app.shown()[-1]
        await pilot.press("g", "j")
        assert table.cursor_key == 1
        gate.set()
        await settled(pilot, table)


@pytest.mark.parametrize(("keys", "opened"), [(["enter"], [("open", 0)]), (["enter", "j"], [])])
async def test_enter_on_a_row_on_its_way_opens_it_when_it_has_come(
    keys: list[str], opened: list[tuple[str, object]]
) -> None:
    gate = asyncio.Event()
    source = Source(40)

    async def slow(offset: int, limit: int) -> Page:
        await gate.wait()
        return source.fetch(offset, limit)

    table = PagedTable(COLUMNS, slow)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        assert app.said == []
        gate.set()
        await settled(pilot, table)
        await pilot.press("j")
        assert [said for said in app.said if said[0] == "open"] == opened


@pytest.mark.parametrize("with_locate", [True, False])
async def test_the_cursor_stays_on_its_row_when_rows_come_before_it(with_locate: bool) -> None:
    source = Source(300)
    table = PagedTable(COLUMNS, source.fetch, locate=source.locate if with_locate else None)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        table.move_to(20)
        await settled(pilot, table)
        source.keys[:0] = [1000, 1001]
        table.reload()
        await settled(pilot, table)
        assert (table.cursor, table.cursor_key) == (22, 20)
        assert table.total == 302
        source.keys.remove(20)
        table.reload()
        await settled(pilot, table)
        assert (table.cursor, table.cursor_key) == (22, 21)


async def test_a_row_that_moved_to_another_page_is_found_by_locate() -> None:
    source = Source(1000)
    table = PagedTable(COLUMNS, source.fetch, locate=source.locate)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        table.move_to(5)
        source.keys.reverse()
        table.reload()
        await settled(pilot, table)
        assert (table.cursor, table.cursor_key) == (994, 5)


async def test_another_source_starts_at_its_top_and_fewer_rows_pull_the_cursor_in() -> None:
    source = Source(300)
    table = PagedTable(COLUMNS, source.fetch)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        await pilot.press("G")
        await settled(pilot, table)
        del source.keys[3:]
        table.reload()
        await settled(pilot, table)
        assert (table.total, table.cursor) == (3, 2)
        table.set_source(Source(300).fetch)
        await settled(pilot, table)
        assert (table.total, table.cursor, table.scroll_offset.y) == (300, 0, 0)


async def test_the_rows_of_another_source_are_drawn_while_it_loads_but_no_key_applies_to_them() -> None:
    gate, source = asyncio.Event(), Source(3)

    async def slow(offset: int, limit: int) -> Page:
        await gate.wait()
        return Page((), 0)

    table = PagedTable(COLUMNS, source.fetch)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        assert table.no_row == ""
        table.set_source(slow)
        table.reload()  # what another program wrote is read meanwhile
        assert app.shown()[1].startswith("▸ row 0")
        assert (table.cursor_row, table.cursor_key) == (None, None) and "loading" in table.no_row
        await pilot.press("enter")
        gate.set()
        await settled(pilot, table)
        assert table.no_row == "There is nothing under the cursor."
        table.set_source(source.fetch)
        await settled(pilot, table)
        assert ("open", 0) not in app.said  # the enter was for the empty list


async def test_a_failing_fetch_is_told_once_and_tried_again_on_reload() -> None:
    source = Source(50)
    broken = [True]

    def fetch(offset: int, limit: int) -> Page:
        if broken[0]:
            raise OSError("the lab is away")
        return source.fetch(offset, limit)

    table = PagedTable(COLUMNS, fetch)
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        await pilot.press("j", "k")
        assert app.said == [("failed", "the lab is away")]
        broken[0] = False
        table.reload()
        await settled(pilot, table)
        assert table.total == 50


async def test_coroutines_fetch_too_and_nothing_is_said_of_an_empty_table() -> None:
    async def fetch(offset: int, limit: int) -> Page:
        return Page((), 0)

    table = PagedTable(COLUMNS, fetch, empty="No traces yet: o1lab import FILE")
    app = Harness(table)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot, table)
        await pilot.press("j", "k", "G", "pageup", "enter")
        assert "No traces yet: o1lab import FILE" in "\n".join(app.shown())
        assert app.said == []


async def test_cells_are_shown_literally_and_in_their_columns() -> None:
    hostile = Row(1, {"name": "\x1b[31m[b]中文中文中文", "size": "12", "note": "a\nb\u202e"})
    table = PagedTable(COLUMNS, lambda offset, limit: Page([hostile], 1))
    app = Harness(table)
    async with app.run_test(size=(60, 10)) as pilot:
        await settled(pilot, table)
        header, line = app.shown()[:2]
        assert "␛[31m[b]中文" in line
        assert "a b‹202e›" in line
        assert (
            header.index("size") + len("size") == 2 + 29 + 1 + 6
        )  # the flexible column before it has taken what was left over
        table.update_row(Row(1, {"name": "accepted"}))
        assert "accepted" in app.shown()[1]


def titles(width: int, columns: list[Column] = COLUMNS) -> list[str]:
    return [column.key for column, _ in share_width(columns, width)]


def test_columns_drop_by_priority_and_the_rest_is_shared() -> None:
    assert titles(60) == ["name", "size", "note"]
    assert titles(37) == ["name", "size"]
    assert titles(12) == ["name"]
    assert titles(3) == ["name"]
    assert sum(cells for _, cells in share_width(COLUMNS, 60)) + 2 == 60
