"""The form that sets up a teacher run: what it will come to stands below while it is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static, TextArea

from o1lab.distill import runs
from o1lab.distill.estimate import Estimate, estimate
from o1lab.distill.items import count_items
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import O1LabError, from_store
from o1lab.locations import Lab, assets_dir
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.form import FieldRow
from o1lab.widgets.line_input import caught_up
from screens import distill_fields
from screens.base import LabScreen
from screens.context import LabContext
from screens.distill_text import estimate_text
from store.connection import Store
from store.errors import StoreError

PAUSE_S = 0.4  # of not typing, before it is counted


class DistillForm(LabScreen):
    """Pick method, teacher, problems, sampling and budgets; then launch."""

    TITLE = "DISTILL  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "launch", "Launch", priority=True, tooltip="See what it comes to, then launch the run"),
        Binding("escape", "back", "Back"),
        Binding("tab", "app.focus_next", "Next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(
        self, context: LabContext, values: dict[str, Any], *, launched: Callable[[str], None], draft: dict[str, str]
    ) -> None:
        """``values``: settings to begin with; ``draft``: texts of an earlier visit, kept up to date here."""
        super().__init__(context)
        self.values = values
        self.launched = launched
        self.draft = draft
        self.touched: set[str] = set()
        self.estimated: tuple[TeacherRunSettings, Estimate] | None = None
        self._one_look = asyncio.Lock()

    def compose_body(self) -> ComposeResult:
        yield VerticalScroll(id="fields", can_focus=False)
        yield Static(id="field-help", markup=False)
        yield Static(id="estimate", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.fill()

    @work(exclusive=True, group="fill")
    async def fill(self) -> None:
        """Read what there is to choose from, and draw the form."""
        try:
            options = await self.in_thread(distill_fields.look, self.context.lab, self.context.config)
        except Exception as error:
            self.report(error)
            return
        values = {**distill_fields.starting_values(options), **self.values}
        known = distill_fields.fields(options)
        rows: list[Widget] = []
        method = self.draft.get("method") or str(values.get("method", known["method"].default))
        for title, names in distill_fields.SECTIONS:
            rows.append(Label(title, classes="section", markup=False))
            for name in names:
                given = self.draft.get(name)
                if given is None:
                    given = distill_fields.as_text(values[name]) if name in values else known[name].default
                row = FieldRow(known[name], given)
                row.display = distill_fields.is_relevant(name, method)
                rows.append(row)
        rows.append(Button("See what it comes to, and launch", id="go", compact=True))
        body = self.query_one("#fields")
        await body.remove_children()
        await body.mount_all(rows)
        self._row("endpoint").editor.focus()
        self._count_again()

    def _row(self, name: str) -> FieldRow:
        return self.query_one(f"#row-{name}", FieldRow)

    def texts(self) -> dict[str, str]:
        """What stands in every field."""
        return {row.field.name: row.text for row in self.query(FieldRow)}

    def _fit_method(self) -> None:
        """Only the fields that mean something for the method are shown."""
        method = self._row("method").text
        for row in self.query(FieldRow):
            row.display = distill_fields.is_relevant(row.field.name, method)

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def _changed(self, event: Input.Changed | TextArea.Changed | Select.Changed) -> None:
        row = next((node for node in event.control.ancestors if isinstance(node, FieldRow)), None)
        if row is None or not self.query("#go"):
            return
        self.touched.add(row.field.name)
        if row.field.name == "method":
            self._fit_method()
        self._judge()
        self._count_again()

    def _judge(self, *, all_fields: bool = False) -> TeacherRunSettings | None:
        texts = self.texts()
        self.draft.clear()
        self.draft.update(texts)
        settings, faults = distill_fields.judge(texts)
        for row in self.query(FieldRow):
            shown = all_fields or row.field.name in self.touched
            row.show_fault(faults.get(row.field.name, "") if shown else "")
        if all_fields and faults:
            self._row(next(iter(faults))).editor.focus()
        return settings

    # What it will come to.

    @work(exclusive=True, group="estimate")
    async def _count_again(self) -> None:
        """Count the items at once, then the calls, tokens and money; a look that has begun is waited for."""
        settings, faults = distill_fields.judge(self.texts())
        if settings is None:
            name, fault = next(iter(faults.items()))
            self._say(Text(f"✗ {name.replace('_', ' ')}: {visible(fault)}", "yellow"))
            return
        await asyncio.sleep(PAUSE_S)
        async with self._one_look:
            try:
                number = await self._whole(count, self.context.store, settings)
                self._say(Text(f"{number:,} items × {settings.n} …"))
                found = await self._whole(estimate_in, self.context.lab, self.context.store, settings)
            except Exception as error:
                self._say(Text(f"✗ {words_of(error)}", "yellow"))
                return
        self.estimated = (settings, found)
        self._say(estimate_text(found, settings.n))

    async def _whole(self, look: Callable[..., Any], *arguments: Any) -> Any:
        """Wait for a look to its end even when we are cancelled: the next one does not begin beside it."""
        task = asyncio.ensure_future(self.in_thread(look, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.closing:
                await asyncio.wait([task])
            raise

    def _say(self, text: Text) -> None:
        try:
            self.query_one("#estimate", Static).update(text)
        except NoMatches:
            return  # closed meanwhile

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        row = next((node for node in event.widget.ancestors_with_self if isinstance(node, FieldRow)), None)
        if row is not None:
            default = f"  (default {row.field.default})" if row.field.default else ""
            text = Text.assemble((row.field.name.replace("_", " "), "bold"), f"  {row.field.help}", (default, "dim"))
            self.query_one("#field-help", Static).update(text)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        self.action_launch()

    def action_back(self) -> None:
        """To the runs; what was typed is there again next time."""
        self.app.pop_screen()

    @work(exclusive=True, group="launch")
    async def action_launch(self) -> None:
        """See what it comes to, then launch it: in a process that outlives this app."""
        if self.focused is not None:
            await caught_up(self.focused)
        if not self.query("#go"):
            return  # still being drawn
        settings = self._judge(all_fields=True)
        if settings is None:
            return
        try:
            if self.estimated is None or self.estimated[0] != settings:
                found = await self.in_thread(estimate_in, self.context.lab, self.context.store, settings)
                self.estimated = (settings, found)
        except Exception as error:
            self.report(error)
            return
        question = f"Ask {settings.endpoint} for {self.estimated[1].samples:,} samples?"
        words = estimate_text(self.estimated[1], settings.n)
        words.append(_budget(settings))
        if not await self.app.push_screen_wait(ConfirmDialog(question, words, yes="Launch", no="Not yet")):
            return
        try:
            run_id = await self.in_thread(launch, self.context.lab, settings)
        except Exception as error:
            self.report(error)
            return
        self.draft.clear()
        self.app.pop_screen()
        self.launched(run_id)


def _budget(settings: TeacherRunSettings) -> str:
    parts = [f"${settings.budget_usd:,.2f}"] if settings.budget_usd is not None else []
    parts += [f"{settings.budget_tokens:,} tokens"] if settings.budget_tokens is not None else []
    return f"\nit stops before {' or '.join(parts)} are spent" if parts else "\nno budget: nothing stops it but you"


def words_of(error: Exception) -> str:
    """An error in one line, safe to show."""
    if isinstance(error, StoreError):
        error = from_store(error)
    if isinstance(error, O1LabError):
        return visible(f"{error.message} {error.hint or ''}".strip())
    return visible(f"{type(error).__name__}: {error}")


def count(store: Store, settings: TeacherRunSettings) -> int:
    """How many items a run would have (for a thread)."""
    with store.explained():
        return count_items(store, settings)


def estimate_in(lab: Lab, store: Store, settings: TeacherRunSettings) -> Estimate:
    """What a run would come to (for a thread)."""
    return estimate(lab, store, settings)


def launch(lab: Lab, settings: TeacherRunSettings) -> str:
    """Make a run and start its process; its id (for a thread)."""
    folder = runs.start(lab, settings)
    runs.launch_detached(folder)
    return folder.id
