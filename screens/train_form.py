"""The form that sets up a run: every part of the recipe with its help, faults told beside their field."""

from __future__ import annotations

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

from o1lab.locations import assets_dir
from o1lab.widgets.form import FieldRow
from o1lab.widgets.line_input import caught_up
from screens import train_fields
from screens.base import LabScreen
from screens.context import LabContext


class TrainForm(LabScreen):
    """Pick base, dataset, adapter, schedule and device; then preflight."""

    TITLE = "TRAIN  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "preflight", "Preflight", priority=True, tooltip="Look the run over, then launch it"),
        Binding("ctrl+l", "load_recipe", "Recipe file", tooltip="Fill the form from a recipe file"),
        Binding("escape", "back", "Back"),
        Binding("tab", "app.focus_next", "Next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(
        self, context: LabContext, values: dict[str, Any], *, launched: Callable[[str], None], draft: dict[str, str]
    ) -> None:
        """``values``: recipe values to begin with; ``draft``: texts of an earlier visit, kept up to date here."""
        super().__init__(context)
        self.values = values
        self.launched = launched
        self.draft = draft
        self.touched: set[str] = set()
        self.options: train_fields.Options | None = None

    def compose_body(self) -> ComposeResult:
        yield VerticalScroll(id="fields", can_focus=False)
        yield Static(id="field-help", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.fill()

    @work(exclusive=True, group="fill")
    async def fill(self) -> None:
        """Read what there is to choose from, and draw the form."""
        context = self.context
        try:
            options = await self.in_thread(lambda: train_fields.look(context.lab, context.config, context.store.db))
            start = await self.in_thread(
                train_fields.starting_values, options, context.config, self.values.get("dataset")
            )
        except Exception as error:
            self.report(error)
            return
        self.options = options
        values = {**start, **self.values}
        self._text_of = {name: train_fields.as_text(name, value) for name, value in values.items()}
        body = self.query_one("#fields")
        rows: list[Widget] = []
        fields = train_fields.fields(options)
        for title, names in train_fields.SECTIONS:
            rows.append(Label(title, classes="section", markup=False))
            for name in names:
                text = self.draft.get(name, self._text_of.get(name, fields[name].default))
                rows.append(FieldRow(fields[name], text))
        rows.append(Button("Look it over (preflight)", id="go", compact=True))
        await body.remove_children()
        await body.mount_all(rows)
        self._row("base" if options.datasets else "dataset").editor.focus()

    def _row(self, name: str) -> FieldRow:
        return self.query_one(f"#row-{name}", FieldRow)

    def texts(self) -> dict[str, str]:
        """What stands in every field."""
        return {row.field.name: row.text for row in self.query(FieldRow)}

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def _changed(self, event: Input.Changed | TextArea.Changed | Select.Changed) -> None:
        row = next((node for node in event.control.ancestors if isinstance(node, FieldRow)), None)
        if row is None or not self.is_mounted:
            return
        if row.text != row._text:
            self.touched.add(row.field.name)
        if self.touched:
            self._judge()

    def _judge(self, *, all_fields: bool = False) -> Any:
        texts = self.texts()
        self.draft.clear()
        self.draft.update(texts)
        recipe, faults = train_fields.judge(texts)
        for row in self.query(FieldRow):
            shown = all_fields or row.field.name in self.touched
            row.show_fault(faults.get(row.field.name, "") if shown else "")
        if all_fields and faults:
            first = self._row(next(iter(faults)))
            first.editor.focus()
        return recipe

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        row = next((node for node in event.widget.ancestors_with_self if isinstance(node, FieldRow)), None)
        if row is not None:
            name = row.field.name.replace("_", " ")
            default = f"  (default {row.field.default})" if row.field.default and row.field.kind != "lines" else ""
            more = f"  One a line: question {train_fields.ARROW} answer." if row.field.kind == "lines" else ""
            text = Text.assemble((name, "bold"), f"  {row.field.help}{more}", (default, "dim"))
            self.query_one("#field-help", Static).update(text)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#go")
    async def _go(self) -> None:
        await self.action_preflight()

    def action_back(self) -> None:
        """To the runs; what was typed is there again next time."""
        self.app.pop_screen()

    async def action_preflight(self) -> None:
        """Look the run over; what is wrong with the form comes first."""
        if self.focused is not None:
            await caught_up(self.focused)
        try:
            recipe = self._judge(all_fields=True)
        except NoMatches:
            return  # still being drawn
        if recipe is not None:
            from screens.train_preflight import PreflightScreen

            self.app.push_screen(PreflightScreen(self.context, recipe, launched=self._launched))

    def _launched(self, run_id: str) -> None:
        self.draft.clear()
        self.app.pop_screen()
        self.launched(run_id)

    @work
    async def action_load_recipe(self) -> None:
        """Fill the form from a recipe file: one of the lab's, one that came with o1lab, or any path."""
        from pathlib import Path

        from o1lab.train import phases
        from o1lab.train import recipe as recipes
        from o1lab.widgets.dialogs import PromptDialog

        known = dict(self.options.recipes) if self.options else {}
        name = await self.app.push_screen_wait(
            PromptDialog("Recipe file", placeholder="a name or a path", completions=list(known))
        )
        if not name:
            return
        try:
            values = await self.in_thread(lambda: recipes.load_values(known.get(name) or Path(name).expanduser()))
            phases.require_one(values)
        except Exception as error:
            self.report(error)
            return
        for field, value in values.items():
            if field in train_fields.FIELDS:
                self._row(field).set_text(train_fields.as_text(field, value))
